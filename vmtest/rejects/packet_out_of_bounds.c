/* Reads a packet byte without comparing with data_end. */
#include "reject.h"

SEC("xdp")
int first_byte(struct xdp_md *ctx)
{
    __u8 *packet = DATA(ctx);
    return packet[13] == 8 ? XDP_DROP : XDP_PASS;
}
