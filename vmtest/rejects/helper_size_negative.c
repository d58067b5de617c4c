/* A helper's size argument that may be negative. */
#include "reject.h"

SEC("tp_btf/sched_switch")
int copy(__u64 *ctx)
{
    char buffer[64] = {};
    long size = (int)bpf_get_prandom_u32();
    if (size < 64)
        bpf_probe_read_kernel(buffer, size, (void *)ctx[1]);
    return buffer[0];
}
