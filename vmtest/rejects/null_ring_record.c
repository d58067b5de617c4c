/* Writes to a reserved record without asking whether there was room. */
#include "reject.h"

RING(events);

SEC("tp_btf/sched_switch")
int hasty(__u64 *ctx)
{
    __u64 *record = bpf_ringbuf_reserve(&events, 8, 0);
    *record = bpf_ktime_get_ns();
    bpf_ringbuf_submit(record, 0);
    return 0;
}
