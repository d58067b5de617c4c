/* Reads behind the end of the context. */
#include "reject.h"

SEC("xdp")
int past(struct xdp_md *ctx)
{
    return *((__u32 *)ctx + 40);
}
