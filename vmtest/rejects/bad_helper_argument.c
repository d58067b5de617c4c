/* A number where a helper wants a map. */
#include "reject.h"

SEC("xdp")
int wrong(struct xdp_md *ctx)
{
    __u32 key = 0;
    return bpf_map_lookup_elem((void *)(long)ctx->rx_queue_index, &key) ? XDP_DROP : XDP_PASS;
}
