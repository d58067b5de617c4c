/* Indexes an array in a map value by an unchecked number. */
#include "reject.h"

struct table { __u32 cells[16]; };
ARRAY(tables, struct table);

SEC("xdp")
int pick(struct xdp_md *ctx)
{
    __u32 key = 0;
    struct table *table = bpf_map_lookup_elem(&tables, &key);
    if (!table)
        return XDP_PASS;
    return table->cells[ctx->rx_queue_index] ? XDP_DROP : XDP_PASS;
}
