/* Uses r1 after a call, which does not keep it. */
#include "reject.h"

SEC("xdp")
int lost(struct xdp_md *ctx)
{
    int result;
    asm volatile("r1 = 7\n call %[time]\n %[result] = r1"
                 : [result] "=r"(result) : [time] "i"(BPF_FUNC_ktime_get_ns) : "r0", "r1", "r2", "r3", "r4", "r5");
    return result;
}
