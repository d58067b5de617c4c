#include "packets.h"

SEC("xdp") int checksum(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *eth = data;
	if ((void *)(eth + 1) > end || eth->proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	__u16 *words = (void *)(eth + 1);
	if ((void *)(words + 10) > end)
		return XDP_PASS;
	__u32 total = 0;
	for (int i = 0; i < 10; i++)
		total += words[i];
	total = (total & 0xffff) + (total >> 16);
	total = (total & 0xffff) + (total >> 16);
	return total == 0xffff ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
