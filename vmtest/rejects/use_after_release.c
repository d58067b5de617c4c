/* Writes to a record after it was submitted. */
#include "reject.h"

RING(events);

SEC("tp_btf/sched_switch")
int late(__u64 *ctx)
{
    __u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
    if (!record)
        return 0;
    bpf_ringbuf_submit(record, 0);
    *record = bpf_ktime_get_ns();
    return 0;
}
