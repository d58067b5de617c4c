/* Calls a helper number that no kernel has. */
#include "reject.h"

SEC("xdp")
int unknown(struct xdp_md *ctx)
{
    return ((long (*)(void))9999)();
}
