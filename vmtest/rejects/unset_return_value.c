/* Ends without a return value. */
#include "reject.h"

SEC("xdp")
__attribute__((naked)) int none(struct xdp_md *ctx)
{
    asm volatile("r2 = 1\n exit" ::: "r2");
}
