/* Two frames that together need more than 512 bytes. */
#include "reject.h"

static __noinline int inner(int x)
{
    volatile char room[300];
    room[x & 255] = 1;
    return room[1];
}

SEC("xdp")
int outer(struct xdp_md *ctx)
{
    volatile char room[300];
    room[ctx->rx_queue_index & 255] = 1;
    return inner(room[0]) + room[2];
}
