/* Writes to a kernel struct. */
#include "reject.h"

SEC("tp_btf/sched_switch")
int change(__u64 *ctx)
{
    *(volatile int *)(ctx[1] + 64) = 1;
    return 0;
}
