#include "packets.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, __u64);
} sources SEC(".maps");

__u64 lost;

SEC("xdp") int syns(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip || ip->protocol != IPPROTO_TCP || ip->ihl < 5 || ip->frag_off & bpf_htons(0x1fff))
		return XDP_PASS;
	struct tcphdr *tcp = (void *)ip + ip->ihl * 4;
	if ((void *)(tcp + 1) > end || !tcp->syn || tcp->ack)
		return XDP_PASS;
	__be32 source = ip->saddr;
	__u64 *count = bpf_map_lookup_elem(&sources, &source);
	if (!count) {
		__u64 zero = 0;
		bpf_map_update_elem(&sources, &source, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&sources, &source);
		if (!count) {
			__sync_fetch_and_add(&lost, 1);
			return XDP_PASS;
		}
	}
	__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
