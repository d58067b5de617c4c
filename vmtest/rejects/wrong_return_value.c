/* A connect hook may answer 0 or 1 only. */
#include "reject.h"

SEC("cgroup/connect4")
int answer(struct bpf_sock_addr *ctx)
{
    return 7;
}
