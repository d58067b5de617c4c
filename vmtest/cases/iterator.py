"""An iterator walks all tasks and prints one line for this process."""
from __future__ import annotations

import os

HOOK = "iterator"
SINCE = "5.10"
BPF_TRACE_ITER = 28


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
struct task_struct { int pid; int tgid; } __attribute__((preserve_access_index));
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; } __attribute__((preserve_access_index));
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; } __attribute__((preserve_access_index));

SEC("iter/task")
int walk(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    __u64 *wanted = cell(1);
    if (!task || !wanted)
        return 0;
    count();
    if (task->pid == *wanted) {
        static const char format[] = "task %d";
        __u64 values[] = { task->pid };
        bpf_seq_printf(ctx->meta->seq, format, sizeof format, values, sizeof values);
    }
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.link(case.program, BPF_TRACE_ITER) as link:
            text = case.kernel.iterate(link)
        assert text == f"task {os.getpid()}".encode(), text
        assert case.seen[0] >= len([name for name in os.listdir("/proc") if name.isdigit()]) // 2
