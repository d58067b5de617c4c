"""A wildcard over system calls is one raw tracepoint: numbers, arguments, results, and 32-bit calls told apart."""
from __future__ import annotations

import ctypes
import mmap
import os
import time
from typing import Any

import pytest

from bpfwright import Struct, attach, load, u32, u64
from bpfwright._abi.syscalls import NUMBERS
from bpfwright.helpers import current
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, RingBuf
from tests.lang.threeway import define

pytestmark = pytest.mark.kernel

X86 = NUMBERS["x86_64"]


class Call(Struct):
    number: u32
    a: u64
    b: u64
    c: u64


calls = RingBuf[Call](size_bytes=1 << 20)
who = Hash[u32, u64](max_entries=4)
singles = RingBuf[Call](size_bytes=1 << 20)


@tracepoint.program("syscalls:sys_enter_*")
def dispatching(ctx: tracepoint.Context) -> None:
    if current.tid == u32(who.get(0) or 0):
        calls.emit(Call(ctx.syscall, tracepoint.argument(ctx, 0), tracepoint.argument(ctx, 1),
                        tracepoint.argument(ctx, 2)))


@tracepoint.program("syscalls:sys_enter_*", compat=True)
def with_compat(ctx: tracepoint.Context) -> None:
    if current.tid == u32(who.get(0) or 0):
        calls.emit(Call(ctx.syscall, tracepoint.argument(ctx, 0), tracepoint.argument(ctx, 1),
                        tracepoint.argument(ctx, 2)))


@tracepoint.program("syscalls:sys_exit_*")
def results(ctx: tracepoint.Context) -> None:
    if current.tid == u32(who.get(0) or 0):
        calls.emit(Call(ctx.syscall, u64(tracepoint.result(ctx)), 0, 0))


@tracepoint.program("syscalls:sys_enter_get*")
def getters(ctx: tracepoint.Context) -> None:
    if current.tid == u32(who.get(0) or 0):
        calls.emit(Call(ctx.syscall, 0, 0, 0))


def raw(number: int, *arguments: int) -> int:
    return int(ctypes.CDLL(None).syscall(number, *(ctypes.c_ulong(a & (1 << 64) - 1) for a in arguments)))


# Calls that fail or change nothing, with arguments that are told apart.
HARMLESS = ["access", "alarm", "bind", "capget", "chdir", "chmod", "chown", "chroot", "clock_getres", "clock_gettime",
            "close", "connect", "creat", "dup", "dup2", "dup3", "epoll_create1", "epoll_ctl", "eventfd2", "faccessat",
            "fadvise64", "fallocate", "fchdir", "fchmod", "fchown", "fcntl", "fdatasync", "fgetxattr", "flock",
            "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "getgroups", "getitimer", "getpeername", "getpgid",
            "getpriority", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "ioctl", "listen", "lseek",
            "madvise", "mkdir", "mlock", "open", "openat", "pread64", "pwrite64", "readlink", "rmdir",
            "sched_getaffinity", "sched_getparam", "statfs", "sysinfo", "truncate", "unlink", "utime"]
BAD = 0xFFFF_FFFF_FFFF_F000  # an address that no process has; also a descriptor that is none


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_fields_equal_those_of_the_single_tracepoints() -> None:
    assert len(HARMLESS) >= 50
    programs = []
    for name in HARMLESS:
        text = f'''
class sys_enter(tracepoint.Fields, event="syscalls:sys_enter_{name}"):
    __syscall_nr: i32
{FIELDS[name]}
@tracepoint.program
def one_{name}(ctx: sys_enter) -> None:
    if current.tid == u32(who.get(0) or 0):
        singles.emit(Call({X86[name]}, {VALUES[name]}))
'''
        programs.append(define_program(text))
    with attach(dispatching, *programs) as session:
        together, apart = session.events(calls), session.events(singles)
        who[0] = ctypes.CDLL(None).gettid()
        for index, name in enumerate(HARMLESS):
            raw(X86[name], BAD + index, BAD + 2 * index, 0x7000_0000 + index, 0, 0, 0)
        who[0] = 0
        wanted = {X86[name] for name in HARMLESS}
        all_calls = [e for e in together.within(0.1) if e.number in wanted]
        single = list(apart.within(0.1))
        assert together.lost == apart.lost == 0
    assert len(single) == len(HARMLESS)
    for one in single:
        arguments = ARGUMENTS[one.number]
        matching = [e for e in all_calls if e.number == one.number and _cut(e, arguments) == _cut(one, arguments)]
        assert matching, (one, [e for e in all_calls if e.number == one.number])


def _cut(call: Call, count: int) -> tuple[int, ...]:
    return (call.a, call.b, call.c)[:count]


def _describe() -> tuple[dict[str, str], dict[str, str], dict[int, int]]:
    """Field declarations of each call, as the running kernel's format files have them; up to three are compared."""
    from bpfwright.hooks.tracepoint import parse_format
    from bpfwright.kernel.tracepoints import event_format
    fields, values, arguments = {}, {}, {}
    for name in HARMLESS:
        places = [f for f in parse_format(event_format("syscalls", f"sys_enter_{name}")) if f != "__syscall_nr"][:3]
        fields[name] = "\n".join(f"    {f}: u64" for f in places) or "    pass"
        values[name] = ", ".join([f"ctx.{f}" for f in places] + ["0"] * (3 - len(places)))
        arguments[X86[name]] = len(places)
    return fields, values, arguments


def define_program(text: str) -> Any:
    return define(text.replace("    __syscall_nr: i32\n", ""), tracepoint=tracepoint, current=current, who=who,
                  Call=Call, singles=singles)


if os.uname().machine == "x86_64" and os.geteuid() == 0:
    FIELDS, VALUES, ARGUMENTS = _describe()


def test_results_and_subsets() -> None:
    with attach(results) as session:
        events = session.events(calls)
        who[0] = ctypes.CDLL(None).gettid()
        assert os.getpid() == raw(X86["getpid"])
        who[0] = 0
        assert (X86["getpid"], os.getpid()) in {(e.number, e.a) for e in events.within(0.1)}
    with attach(getters) as session:
        events = session.events(calls)
        who[0] = ctypes.CDLL(None).gettid()
        raw(X86["getppid"])
        raw(X86["alarm"], 0)
        who[0] = 0
        numbers = {e.number for e in events.within(0.1)}
        assert X86["getppid"] in numbers and X86["alarm"] not in numbers


CODE32 = bytes.fromhex("53" "b814000000" "cd80" "5b" "c3")  # push rbx; mov eax, 20; int 0x80; pop rbx; ret


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="int 0x80 is x86")
@pytest.mark.parametrize("compat", [False, True])
def test_32_bit_calls_are_told_apart(compat: bool) -> None:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(CODE32)
        view = (ctypes.c_char * 16).from_buffer(page)
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(view))
        with attach(with_compat if compat else dispatching) as session:
            events = session.events(calls)
            who[0] = ctypes.CDLL(None).gettid()
            answer = call()
            who[0] = 0
            if answer != os.getpid():
                pytest.skip("this kernel refuses it: no 32-bit system calls at all")
            # 20 is writev among the 64-bit calls, and nobody here calls that.
            assert (20 in {e.number for e in events.within(0.1)}) is compat
        del view


def test_a_wildcard_attaches_and_detaches_at_once() -> None:
    best = 1e9
    for _ in range(5):
        with load(dispatching) as session:
            start = time.perf_counter()
            loaded = session.program(dispatching)
            link = dispatching.hook.attach(session.machine, loaded, dispatching, dispatching.target)
            link.close()
            best = min(best, time.perf_counter() - start)
    assert best < 0.3
