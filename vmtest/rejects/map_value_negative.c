/* A signed index may be below zero. */
#include "reject.h"

struct table { __u32 cells[16]; };
ARRAY(tables, struct table);

SEC("xdp")
int pick(struct xdp_md *ctx)
{
    __u32 key = 0;
    long index = (int)ctx->rx_queue_index;
    struct table *table = bpf_map_lookup_elem(&tables, &key);
    if (!table)
        return XDP_PASS;
    if (index > 15)
        return XDP_PASS;
    return table->cells[index] ? XDP_DROP : XDP_PASS;
}
