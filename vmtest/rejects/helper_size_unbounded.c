/* A helper's size argument that nothing bounds. */
#include "reject.h"

SEC("tp_btf/sched_switch")
int copy(__u64 *ctx)
{
    char buffer[64] = {};
    bpf_probe_read_kernel(buffer, bpf_get_prandom_u32(), (void *)ctx[1]);
    return buffer[0];
}
