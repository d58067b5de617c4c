/* Checks fourteen bytes, then reads at an offset that the packet itself names. */
#include "reject.h"

SEC("xdp")
int option(struct xdp_md *ctx)
{
    __u8 *packet = DATA(ctx);
    if ((void *)(packet + 14) > END(ctx))
        return XDP_PASS;
    return packet[packet[0]] ? XDP_DROP : XDP_PASS;
}
