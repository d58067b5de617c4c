#include "tracing.h"

struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	unsigned int flags;
	struct task_struct *real_parent;
	char comm[16];
} __attribute__((preserve_access_index));

struct exit {
	__s32 pid;
	__s32 parent;
	__s32 code;
	__u32 flags;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} exits SEC(".maps");

__u64 lost;

SEC("tp_btf/sched_process_exit") int exited(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	if (task->pid != task->tgid)
		return 0;
	struct exit *event = bpf_ringbuf_reserve(&exits, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event->pid = task->tgid;
	event->parent = task->real_parent->tgid;
	event->code = task->exit_code;
	event->flags = task->flags;
	__builtin_memcpy(event->comm, task->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
