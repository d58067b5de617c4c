/* Stores below the 512 bytes of stack. */
#include "reject.h"

SEC("xdp")
int deep(struct xdp_md *ctx)
{
    asm volatile("r1 = 1\n *(u64 *)(r10 - 520) = r1" ::: "r1", "memory");
    return XDP_PASS;
}
