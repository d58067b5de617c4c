#include "packets.h"

SEC("cgroup/connect4") int redirect(struct bpf_sock_addr *ctx)
{
	if (ctx->user_port == bpf_htons(4444) && ctx->user_ip4 == bpf_htonl(0x7f000009)) {
		ctx->user_ip4 = bpf_htonl(0x7f000001);
		ctx->user_port = bpf_htons(4445);
	}
	return ctx->user_port != bpf_htons(4446);
}

char LICENSE[] SEC("license") = "GPL";
