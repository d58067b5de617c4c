"""The user's stack by tables, kept once under a name: a function for the programs that another front end makes."""
from __future__ import annotations

from bpfwright.helpers import address_of, current, judged_alone
from bpfwright.helpers.tasks import number_in
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.stacks.unwinding import Kept, name_of, process_of, processes, unwind, work
from bpfwright.types import Config, u8, u32, u64

__all__ = ["LOST", "PROGRAMS", "Settings", "announced", "carrier", "kept", "user_stack"]

KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD, include/linux/sched.h
LOST = 1                     # the name of what was there, but found no room


class Settings(Config):
    """`namespace`: that whose numbers of processes are meant, by its inode; 0 for the first."""

    namespace: u64 = 0


settings = Settings()
kept = Hash[u64, Kept](max_entries=8_192)
announced = Hash[u32, u8](max_entries=64)


def process_here() -> u32:
    """The process that runs, as the user sees it; 0 when he does not."""
    if settings.namespace == 0:
        return current.pid
    return number_in(address_of(current.task.group_leader), settings.namespace)


@judged_alone
def user_stack(most: u32) -> u64:
    """Keep the user stack of the task that runs, its innermost frames; its name. 0: it has none; LOST."""
    pid = process_here()
    if pid == 0 or current.tid == 0 or current.task.flags & KERNEL_THREAD != 0:
        return 0
    process = process_of(pid)
    if process is None:
        return LOST
    scratch = work.local(0)
    count = unwind(scratch, process, pid)
    if count > most:
        count = most
        scratch.kept.stack.flags = 0  # cut where it was asked for
    identity: u64 = (u64(pid) << 32 | process.life) ^ scratch.kept.stack.flags
    name = name_of(scratch.kept.stack, count, identity) | 2
    if kept.get(name) is None:
        scratch.kept.stack.count = count
        if not kept.insert(name, scratch.kept):
            return LOST
    return name


@raw_tracepoint.program("sys_enter")
def carrier(ctx: raw_tracepoint.Context) -> None:
    """Names the function, for who takes it from here; it is not attached."""
    user_stack(127)


@raw_tracepoint.program("sched_process_exec")
def life_ends_by_exec(ctx: raw_tracepoint.Context) -> None:
    pid = process_here()
    processes.pop(pid, None)
    if announced.get(pid) is not None:
        process_of(pid)  # user space may look at it now, before its first stack is wanted


@raw_tracepoint.program("sched_process_exit")
def life_ends(ctx: raw_tracepoint.Context) -> None:
    if current.pid == current.tid:
        processes.pop(process_here(), None)


PROGRAMS = ((life_ends_by_exec, "sched_process_exec"), (life_ends, "sched_process_exit"))
