#include "packets.h"

#define BURST 64
#define PER_SECOND 1000

struct bucket {
	__u64 tokens;
	__u64 at;
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

SEC("xdp") int limit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip)
		return XDP_PASS;
	__u64 now = bpf_ktime_get_ns();
	__be32 source = ip->saddr;
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &source);
	if (!bucket) {
		struct bucket fresh = {BURST - 1, now};
		bpf_map_update_elem(&buckets, &source, &fresh, BPF_ANY);
		return XDP_PASS;
	}
	bpf_spin_lock(&bucket->lock);
	__u64 earned = (now - bucket->at) * PER_SECOND / 1000000000;
	__u64 tokens = bucket->tokens + earned;
	if (tokens > BURST)
		tokens = BURST;
	if (earned)
		bucket->at = now;
	bool allowed = tokens > 0;
	bucket->tokens = allowed ? tokens - 1 : 0;
	bpf_spin_unlock(&bucket->lock);
	return allowed ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
