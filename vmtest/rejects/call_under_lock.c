/* Calls a helper while it holds a spin lock. */
#include "reject.h"

struct bucket { struct bpf_spin_lock lock; __u64 at; };
ARRAY(buckets, struct bucket);

SEC("xdp")
int hold(struct xdp_md *ctx)
{
    __u32 key = 0;
    struct bucket *bucket = bpf_map_lookup_elem(&buckets, &key);
    if (!bucket)
        return XDP_PASS;
    bpf_spin_lock(&bucket->lock);
    bucket->at = bpf_ktime_get_ns();
    bpf_spin_unlock(&bucket->lock);
    return XDP_PASS;
}
