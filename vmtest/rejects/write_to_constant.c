/* Writes to frozen data. */
#include "reject.h"

const volatile __u32 limit = 10;

SEC("xdp")
int change(struct xdp_md *ctx)
{
    *(volatile __u32 *)&limit = 11;
    return XDP_PASS;
}
