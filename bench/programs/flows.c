#include "packets.h"

struct flow {
	__be32 source;
	__be32 destination;
	__u16 sport;
	__u16 dport;
	__u8 protocol;
	__u8 unused;
	__u16 unused2;
};

struct traffic {
	__u64 packets;
	__u64 bytes;
	__u64 last;
	__u64 first;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow);
	__type(value, struct traffic);
} flows SEC(".maps");

SEC("xdp") int flow_table(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip || ip->ihl < 5 || ip->frag_off & bpf_htons(0x1fff))
		return XDP_PASS;
	struct udphdr *ports = (void *)ip + ip->ihl * 4; // a TCP header starts with the same two
	__u32 size;
	if (ip->protocol == IPPROTO_TCP)
		size = sizeof(struct tcphdr);
	else if (ip->protocol == IPPROTO_UDP)
		size = sizeof(struct udphdr);
	else
		return XDP_PASS;
	if ((void *)ports + size > end)
		return XDP_PASS;
	struct flow flow = {ip->saddr, ip->daddr, bpf_ntohs(ports->source), bpf_ntohs(ports->dest), ip->protocol};
	__u64 now = bpf_ktime_get_ns();
	struct traffic *known = bpf_map_lookup_elem(&flows, &flow);
	if (!known) {
		struct traffic fresh = {1, bpf_ntohs(ip->tot_len), now, now};
		bpf_map_update_elem(&flows, &flow, &fresh, BPF_ANY);
		return XDP_PASS;
	}
	__sync_fetch_and_add(&known->packets, 1);
	__sync_fetch_and_add(&known->bytes, bpf_ntohs(ip->tot_len));
	known->last = now;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
