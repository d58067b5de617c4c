"""Kernel structs by CO-RE: plain attribute access, nested, bit-fields, arrays, exists(), kfuncs, references, RCU."""
from __future__ import annotations

import os
from typing import Any

import pytest

from bpfwright import L, Struct, attach, bits, char, exists, i32, i64, load, log, ptr, shared, u32, u64
from bpfwright.errors import NotSupported, RelocationError, VerifierError
from bpfwright.helpers import current, external, kfunc, rcu, task_from_pid
from bpfwright.hooks import raw_tracepoint, xdp
from bpfwright.types import KernelStruct
from bpfwright.vmlinux import task_struct

pytestmark = pytest.mark.kernel
GETPPID = 110


class Out(Struct):
    a: i64
    b: i64
    c: i64
    text: char[L[16]]


class nsproxy(KernelStruct):
    count: u32


class seccomp(KernelStruct):
    mode: i32


class task_more(KernelStruct, type="task_struct"):
    """Another picture of the same type: what the shipped one may not have, and a field that no kernel has."""

    nsproxy: ptr[nsproxy]
    seccomp: seccomp
    in_execve: bits[u32, L[1]]
    no_such_field: u64


class cgroup(KernelStruct):
    level: i32


out = shared(Out(0, 0, 0, ""))


def run_at_getppid(program: Any) -> None:
    with attach(program) as session:
        os.getppid()
        session.lines = session.log()  # type: ignore[attr-defined]
        global lines
        lines = session.lines  # type: ignore[attr-defined]
        _keep(session)


kept: dict[str, Any] = {}
lines: list[str] = []


def _keep(session: Any) -> None:
    here = session[out]
    kept.update(a=here.a, b=here.b, c=here.c, text=here.text)


@raw_tracepoint.program("sys_enter")
def reading(ctx: raw_tracepoint.Context, regs: u64, number: i64) -> None:
    if number != GETPPID:
        return
    task = current.task
    out.a = task.tgid
    out.b = task.real_parent.tgid
    out.text = task.comm
    out.c = task.real_parent.real_parent.pid
    log(f"{task.comm} {task.tgid} {task.exit_state}")


@raw_tracepoint.program("sys_enter", btf=False)
def reading_untyped(ctx: raw_tracepoint.Context, regs: u64, number: i64) -> None:
    if number != GETPPID:
        return
    task = current.task
    out.a = task.tgid
    out.b = task.real_parent.tgid
    out.text = task.comm
    out.c = task.real_parent.real_parent.pid


@pytest.mark.parametrize("program", [reading, reading_untyped], ids=["btf", "untyped"])
def test_fields_through_pointers(program: Any) -> None:
    run_at_getppid(program)
    with open(f"/proc/{os.getppid()}/stat") as stat:
        grandparent = int(stat.read().rsplit(")", 1)[1].split()[1])
    with open("/proc/self/comm") as comm:
        assert kept["text"] == comm.read().strip()
    assert (kept["a"], kept["b"], kept["c"]) == (os.getpid(), os.getppid(), grandparent)
    if program is reading:
        assert any(line.split()[-2] == str(os.getpid()) for line in lines)


@raw_tracepoint.program("sys_enter")
def existing(ctx: raw_tracepoint.Context, regs: u64, number: i64) -> None:
    if number != GETPPID:
        return
    more = as_more()  # type: ignore[no-untyped-call]
    out.a = 1 if exists(more.nsproxy) else 0
    out.b = 1 if exists(more.no_such_field) else 0
    out.c = i64(more.no_such_field) if exists(more.no_such_field) else -5


def as_more():  # type: ignore[no-untyped-def]
    return current_more()


@kfunc
def current_more() -> task_more: external()


def test_exists_makes_a_missing_field_harmless() -> None:
    @raw_tracepoint.program("sched_process_exit")
    def with_flavour(ctx: raw_tracepoint.Context, task: task_more) -> None:
        out.a = 1 if exists(task.nsproxy) else 0
        out.b = 1 if exists(task.no_such_field) else 0
        out.c = i64(task.no_such_field) if exists(task.no_such_field) else -5
        out.text = "execve" if task.in_execve else "not"

    with attach(with_flavour):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert (out.a, out.b, out.c, out.text) == (1, 0, -5, "not")


def test_a_missing_field_is_named() -> None:
    @raw_tracepoint.program("sched_process_exit")
    def missing(ctx: raw_tracepoint.Context, task: task_more) -> None:
        out.a = i64(task.no_such_field)

    with pytest.raises((RelocationError, VerifierError, NotSupported)) as caught:
        load(missing).close()
    assert "no_such_field" in str(caught.value)


def test_references_and_rcu() -> None:
    @raw_tracepoint.program("sys_enter")
    def referring(ctx: raw_tracepoint.Context, regs: u64, number: i64) -> None:
        if number != GETPPID:
            return
        with task_from_pid(i32(current.pid)) as task:
            if task is None:
                return
            out.a = task.tgid
        with task_from_pid(i32(0x7FFF_FFFF)) as nobody:
            if nobody is not None:
                return
        with rcu():
            out.b = current.task.real_parent.tgid

    run_at_getppid(referring)
    assert (kept["a"], kept["b"]) == (os.getpid(), os.getppid())


@kfunc
def bpf_cgroup_from_id(cgid: u64) -> cgroup | None: external()


def test_kfuncs_are_typed_and_their_references_given_back() -> None:
    @raw_tracepoint.program("sys_enter")
    def by_kfunc(ctx: raw_tracepoint.Context, regs: u64, number: i64) -> None:
        if number != GETPPID:
            return
        group = bpf_cgroup_from_id(1)
        if group is None:
            out.a = -1
            return
        out.a = group.level
        out.b = 7

    run_at_getppid(by_kfunc)
    assert (kept["a"], kept["b"]) in ((0, 7), (-1, 0))


def test_a_missing_kfunc_is_named() -> None:
    @kfunc
    def bpf_no_such_kfunc(a: i32) -> i32: external()

    @xdp.program
    def calling(ctx: xdp.Context) -> xdp.Action:
        return xdp.PASS if bpf_no_such_kfunc(1) == 0 else xdp.DROP

    with pytest.raises(NotSupported, match="bpf_no_such_kfunc"):
        load(calling).close()


_ = (task_struct, as_more)
