/* Acquires a task by a kernel function and never releases it (Linux 6.2). */
#include "reject.h"

struct task_struct { int pid; } __attribute__((preserve_access_index));
struct task_struct *bpf_task_from_pid(int pid) __ksym;

SEC("tp_btf/sched_switch")
int keep(__u64 *ctx)
{
    return bpf_task_from_pid(1) != 0;
}
