/* Submits a record twice. */
#include "reject.h"

RING(events);

SEC("tp_btf/sched_switch")
int twice(__u64 *ctx)
{
    __u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
    if (!record)
        return 0;
    bpf_ringbuf_submit(record, 0);
    bpf_ringbuf_submit(record, 0);
    return 0;
}
