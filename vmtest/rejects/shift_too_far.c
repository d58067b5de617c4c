/* Shifts a 64-bit register by 64. */
#include "reject.h"

SEC("xdp")
int far(struct xdp_md *ctx)
{
    __u64 result;
    asm volatile("%0 = 7\n %0 <<= 64" : "=r"(result));
    return result;
}
