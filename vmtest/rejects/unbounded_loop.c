/* A loop whose count nothing bounds. */
#include "reject.h"

SEC("xdp")
int wait(struct xdp_md *ctx)
{
    __u64 sum = 0;
    for (__u64 i = 0; i < bpf_ktime_get_ns(); i++)
        sum += bpf_get_prandom_u32();
    return sum & 1;
}
