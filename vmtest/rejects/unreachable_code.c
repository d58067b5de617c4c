/* An instruction that no path reaches. */
#include "reject.h"

SEC("xdp")
int dead(struct xdp_md *ctx)
{
    asm volatile("r0 = 1\n exit\n r0 = 2\n r0 = 3" ::: "r0");
    return XDP_PASS;
}
