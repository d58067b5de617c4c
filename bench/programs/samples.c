#include "packets.h"

#define LINEAR 128

struct sample {
	__u64 at;
	__be32 source;
	__be32 destination;
	__u32 ifindex;
	__u32 length;
	__u16 protocol;
	__u16 ttl;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 26);
} samples SEC(".maps");

__u64 lost;

SEC("tc") int sampling(struct __sk_buff *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (end < data + LINEAR) {
		bpf_skb_pull_data(ctx, ctx->len < LINEAR ? ctx->len : LINEAR);
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
	}
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip)
		return -1;
	struct sample *sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	if (!sample) {
		__sync_fetch_and_add(&lost, 1);
		return -1;
	}
	sample->at = bpf_ktime_get_ns();
	sample->source = ip->saddr;
	sample->destination = ip->daddr;
	sample->ifindex = ctx->ifindex;
	sample->length = ctx->len;
	sample->protocol = ip->protocol;
	sample->ttl = ip->ttl;
	bpf_ringbuf_submit(sample, 0);
	return -1;
}

char LICENSE[] SEC("license") = "GPL";
