/* Releases a task that may be null (Linux 6.2). */
#include "reject.h"

struct task_struct { int pid; } __attribute__((preserve_access_index));
struct task_struct *bpf_task_from_pid(int pid) __ksym;
void bpf_task_release(struct task_struct *task) __ksym;

SEC("tp_btf/sched_switch")
int hasty(__u64 *ctx)
{
    bpf_task_release(bpf_task_from_pid(1));
    return 0;
}
