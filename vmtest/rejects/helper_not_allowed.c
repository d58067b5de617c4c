/* A helper of socket buffers in an XDP program. */
#include "reject.h"

SEC("xdp")
int load(struct xdp_md *ctx)
{
    __u32 word = 0;
    bpf_skb_load_bytes(ctx, 0, &word, sizeof word);
    return word ? XDP_DROP : XDP_PASS;
}
