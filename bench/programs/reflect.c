#include "packets.h"

SEC("xdp") int reflect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *eth = data;
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	for (int i = 0; i < 3; i++) {
		__u16 word = eth->source[i];
		eth->source[i] = eth->destination[i];
		eth->destination[i] = word;
	}
	__be32 source = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = source;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
