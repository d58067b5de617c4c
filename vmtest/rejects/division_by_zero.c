/* Divides by the constant zero. */
#include "reject.h"

SEC("xdp")
int by_zero(struct xdp_md *ctx)
{
    __u64 result;
    asm volatile("%0 = 7\n %0 /= 0" : "=r"(result));
    return result;
}
