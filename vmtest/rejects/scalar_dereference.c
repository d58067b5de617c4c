/* Follows a number as if it were a pointer. */
#include "reject.h"

SEC("raw_tp/sys_enter")
int follow(struct bpf_raw_tracepoint_args *ctx)
{
    return *(__u32 *)ctx->args[1];
}
