/* A pointer-sized read of the stack at an odd address. */
#include "reject.h"

SEC("xdp")
int odd(struct xdp_md *ctx)
{
    __u64 result;
    asm volatile("r1 = 0\n *(u64 *)(r10 - 8) = r1\n *(u64 *)(r10 - 16) = r1\n %0 = *(u64 *)(r10 - 11)"
                 : "=r"(result) :: "r1", "memory");
    return result;
}
