#include "packets.h"

SEC("xdp") int hashing(struct xdp_md *ctx)
{
	__u32 value = ctx->ingress_ifindex;
	for (__u32 i = 0; i < 64; i++) {
		value += i;
		value += value << 10;
		value ^= value >> 6;
	}
	value += value << 3;
	value ^= value >> 11;
	value += value << 15;
	return value % 3 == 0 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
