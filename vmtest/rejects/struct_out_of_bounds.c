/* Reads far behind the end of a kernel struct. */
#include "reject.h"

SEC("tp_btf/sched_switch")
int past(__u64 *ctx)
{
    char *previous = (char *)ctx[1];
    return *(volatile int *)(previous + 30000);
}
