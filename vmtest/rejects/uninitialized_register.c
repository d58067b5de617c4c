/* Reads a register that was never written. */
#include "reject.h"

SEC("xdp")
int unset(struct xdp_md *ctx)
{
    int result;
    asm volatile("%0 = r7" : "=r"(result));
    return result;
}
