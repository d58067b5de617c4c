"""Programs that mean something and compile, and that verifiers reject; each names by a comment where it goes wrong."""
from __future__ import annotations

from typing import Any

from bpfwright import L, SpinLock, Struct, char, i32, ptr, subprogram, u32, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import current, external, kfunc, now_ns, task_from_pid
from bpfwright.hooks import raw_tracepoint, socket_filter, tracepoint, xdp
from bpfwright.maps import Array, Hash, ProgArray, RingBuf, Timer
from bpfwright.spec.program import Program
from bpfwright.tracepoints.syscalls import sys_exit_getpid
from bpfwright.types import KernelStruct


class Bucket(Struct):
    tokens: u64
    lock: SpinLock = SpinLock()


class Small(Struct):
    text: char[L[80]]


class Row(Struct):
    at: u64


class task(KernelStruct, type="task_struct"):
    tgid: i32


counts = Hash[u32, u64](max_entries=64)
buckets = Array[Bucket](max_entries=4)
stages = ProgArray[xdp.Context](max_entries=4)
rows = RingBuf[Row](size_bytes=4096)
small = Hash[u32, Small](max_entries=8)


class Lease(Struct):
    hits: u64
    timer: Timer[u32, Lease] = Timer()


leases = Hash[u32, Lease](max_entries=8)


def expire(key: u32, lease: Lease) -> None:
    leases.pop(key, None)


@kfunc
def bpf_task_release(p: ptr[task]) -> None: external()


class linux_binprm(KernelStruct):
    argc: i32


@kfunc
def bpf_cgroup_release(cgrp: ptr[linux_binprm]) -> None: external()


@xdp.program
def endless(ctx: xdp.Context) -> xdp.Action:
    n: u64 = ctx.length  # here
    while n != 1:  # here
        n = n // 2 if n % 2 == 0 else 3 * n + 1  # here
    return xdp.PASS


@xdp.program
def header_after_adjust(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    if not ctx.adjust_head(14):
        return xdp.ABORTED
    counts[1] = ip.ttl  # here
    return xdp.PASS


@xdp.program
def header_after_adjust_written(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    if ctx.adjust_tail(-4):
        ip.ttl = 3  # here
    return xdp.PASS


@xdp.program
def call_under_lock(ctx: xdp.Context) -> xdp.Action:
    bucket = buckets.get(1)
    if bucket is None:
        return xdp.PASS
    with bucket.lock:
        bucket.tokens = now_ns()  # here
    return xdp.PASS


@xdp.program
def lookup_under_lock(ctx: xdp.Context) -> xdp.Action:
    bucket = buckets.get(1)
    if bucket is None:
        return xdp.PASS
    with bucket.lock:
        other = counts.get(1)  # here
        if other is not None:
            bucket.tokens = other
    return xdp.PASS


@xdp.program
def increment_under_lock(ctx: xdp.Context) -> xdp.Action:
    first = buckets.get(1)
    if first is None:
        return xdp.PASS
    with first.lock:
        first.tokens += 1
        counts.increment(2)  # here
    return xdp.PASS


@raw_tracepoint.program("sys_enter", btf=False)
def lock_in_tracing(ctx: raw_tracepoint.Context) -> None:  # here
    bucket = buckets.get(1)
    if bucket is None:
        return
    with bucket.lock:  # here
        bucket.tokens += 1


@xdp.program
def current_in_xdp(ctx: xdp.Context) -> xdp.Action:
    counts[current.pid] = 1  # here
    return xdp.PASS


@subprogram
def deep6(a: u64) -> u64:
    place = Small("6")
    small[u32(a)] = place
    return a + 1


@subprogram
def deep5(a: u64) -> u64:
    place = Small("5")
    small[u32(a)] = place
    return deep6(a) + a


@subprogram
def deep4(a: u64) -> u64:
    place = Small("4")
    small[u32(a)] = place
    return deep5(a) + a


@subprogram
def deep3(a: u64) -> u64:
    place = Small("3")
    small[u32(a)] = place
    return deep4(a) + a


@subprogram
def deep2(a: u64) -> u64:
    place = Small("2")
    small[u32(a)] = place
    return deep3(a) + a


@subprogram
def deep1(a: u64) -> u64:
    place = Small("1")
    small[u32(a)] = place
    return deep2(a) + a


@subprogram
def deep0(a: u64) -> u64:
    place = Small("0")
    small[u32(a)] = place
    return deep1(a) + a


@xdp.program
def stack_of_calls(ctx: xdp.Context) -> xdp.Action:  # here
    return xdp.PASS if deep0(ctx.length) else xdp.DROP


@raw_tracepoint.program("sys_enter")
def released_twice(ctx: raw_tracepoint.Context) -> None:
    with task_from_pid(1) as found:  # here
        if found is not None:
            bpf_task_release(found)  # type: ignore[arg-type]  # another picture of the same struct


@raw_tracepoint.program("sched_process_fork")
def released_not_acquired(ctx: raw_tracepoint.Context, parent: ptr[task]) -> None:
    bpf_task_release(parent)  # here


@xdp.program
def tail_call_under_reserve(ctx: xdp.Context) -> xdp.Action:
    with rows.reserve() as row:
        if row is None:
            return xdp.PASS
        stages.tail_call(ctx, 1)  # here
        row.at = 1
    return xdp.PASS


@subprogram
def nine(a: u64) -> u64:
    return a // 3


@subprogram
def eight(a: u64) -> u64:
    return nine(a + 1) * 7  # here


@subprogram
def seven(a: u64) -> u64:
    return eight(a + 1) * 5


@subprogram
def six(a: u64) -> u64:
    return seven(a + 1) * 3


@subprogram
def five(a: u64) -> u64:
    return six(a + 1) * 17


@subprogram
def four(a: u64) -> u64:
    return five(a + 1) * 13


@subprogram
def three(a: u64) -> u64:
    return four(a + 1) * 11


@subprogram
def two(a: u64) -> u64:
    return three(a + 1) * 2


@xdp.program
def nested_calls(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS if two(ctx.length) > 7 else xdp.DROP


@socket_filter.program
def kfunc_in_socket_filter(ctx: socket_filter.Context) -> int:
    with task_from_pid(1) as found:  # here
        return 1 if found is not None else 0


@raw_tracepoint.program("sched_process_exec")
def kfunc_with_other_struct(ctx: raw_tracepoint.Context, binary: ptr[linux_binprm]) -> None:
    bpf_cgroup_release(binary)  # here


@tracepoint.program
def timer_in_tracing(ctx: sys_exit_getpid) -> None:  # here
    lease = leases.get(1)
    if lease is not None:
        lease.timer.start(leases, expire, after_ns=1)  # here


@xdp.program
def reserve_under_lock(ctx: xdp.Context) -> xdp.Action:
    bucket = buckets.get(1)
    if bucket is None:
        return xdp.PASS
    with bucket.lock:
        with rows.reserve() as row:  # here
            if row is not None:
                row.at = bucket.tokens
    return xdp.PASS


@xdp.program
def subprogram_under_lock(ctx: xdp.Context) -> xdp.Action:
    bucket = buckets.get(1)
    if bucket is None:
        return xdp.PASS
    with bucket.lock:
        bucket.tokens = nine(bucket.tokens)  # here
    return xdp.PASS


REJECTED: dict[str, Program[Any, Any, Any]] = {
    value.name: value for value in list(globals().values()) if isinstance(value, Program)}
