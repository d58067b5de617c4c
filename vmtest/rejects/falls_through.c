/* The last instruction is neither exit nor a jump. */
#include "reject.h"

SEC("xdp")
__attribute__((naked)) int open_end(struct xdp_md *ctx)
{
    asm volatile("r0 = 1\n r0 += 1" ::: "r0");
}
