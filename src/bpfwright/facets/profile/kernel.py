"""The programs of a profile: samples and blocked times are counted by stack in the kernel, and nobody is woken."""
from __future__ import annotations

from bpfwright.facets.profile.pythons import PythonWalk, find_thread, python_stack, remember_all
from bpfwright.helpers import address_of, capture_stack, current, now_ns, subprogram
from bpfwright.helpers.tasks import number_in, state_of
from bpfwright.hooks import perf_event, raw_tracepoint
from bpfwright.maps import Hash, LruHash, PerCpuArray
from bpfwright.stacks.unwinding import Stack, ask_again, name_of, process_of, processes, unwind, work
from bpfwright.types import Config, L, Struct, char, shared, u8, u32, u64, i64
from bpfwright.vmlinux import task_struct

KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD, include/linux/sched.h


class Settings(Config):
    """What is wanted; 0 and -1 stand for everything."""

    namespace: u64 = 0
    pid: u32 = 0
    tid: u32 = 0
    follow: u8 = 0
    cgroup: u64 = 0
    level: u32 = 0
    cpu: i64 = -1
    comm: u8 = 0
    kernel: u8 = 1
    user: u8 = 1
    tables: u8 = 0
    python: u8 = 0
    off_cpu: u8 = 0
    running: u8 = 0
    states: u64 = 0
    least_ns: u64 = 1000
    most_ns: u64 = (1 << 64) - 1


class Key(Struct):
    """What is told apart. Stacks are named by a hash of their addresses, 0 for none."""

    comm: char[L[16]]
    pid: u32
    life: u32
    kernel: u64
    user: u64
    python: u64


class Blocked(Struct):
    """A thread that does not run, and since when."""

    since_ns: u64
    key: Key


class Totals(Struct):
    """What is said of every profile, once it has `begun`: nothing is counted while processes are met."""

    begun: u64
    samples: u64
    idle: u64
    kernel_failed: u64
    user_failed: u64
    python_failed: u64
    stacks_kept: u64
    stacks_lost: u64
    counts_kept: u64
    counts_lost: u64


class Name(Struct):
    """A thread's name."""

    text: char[L[16]]


settings = Settings()
totals = shared(Totals(0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
wanted_name = shared(Name(""))
stacks = Hash[u64, Stack](max_entries=16_384)
counts = Hash[Key, u64](max_entries=32_768)
followed = Hash[u32, u8](max_entries=8_192)
blocked = LruHash[u32, Blocked](max_entries=65_536)
entries = PerCpuArray[Blocked](max_entries=1)
python_work = PerCpuArray[PythonWalk](max_entries=1)


def process_here() -> u32:
    """The process that runs, as our own PID namespace numbers it; 0 when it is not in it."""
    if settings.namespace == 0:
        return current.pid
    return number_in(address_of(current.task.group_leader), settings.namespace)


def thread_here() -> u32:
    """The thread that runs, in the same way."""
    if settings.namespace == 0:
        return current.tid
    return number_in(address_of(current.task), settings.namespace)


def process_of_task(task: task_struct) -> u32:
    """A task's process, in the same way."""
    if settings.namespace == 0:
        return u32(task.tgid)
    return number_in(address_of(task.group_leader), settings.namespace)


def wanted(pid: u32) -> bool:
    if settings.namespace != 0 and pid == 0:
        return False
    if settings.pid != 0 and pid != settings.pid:
        return False
    if settings.tid != 0 and thread_here() != settings.tid:
        return False
    if settings.follow != 0 and followed.get(pid) is None:
        return False
    if settings.cgroup != 0 and current.ancestor_cgroup_id(settings.level) != settings.cgroup:
        return False
    if settings.cpu >= 0 and current.cpu != settings.cpu:
        return False
    return settings.comm == 0 or current.comm == wanted_name.text


def chosen_states() -> bool:
    return settings.states != 0 or settings.running != 0


@subprogram
def keep(stack: Stack, count: u32) -> u64:
    """Keep a stack once; its name."""
    name = name_of(stack, count, 0)
    return name if stacks.get(name) is not None else kept_as(name, stack, count)


def kept_as(name: u64, stack: Stack, count: u32) -> u64:
    """Keep a stack that is new; its name, 1 where there is no room."""
    stack.count = count
    if not stacks.insert(name, stack):
        totals.stacks_lost += 1
        return 1
    totals.stacks_kept += 1
    return name


def count(key: Key, weight: u64) -> None:
    if counts.get(key) is None:
        totals.counts_kept += 1
    counts.increment(key, weight)


def described(ctx: object, key: Key, pid: u32) -> None:
    """Fill in who runs and where, in a map's memory: on the stack it would leave too little to those who are called."""
    key.comm = current.comm
    key.pid = pid
    key.life = 0
    key.kernel = 0
    key.user = 0
    key.python = 0
    scratch = work.local(0)
    if settings.kernel != 0:
        scratch.kept.stack.flags = 0
        count = capture_stack(ctx, scratch.kept.stack.frames)
        if count > 0:
            key.kernel = keep(scratch.kept.stack, u32(count))
    if current.task.flags & KERNEL_THREAD == 0:
        process = process_of(pid)
        if process is None:
            return
        key.life = process.life
        if settings.user != 0:
            scratch.kept.stack.flags = 0
            if settings.tables != 0:
                frames = unwind(scratch, process, pid)
            else:
                frames = u32(capture_stack(ctx, scratch.kept.stack.frames, user=True))
            if frames > 0:
                key.user = keep(scratch.kept.stack, frames)
            else:
                totals.user_failed += 1
        if settings.python != 0 and process.python != 0:
            python = python_work.local(0)
            frames = python_stack(python, process) if find_thread(python, process) else 0
            if frames > 0:
                # A child that was forked has its parent's addresses, but names of its own; so have functions that come
                # to stand where others were.
                key.python = name_of(python.stack, frames, python.identity)
                if stacks.get(key.python) is None:
                    remember_all(python, process, pid)
                    key.python = kept_as(key.python, python.stack, frames)
            else:
                totals.python_failed += 1
        elif settings.python != 0 and settings.tables == 0:
            ask_again(pid, process)  # its interpreter may come yet; with tables, unwinding finds out


@perf_event.program
def sampled(ctx: perf_event.Context) -> None:
    if totals.begun == 0:
        return
    if current.tid == 0:
        totals.idle += 1
        return
    pid = process_here()
    if not wanted(pid):
        return
    totals.samples += 1
    entry = entries.local(0)
    described(ctx, entry.key, pid)
    count(entry.key, 1)


@raw_tracepoint.program("sched_switch")
def switched(ctx: raw_tracepoint.Context, prev: task_struct, next: task_struct) -> None:
    if totals.begun == 0:
        return
    now = now_ns()
    entry = blocked.get(u32(next.pid))
    if entry is not None:
        time = now - entry.since_ns
        if entry.since_ns != 0 and settings.least_ns <= time <= settings.most_ns:
            totals.samples += 1
            count(entry.key, time)
        entry.since_ns = 0
    if prev.pid == 0:
        return
    pid = process_here()
    if not wanted(pid):
        return
    state = state_of(prev)
    if chosen_states() and (state & settings.states) == 0 and (settings.running == 0 or state != 0):
        return
    started = entries.local(0)
    started.since_ns = now
    described(ctx, started.key, pid)
    blocked[u32(prev.pid)] = started


@raw_tracepoint.program("sched_process_exec")
def executed(ctx: raw_tracepoint.Context) -> None:
    pid = process_here()
    processes.pop(pid, None)
    if settings.follow != 0 and followed.get(pid) is not None:
        process_of(pid)  # it is sampled for sure: user space may look at it now, before its first sample


@raw_tracepoint.program("sched_process_exit")
def exited(ctx: raw_tracepoint.Context) -> None:
    if current.pid == current.tid:
        pid = process_here()
        processes.pop(pid, None)
        if settings.follow != 0:
            followed.pop(pid, None)


@raw_tracepoint.program("sched_process_fork")
def forked(ctx: raw_tracepoint.Context, parent: task_struct, child: task_struct) -> None:
    if followed.get(process_of_task(parent)) is not None:
        followed.insert(process_of_task(child), 1)
