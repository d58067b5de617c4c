#include "packets.h"

// Headers are looked for in this many bytes, which are made readable where they lie in pages.
#define LINEAR 128

SEC("tc") int marker(struct __sk_buff *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *next;
	if (end < data + LINEAR) {
		bpf_skb_pull_data(ctx, ctx->len < LINEAR ? ctx->len : LINEAR);
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
	}
	if (parse_transport(data, end, &next) != IPPROTO_TCP)
		return 0;
	struct tcphdr *tcp = next;
	if ((void *)(tcp + 1) > end)
		return 0;
	__u16 port = bpf_ntohs(tcp->dest);
	if (port >= 8000 && port < 9000)
		ctx->mark = 7;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
