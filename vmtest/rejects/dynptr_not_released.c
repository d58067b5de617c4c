/* Reserves a ring-buffer record as a dynptr and never submits it (Linux 5.19). */
#include "reject.h"

RING(events);

SEC("tp_btf/sched_switch")
int keep(__u64 *ctx)
{
    struct bpf_dynptr record;
    bpf_ringbuf_reserve_dynptr(&events, 8, 0, &record);
    return 0;
}
