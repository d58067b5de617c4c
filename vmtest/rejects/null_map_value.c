/* Uses a map value that may be missing. */
#include "reject.h"

HASH(counts, __u64);

SEC("xdp")
int count(struct xdp_md *ctx)
{
    __u32 key = ctx->ingress_ifindex;
    __u64 *value = bpf_map_lookup_elem(&counts, &key);
    *value += 1;
    return XDP_PASS;
}
