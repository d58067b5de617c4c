#include "packets.h"

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

SEC("xdp") int l2_counter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	__u32 slot;
	switch (eth->proto) {
	case bpf_htons(ETH_P_IP):
		slot = 0;
		break;
	case bpf_htons(ETH_P_IPV6):
		slot = 1;
		break;
	case bpf_htons(ETH_P_ARP):
		slot = 2;
		break;
	default:
		slot = 3;
	}
	struct count *count = bpf_map_lookup_elem(&counts, &slot);
	if (!count)
		return XDP_ABORTED;
	count->packets++;
	count->bytes += end - data;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
