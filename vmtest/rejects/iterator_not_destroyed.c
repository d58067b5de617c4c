/* Leaves an open-coded iterator behind (Linux 6.4). */
#include "reject.h"

struct bpf_iter_num { __u64 opaque[1]; } __attribute__((aligned(8)));
int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;

SEC("xdp")
int leave(struct xdp_md *ctx)
{
    struct bpf_iter_num it;
    bpf_iter_num_new(&it, 0, 10);
    return bpf_iter_num_next(&it) ? XDP_DROP : XDP_PASS;
}
