/* Writes to a context field that is read-only. */
#include "reject.h"

SEC("xdp")
int change(struct xdp_md *ctx)
{
    ctx->ingress_ifindex = 3;
    return XDP_PASS;
}
