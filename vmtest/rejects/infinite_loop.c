/* A loop that does not end once it is entered. */
#include "reject.h"

SEC("xdp")
int forever(struct xdp_md *ctx)
{
    __u64 zero = 0;
    asm volatile("1: if %0 == 0 goto 1b" :: "r"(zero));
    return XDP_PASS;
}
