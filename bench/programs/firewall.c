#include "packets.h"

struct blocked {
	__u64 packets;
	__u64 bytes;
};

struct prefix {
	__u32 length;
	__be32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 100000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, struct blocked);
} blocked SEC(".maps");

SEC("xdp") int firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip)
		return XDP_PASS;
	struct prefix key = {32, ip->saddr};
	struct blocked *entry = bpf_map_lookup_elem(&blocked, &key);
	if (!entry)
		return XDP_PASS;
	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, end - data);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
