"""Programs attached to real hooks of this kernel, with real events and traffic."""
from __future__ import annotations

import ctypes
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright import L, Struct, attach, char, i32, i64, log, shared, u32, u64
from bpfwright.errors import TargetError, UsageError
from bpfwright.headers import TCP, UDP, Ethernet, IPv4
from bpfwright.helpers import address_of, cookie, current, kernel_word, now_ns
from bpfwright.hooks import cgroup, iterator, perf_event, raw_tracepoint, socket_filter, tc, tracepoint, uprobe, xdp
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from bpfwright.maps import Hash, RingBuf, StackTrace
from bpfwright.tracepoints.syscalls import sys_enter_openat, sys_exit_openat
from bpfwright.types import User, UserStr
from bpfwright.vmlinux import task_struct

pytestmark = pytest.mark.kernel


class Seen(Struct):
    count: u64
    value: i64
    other: u64


class Opened(Struct):
    pid: u32
    result: i32
    path: char[L[64]]


seen = shared(Seen(0, 0, 0))
opened = RingBuf[Opened](size_bytes=1 << 20)
paths = Hash[u32, char[L[64]]](max_entries=1024)
mine = Hash[u32, u64](max_entries=4)


@pytest.fixture
def wire() -> Iterator[tuple[NetworkNamespace, NetworkNamespace]]:
    """Two namespaces, 10.7.0.1 on `left` and 10.7.0.2 on `right`."""
    with NetworkNamespace.create() as one, NetworkNamespace.create() as two:
        with one.entered(), Netlink() as link:
            link.create_veth("left", "right")
            link.move("right", two.fd)
            link.add_address("left", "10.7.0.1", 24)
            link.set_up("left")
            link.set_up("lo")
        with two.entered(), Netlink() as link:
            link.add_address("right", "10.7.0.2", 24)
            link.set_up("right")
        yield one, two


def talk(one: NetworkNamespace, two: NetworkNamespace, port: int, count: int = 5) -> int:
    """Send datagrams from right to left; how many arrived."""
    with one.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with two.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind(("10.7.0.1", port))
        receiver.settimeout(0.3)
        arrived = 0
        for _ in range(count):
            sender.sendto(b"hello", ("10.7.0.1", port))
            try:
                receiver.recv(100)
                arrived += 1
            except TimeoutError:
                pass
        return arrived


@xdp.program
def drop_port(ctx: xdp.Context) -> xdp.Action:
    match ctx.find(UDP, TCP):
        case UDP(dport=7000) | TCP(dport=7000):
            seen.count += 1
            seen.value = ctx.length
            return xdp.DROP
    seen.other += 1
    return xdp.PASS


@pytest.mark.parametrize("mode", ["native", "generic", "auto"])
def test_xdp_drops_what_it_says(wire: tuple[NetworkNamespace, NetworkNamespace], mode: str) -> None:
    one, two = wire
    with one.entered():
        session = attach(drop_port, xdp.Interface("left", mode=mode))
    with session:
        assert ("generic" if mode == "generic" else "native") in session.links[0].description
        assert talk(one, two, 7000, 3) == 0
        assert seen.count == 3 and seen.value == 14 + 20 + 8 + 5
        assert talk(one, two, 7001, 3) == 3 and seen.other >= 3
    assert talk(one, two, 7000, 2) == 2


@tc.program
def mark_or_drop(ctx: tc.Context) -> tc.Action:
    udp = ctx.find(UDP)
    if udp is not None and udp.dport == 7002:
        seen.count += 1
        return tc.SHOT
    seen.other += 1
    ctx.mark = 7
    return tc.OK


@pytest.mark.parametrize("ingress", [True, False])
def test_tc_both_ways(wire: tuple[NetworkNamespace, NetworkNamespace], ingress: bool) -> None:
    one, two = wire
    where = one if ingress else two
    with where.entered():
        target = tc.Ingress("left") if ingress else tc.Egress("right")
        session = attach(mark_or_drop.on(target))
    with session:
        assert talk(one, two, 7002, 3) == 0 and seen.count == 3
        assert talk(one, two, 7003, 3) == 3 and seen.other >= 3


@tracepoint.program
def entering(ctx: sys_enter_openat) -> None:
    path = ctx.filename.read(64)
    if path is not None:
        paths[current.tid] = path


@tracepoint.program
def leaving(ctx: sys_exit_openat) -> None:
    path = paths.pop(current.tid, None)
    if path is not None and path.startswith("/tmp/bpfwright-"):
        opened.emit(Opened(current.pid, i32(ctx.ret), path))


def test_tracepoints_tell_opens(tmp_path: object) -> None:
    name = f"/tmp/bpfwright-{os.getpid()}-none"
    with attach(entering, leaving) as session:
        events = session.events(opened)
        with pytest.raises(FileNotFoundError):
            os.stat(os.open(name, os.O_RDONLY))
        (event,) = [e for e in events.within(0.2) if e.pid == os.getpid()]
        assert event.path == name and event.result == -2
        assert events.lost == 0


class sched_process_fork(tracepoint.Fields, event="sched:sched_process_fork"):
    parent_pid: i32
    child_pid: i32


@tracepoint.program
def forked(ctx: sched_process_fork) -> None:
    if ctx.parent_pid == i32(mine.get(0) or 0):
        seen.count += 1
        seen.value = ctx.child_pid


words = Hash[u64, u64](max_entries=8)


@tracepoint.program("sched:sched_switch")
def any_event(ctx: tracepoint.Context) -> None:
    if current.pid == (mine.get(0) or 0):
        words[cookie(ctx)] = kernel_word(address_of(ctx) + 16)


@tracepoint.program("sched:sched_switch")
def its_name(ctx: tracepoint.Context) -> None:
    log(f"{ctx.event_name}")


@tracepoint.program("syscalls:sys_enter_*")
def all_calls(ctx: tracepoint.Context) -> None:
    pass


def test_one_program_at_several_events_reads_their_records() -> None:
    """Where the first argument of a call stands, and its result."""
    events = [any_event.on(tracepoint.Event(f"syscalls:sys_{kind}_lseek", cookie=at))
              for at, kind in enumerate(("enter", "exit"), 7)]
    with attach(*events) as session:
        mine[0] = os.getpid()
        with pytest.raises(OSError):
            os.lseek(12_345, 0, 0)
        assert dict(session[words].items()) == {7: 12_345, 8: -errno.EBADF & (1 << 64) - 1}


@pytest.mark.parametrize("program", [forked, its_name, all_calls])
def test_what_is_made_for_one_event_goes_to_no_other(program: Any) -> None:
    with pytest.raises(UsageError, match=r"not (?:of|for) sched:sched_process_exit"):
        attach(program.on(tracepoint.Event("sched:sched_process_exit")))
    with pytest.raises(TargetError):
        attach(any_event, tracepoint.Event("sched:no_such_event"))


def test_fields_written_by_hand() -> None:
    with attach(forked) as session:
        mine[0] = os.getpid()
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert seen.count == 1 and seen.value == child
        assert session.links


@raw_tracepoint.program("sched_process_exit")
def exited(ctx: raw_tracepoint.Context, task: task_struct) -> None:
    if task.real_parent.tgid == i32(mine.get(0) or 0):
        seen.count += 1
        seen.value = task.tgid


@raw_tracepoint.program("sched_process_exit", btf=False)
def exited_untyped(ctx: raw_tracepoint.Context, task: task_struct) -> None:
    if task.real_parent.tgid == i32(mine.get(0) or 0):
        seen.count += 1
        seen.value = task.tgid


@pytest.mark.parametrize("program", [exited, exited_untyped], ids=["btf", "raw"])
def test_raw_tracepoints(program: object) -> None:
    with attach(program):  # type: ignore[call-overload]
        mine[0] = os.getpid()
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert seen.count == 1 and seen.value == child


@uprobe.program("libc.so.6:strtoull")
def parsing(ctx: uprobe.Context, text: UserStr, end: User[u64], base: i32) -> None:
    if current.pid != u32(mine.get(0) or 0):
        return
    found = text.read(16)
    if found is not None and found == "4711":
        seen.count += 1
        seen.value = base


@uprobe.exit("libc.so.6:strtoull")
def parsed(ctx: uprobe.Context, result: u64) -> None:
    if current.pid == u32(mine.get(0) or 0):
        seen.other = result


def test_uprobes_see_arguments_and_results() -> None:
    libc = ctypes.CDLL("libc.so.6")
    libc.strtoull.restype = ctypes.c_ulonglong
    with attach(parsing, parsed):
        mine[0] = os.getpid()
        assert libc.strtoull(b"4711", None, 10) == 4711
        assert (seen.count, seen.value, seen.other) == (1, 10, 4711)


stacks = StackTrace(max_entries=1024)
samples = Hash[u32, u64](max_entries=1024)


@perf_event.program
def sample(ctx: perf_event.Context) -> None:
    if current.pid != u32(mine.get(0) or 0):
        return
    seen.count += 1
    seen.other = ctx.instruction_pointer
    stack = stacks.capture(ctx, user=True)
    if stack is not None:
        samples.increment(stack)


def test_sampling_finds_this_process_busy() -> None:
    with attach(sample.on(perf_event.Sampling(hz=999))):
        mine[0] = os.getpid()
        end = time.monotonic() + 30
        while seen.count <= 20 and time.monotonic() < end:
            sum(range(10_000))
        mine[0] = 0
        assert seen.count > 20 and seen.other != 0
        assert sum(samples.values()) + stacks.lost == seen.count
        number, _ = max(samples.items(), key=lambda item: item[1])
        assert stacks[number]


class Row(Struct):
    tgid: u32
    comm: char[L[16]]


@iterator.program
def tasks(ctx: iterator.Task) -> None:
    task = ctx.task
    if task is None:
        return
    ctx.write(Row(u32(task.tgid), task.comm))


def test_iterator_walks_all_tasks() -> None:
    with attach(tasks) as session:
        rows = session.read(tasks, Row)
        assert os.getpid() in {row.tgid for row in rows}
        assert len({row.tgid for row in rows}) >= 5
        # A process has a row for each thread, by number; numbers begin again, so the first may be any of them.
        assert Path("/proc/self/comm").read_text().strip() in {r.comm for r in rows if r.tgid == os.getpid()}


@socket_filter.program
def only_short(ctx: socket_filter.Context) -> int:
    seen.count += 1
    udp = ctx.read(0, UDP)
    if udp is None or ctx.length > 8 + 10:
        return 0
    seen.value = udp.dport
    return 0xFFFF


def test_socket_filter_drops_long_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        port = receiver.getsockname()[1]
        with attach(only_short, socket_filter.Socket(receiver)):
            sender.sendto(b"much too long a datagram", ("127.0.0.1", port))
            sender.sendto(b"short", ("127.0.0.1", port))
            assert receiver.recv(100) == b"short"
            assert seen.count == 2 and seen.value == port


CGROUPS = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"


@pytest.fixture
def group() -> Iterator[str]:
    """A cgroup with this process in it."""
    path = f"{CGROUPS}/bpfwright-test-{os.getpid()}"
    home = next(line.split("::")[1] for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::"))
    os.mkdir(path)
    try:
        with open(f"{path}/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
        yield path
    finally:
        with open(f"{CGROUPS}{home}/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
        os.rmdir(path)


@cgroup.connect4
def redirect(ctx: cgroup.Connect4) -> cgroup.Action:
    if ctx.port == 4444 and ctx.address == "127.0.0.9":
        seen.count += 1
        ctx.address = IPv4.Address("127.0.0.1")
        ctx.port = 4445
    if ctx.port == 4446:
        return cgroup.DENY
    return cgroup.ALLOW


def test_connect_is_redirected_or_denied(group: str) -> None:
    with attach(redirect, cgroup.Path(group)), socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 4445))
        server.listen()
        with socket.create_connection(("127.0.0.9", 4444), timeout=2) as client:
            assert client.getpeername() == ("127.0.0.1", 4445)
        assert seen.count == 1
        with pytest.raises(PermissionError), socket.socket() as denied:
            denied.connect(("127.0.0.1", 4446))


@cgroup.egress
def count_out(ctx: cgroup.Skb) -> cgroup.Action:
    ip = ctx.read(0, IPv4)
    if ip is not None and ip.protocol == 17 and ip.destination == "127.0.0.1":
        seen.count += 1
        seen.value = ip.total_length
    return cgroup.ALLOW


def test_cgroup_packets(group: str) -> None:
    with attach(count_out, cgroup.Path(group)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"12345", ("127.0.0.1", 9))
        assert seen.count == 1 and seen.value == 20 + 8 + 5


def test_a_missing_interface_leaves_nothing_attached() -> None:
    from bpfwright.errors import TargetError
    with pytest.raises(TargetError):
        attach(drop_port, xdp.Interface("no-such-if"))
    from bpfwright.errors import SessionError
    with pytest.raises(SessionError):
        _ = seen.count


_ = (Ethernet, now_ns)
