"""Time that threads spend off the CPU, by stack: why they waited.

examples:
  bpfwright tool offcputime              until Ctrl-C
  bpfwright tool offcputime 5            for five seconds
  bpfwright tool offcputime --folded 5   for a flame graph
  bpfwright tool offcputime -m 1000      waits of 1 ms and more
  bpfwright tool offcputime -p 185       of process 185
  bpfwright tool offcputime -u           threads of programs, not of the kernel (-k: of the kernel)
  bpfwright tool offcputime -K           kernel stacks only
"""
from bpfwright.types import Config, Struct, ptr, u32, u64
from bpfwright.facets.tools._captures import Where, kernel_stack, stacks, user_stack
from bpfwright.facets.tools._stacks import NONE, folded_or_block, stacked
from bpfwright.facets.tools._tool import Column, Option, Table
from bpfwright.facets.tools._who import pid_of, wanted_task
from bpfwright.helpers import address_of, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash, LruHash
from bpfwright.vmlinux import task_struct


class Left(Struct):
    at: u64
    where: Where


class Choice(Config):
    min_ns: u64 = 0
    max_ns: u64 = (1 << 64) - 1
    kernel_only: bool = False
    user_only: bool = False
    unwanted: u32 = 2


choice = Choice()
left = LruHash[u32, Left](max_entries=65_536)
times = Hash[Where, u64](max_entries=65_536)
KERNEL_THREAD = 1 << 21


@raw_tracepoint.program("sched_switch")
def switched(ctx: raw_tracepoint.Context, prev: ptr[task_struct], next: ptr[task_struct]) -> None:
    kind = (u32(prev.flags) & KERNEL_THREAD) >> 21
    if prev.pid != 0 and kind != choice.unwanted and wanted_task(prev):
        kernel = NONE if choice.user_only else kernel_stack(ctx)
        user = NONE if choice.kernel_only or address_of(prev.mm) == 0 else user_stack(ctx)
        left[u32(prev.pid)] = Left(now_ns(), Where(pid_of(prev), kernel, user, prev.comm))
    before = left.get(u32(next.pid))
    if before is not None:
        took = now_ns() - before.at
        if choice.min_ns <= took <= choice.max_ns:
            times.increment(before.where, took // 1000)
        left.pop(u32(next.pid), None)


TOOL = Table(times, (switched,), (
    Column("COMM", "<16"), Column("PID", "<7"), Column("US", "<12", "value"), Column("KERNEL"), Column("USER")),
    entries=lambda running: stacked(running, times, stacks), sort="+value", block=folded_or_block("us"),
    options=(Option("duration", "seconds (until Ctrl-C)", 0.0), Option("--folded", "a line a stack, for flame graphs"),
             Option("-m, --min-block-time", "microseconds at least", 0),
             Option("-M, --max-block-time", "microseconds at most", 0),
             Option("-u, --user-threads-only", "of programs only"),
             Option("-k, --kernel-threads-only", "of the kernel's own threads only"),
             Option("-K, --kernel-stacks-only", "no stacks of programs"),
             Option("-U, --user-stacks-only", "no stacks of the kernel")),
    config=lambda o: Choice(min_ns=o.min_block_time * 1000, max_ns=o.max_block_time * 1000 or (1 << 64) - 1,
                            kernel_only=o.kernel_stacks_only, user_only=o.user_stacks_only,
                            unwanted=1 if o.user_threads_only else 0 if o.kernel_threads_only else 2),
    filters="pid tid comm", positional=False)
