/* A helper may write one byte more than the buffer has. */
#include "reject.h"

SEC("tp_btf/sched_switch")
int copy(__u64 *ctx)
{
    char buffer[64] = {};
    bpf_probe_read_kernel(buffer, 65, (void *)ctx[1]);
    return buffer[0];
}
