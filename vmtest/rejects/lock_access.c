/* Reads the bytes of a spin lock. */
#include "reject.h"

struct bucket { struct bpf_spin_lock lock; __u32 tokens; };
ARRAY(buckets, struct bucket);

SEC("xdp")
int peek(struct xdp_md *ctx)
{
    __u32 key = 0;
    struct bucket *bucket = bpf_map_lookup_elem(&buckets, &key);
    return bucket ? *(volatile __u32 *)&bucket->lock : XDP_PASS;
}
