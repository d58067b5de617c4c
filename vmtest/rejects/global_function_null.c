/* A global function uses a pointer argument that its caller might give as null. */
#include "reject.h"

struct pair { __u32 first, second; };

__noinline int sum(struct pair *pair)
{
    return pair->first + pair->second;
}

SEC("tc")
int entry(struct __sk_buff *ctx)
{
    struct pair pair = {ctx->mark, ctx->len};
    return sum(&pair);
}
