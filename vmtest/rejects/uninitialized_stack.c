/* Hands a key on the stack to a helper before anything was stored there. */
#include "reject.h"

HASH(counts, __u64);

SEC("socket")
int unset(struct __sk_buff *ctx)
{
    __u64 found;
    asm volatile("r1 = %[map] ll\n r2 = r10\n r2 += -32\n call %[lookup]\n %[found] = r0"
                 : [found] "=r"(found) : [map] "i"(&counts), [lookup] "i"(BPF_FUNC_map_lookup_elem)
                 : "r0", "r1", "r2", "r3", "r4", "r5");
    return found != 0;
}
