/* Reserves a record in a ring buffer and never submits it. */
#include "reject.h"

RING(events);

SEC("tp_btf/sched_switch")
int keep(__u64 *ctx)
{
    __u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
    if (record)
        *record = bpf_ktime_get_ns();
    return 0;
}
