#include "packets.h"

struct backend {
	__u16 mac[3];
	__u16 weight;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

static __noinline __u32 mix(__u32 a, __u32 b)
{
	__u32 value = a * 0x9e3779b1 ^ b;
	value = (value ^ value >> 15) * 0x85ebca77;
	value = (value ^ value >> 13) * 0xc2b2ae3d;
	return value ^ value >> 16;
}

SEC("xdp") int balance(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *eth = data;
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip)
		return XDP_PASS;
	__u32 slot = mix(bpf_ntohl(ip->saddr), bpf_ntohl(ip->daddr)) % 64;
	struct backend *backend = bpf_map_lookup_elem(&backends, &slot);
	if (!backend)
		return XDP_ABORTED;
	__builtin_memcpy(eth->source, eth->destination, sizeof(eth->source));
	__builtin_memcpy(eth->destination, backend->mac, sizeof(eth->destination));
	__sync_fetch_and_add(&backend->packets, 1);
	return backend->weight > 0 ? XDP_TX : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
