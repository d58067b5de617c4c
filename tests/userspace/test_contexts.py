"""Contexts of hooks that the kernel has no test run for, and those that it has one for: each is fed by test()."""
from __future__ import annotations

from typing import Any

import pytest

import bpfwright
from bpfwright import Kernel, L, Struct, Userspace, char, i32, i64, ptr, shared, u64
from bpfwright.errors import NotSupported
from bpfwright.headers import TCP, Ethernet, IPv4
from bpfwright.helpers import current
from bpfwright.helpers.dynptr import whole_packet
from bpfwright.hooks import (cgroup, fentry, iterator, kprobe, lsm, perf_event, raw_tracepoint, tc, tracepoint,
                             uprobe, xdp)
from bpfwright.maps import Hash, StackTrace, TaskStorage
from bpfwright.spec.recorded import Recorded
from bpfwright.tracepoints.syscalls import sys_enter_openat
from bpfwright.vmlinux import file, task_struct

pytestmark = pytest.mark.userspace


class Out(Struct):
    a: i64
    b: i64
    c: u64
    text: char[L[16]]


out = shared(Out(0, 0, 0, ""))
openat: Any = sys_enter_openat  # its fields may be left out


def load(*programs: Any, **options: Any) -> Any:
    """bpfwright.load() of programs whose inputs are made up."""
    return bpfwright.load(*programs, **options)


@pytest.fixture(params=["interpreter", "jit"])
def machine(request: pytest.FixtureRequest) -> Any:
    with Userspace(engine=request.param) as found:
        yield found


@cgroup.connect4
def connecting(ctx: cgroup.Connect4) -> cgroup.Action:
    if ctx.port == 80:
        ctx.address = IPv4.Address("127.0.0.1")
        ctx.port = 8080
    return cgroup.DENY if ctx.protocol == 17 else cgroup.ALLOW


def test_connect(machine: Any) -> None:
    with load(connecting, machine=machine) as program:
        result: Any = program.test(cgroup.Connect4("192.0.2.1", 80))
        assert result.action is cgroup.ALLOW
        assert (str(result.after.address), result.after.port) == ("127.0.0.1", 8080)
        assert program.test(cgroup.Connect4("192.0.2.1", 53, type=2, protocol=17)).action is cgroup.DENY


@tracepoint.program
def opening(ctx: sys_enter_openat) -> None:
    out.a = i64(ctx.flags)
    name = ctx.filename.read(16)
    if name is not None:
        out.text = name
    out.b = current.pid


def test_tracepoints(machine: Any) -> None:
    machine.become(pid=77, comm="cat")
    with load(opening, machine=machine) as program:
        program.test(openat(flags=5, filename=machine.place("/etc/hosts")))
        assert (out.a, out.b, out.text) == (5, 77, "/etc/hosts")
        program.test(openat(flags=6, filename=0x123))  # nothing is there
        assert (out.a, out.text) == (6, "/etc/hosts")


class sched_switch(tracepoint.Fields, event="sched:sched_switch"):
    prev_comm: char[L[16]]
    prev_pid: i32
    next_pid: i32


@tracepoint.program
def switching(ctx: sched_switch) -> None:
    out.text = ctx.prev_comm
    out.a = ctx.next_pid


FORMAT = """name: sched_switch
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;
"""


def test_events_of_other_kernels(machine: Any) -> None:
    with pytest.raises(NotSupported, match="not known"):
        load(switching, machine=machine)
    machine.formats["sched:sched_switch"] = FORMAT
    with load(switching, machine=machine) as program:
        program.test(sched_switch(prev_comm="bash", prev_pid=3, next_pid=-9))
        assert (out.text, out.a) == ("bash", -9)


@raw_tracepoint.program("sched_process_exit")
def exiting(ctx: raw_tracepoint.Context, task: ptr[task_struct]) -> None:
    out.a = task.pid
    out.b = task.real_parent.pid
    out.text = task.comm
    out.c = task.real_parent.real_parent.start_time


def test_kernel_objects(machine: Any) -> None:
    with load(exiting, machine=machine) as program:
        parent = Recorded("task_struct", pid=1, comm="init")
        program.test((Recorded("task_struct", pid=42, comm="bash", real_parent=parent),))
        assert (out.a, out.b, out.text) == (42, 1, "bash")
        assert out.c == 0  # where nothing stands, loads give 0
        program.test({"task": Recorded("task_struct", pid=43, real_parent=Recorded("task_struct", pid=2))})
        assert (out.a, out.b, out.text) == (43, 2, "")


@kprobe.program("do_sys_openat2")
def probing(ctx: kprobe.Context, dfd: i32, name: u64, task: ptr[task_struct]) -> None:
    out.a = dfd
    out.c = name
    out.b = task.pid


@kprobe.exit("do_sys_openat2")
def returned(ctx: kprobe.Context, ret: i64) -> None:
    out.a = ret


@uprobe.program("libssl.so.3:SSL_write")
def writing(ctx: uprobe.Context, first: u64, second: u64) -> None:
    out.c = second


def test_registers(machine: Any) -> None:
    with load(probing, machine=machine) as program:
        program.test((-100, 0x1234, Recorded("task_struct", pid=9)))
        assert (out.a, out.c, out.b) == (-100, 0x1234, 9)
        program.test((1, 2, 0x500000))
        assert (out.a, out.b) == (1, 0)
    with load(returned, machine=machine) as program:
        program.test(-2)
        assert out.a == -2
    with load(writing, machine=machine) as program:
        program.test({"first": 1, "second": 99})
        assert out.c == 99


@fentry.exit("vfs_read")
def reading(ctx: fentry.Context, count: u64, ret: i64) -> None:
    out.c = count
    out.a = ret


@lsm.program("file_open")
def guarding(ctx: lsm.Context, opened: ptr[file]) -> lsm.Action:
    return lsm.DENY if opened.f_flags & 1 else lsm.ALLOW


def test_words(machine: Any) -> None:
    machine.prototypes["vfs_read"] = [("file", "file"), ("buf", ""), ("count", ""), ("pos", "")]
    with load(reading, machine=machine) as program:
        program.test({"count": 512, "ret": -5})
        assert (out.c, out.a) == (512, -5)
    with load(guarding, machine=machine) as program:
        assert program.test((Recorded("file", f_flags=1),)).action is lsm.DENY
        assert program.test((Recorded("file", f_flags=2),)).action is lsm.ALLOW


stacks = StackTrace(max_entries=64)
places = Hash[u64, u64](max_entries=16)


@perf_event.program
def sampling(ctx: perf_event.Context) -> None:
    places.increment(ctx.instruction_pointer)
    number = stacks.capture(ctx, user=True)
    out.a = -1 if number is None else i64(number)


def test_samples(machine: Any) -> None:
    with load(sampling, machine=machine) as program:
        program.test(0xFFFFFFFF81000000)
        assert dict(places.items()) == {0xFFFFFFFF81000000: 1} and out.a == -1
        machine.user_stack = (0x401000, 0x402000)
        program.test(0x400000)
        assert stacks[out.a] == [0x401000, 0x402000]
        machine.user_stack = (0x401000, 0x403000)
        before = out.a
        program.test(0x400000)
        assert out.a != before and sorted(stacks) == sorted({before, out.a})


class Row(Struct):
    pid: i32
    comm: char[L[16]]


@iterator.program
def listing(ctx: iterator.Task) -> None:
    task = ctx.task
    if task is not None:
        ctx.write(Row(task.pid, task.comm))


def test_iterators(machine: Any) -> None:
    from bpfwright.types.ctype import RecordType
    with load(listing, machine=machine) as program:
        tasks = [Recorded("task_struct", pid=n, comm=f"t{n}") for n in (1, 2, 30)]
        data = program.test(tasks).data
        rows = [RecordType(Row).from_bytes(data[at:at + 20]) for at in range(0, len(data), 20)]
        assert rows == [Row(1, "t1"), Row(2, "t2"), Row(30, "t30")]


class Mine(Struct):
    calls: u64


per_task = TaskStorage[Mine]()


@raw_tracepoint.program("sys_enter")
def storing(ctx: raw_tracepoint.Context, regs: u64, number: i64) -> None:
    if number == 39:
        state = per_task.get_or_create(current.task)
        if state is not None:
            state.calls += 1


def test_task_storage(machine: Any) -> None:
    with load(storing, machine=machine) as program:
        for tid, calls in ((7, 3), (8, 2)):
            machine.become(pid=tid)
            for _ in range(calls):
                program.test((0, 39))
            program.test((0, 40))
        assert per_task.of(7).calls == 3 and per_task.of(8).calls == 2 and per_task.of(9) is None


@tc.program
def whole(ctx: tc.Context) -> tc.Action:
    with whole_packet(ctx) as view:
        ip = view.read(14, IPv4)
        if ip is None or view.size != ctx.length:
            return tc.SHOT
        ip.ttl = 9
        view.write(14, ip)
    return tc.OK


@xdp.program
def whole_at_the_driver(ctx: xdp.Context) -> xdp.Action:
    with whole_packet(ctx) as view:
        if view.read(5000, IPv4) is not None or view.read(14, IPv4) is None:
            return xdp.DROP
    return xdp.PASS


PACKET = Ethernet() / IPv4(ttl=64) / TCP()


def test_dynptrs(machine: Any) -> None:
    with load(whole, machine=machine) as program:
        result = program.test(PACKET)
        assert result.action is tc.OK and result.data[22] == 9
    with load(whole_at_the_driver, machine=machine) as program:
        assert program.test(PACKET).action is xdp.PASS


@pytest.mark.kernel
@pytest.mark.parametrize("program,given", [(opening, openat(flags=1)), (probing, (1, 2, 3)),
                                           (connecting, cgroup.Connect4("192.0.2.1", 80)), (sampling, 5)])
def test_the_kernel_says_that_it_has_no_test_run(program: Any, given: Any) -> None:
    with Kernel() as kernel, load(program, machine=kernel) as loaded, pytest.raises(NotSupported, match="made up"):
        loaded.test(given)

