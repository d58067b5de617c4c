/* Multiplies a pointer. */
#include "reject.h"

SEC("xdp")
int times(struct xdp_md *ctx)
{
    __u64 result;
    asm volatile("%0 = %1\n %0 *= 3" : "=r"(result) : "r"(ctx));
    return result;
}
