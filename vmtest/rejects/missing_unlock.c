/* Takes a spin lock and returns with it. */
#include "reject.h"

struct bucket { struct bpf_spin_lock lock; __u32 tokens; };
ARRAY(buckets, struct bucket);

SEC("xdp")
int hold(struct xdp_md *ctx)
{
    __u32 key = 0;
    struct bucket *bucket = bpf_map_lookup_elem(&buckets, &key);
    if (!bucket)
        return XDP_PASS;
    bpf_spin_lock(&bucket->lock);
    bucket->tokens -= 1;
    return XDP_PASS;
}
