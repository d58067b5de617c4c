/* Reads eight bytes behind the end of a map value. */
#include "reject.h"

ARRAY(cells, __u32);

SEC("xdp")
int past(struct xdp_md *ctx)
{
    __u32 key = 0;
    __u64 *value = bpf_map_lookup_elem(&cells, &key);
    if (!value)
        return XDP_PASS;
    return value[1] ? XDP_DROP : XDP_PASS;
}
