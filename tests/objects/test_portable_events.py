"""Fields of events are found by name in the kernel that loads an object, not where they were when it was built."""
from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bpfwright import objfile
from bpfwright.cli.sources import chosen_programs
from bpfwright.formats.btf import Btf, BtfBuilder, Relocator
from bpfwright.hooks import _record
from bpfwright.hooks.tracepoint import parse_format
from bpfwright.kernel import Kernel
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.target import OLDEST
from bpfwright.session import prepare
from tests.cli.commands import command
from tests.objects.test_portable import BPFTOOL

pytestmark = pytest.mark.kernel

SOURCE = """
from bpfwright import L, Struct, char, i32, i64, u32, u64
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, RingBuf

class sched_switch(tracepoint.Fields, event="sched:sched_switch"):
    prev_comm: char[L[16]]
    prev_state: i64
    next_pid: i32

class sched_process_exec(tracepoint.Fields, event="sched:sched_process_exec"):
    filename: char[L[64]]
    pid: i32

class sched_wakeup(tracepoint.Fields, event="sched:sched_wakeup"):
    pid: i32

class Executed(Struct):
    path: char[L[64]]

executed = Hash[u32, Executed](max_entries=1000)
woken = Hash[u32, u64](max_entries=1000)
sent = RingBuf[Executed](size_bytes=4096)
last = Hash[u32, Executed](max_entries=1000)

@tracepoint.program
def executes(ctx: sched_process_exec) -> None:
    executed[u32(ctx.pid)] = Executed(ctx.filename)
    sent.emit(Executed(ctx.filename))

@tracepoint.program
def wakes(ctx: sched_wakeup) -> None:
    woken.increment(u32(ctx.pid))

@tracepoint.program
def switches(ctx: sched_switch) -> None:
    if ctx.prev_state != 64:
        last[u32(ctx.next_pid)] = Executed(ctx.prev_comm)
"""
FTRACE = """
from bpfwright import u64
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash

class print_event(tracepoint.Fields, event="ftrace:print"):
    ip: u64

seen = Hash[u64, u64](max_entries=8)

@tracepoint.program
def prints(ctx: print_event) -> None:
    seen.increment(ctx.ip)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "events_of_ours.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    path = source.with_suffix(".o")
    code, _, said = command("build", str(source), "-o", str(path))
    assert code == 0 and said.count("\n") <= 1, said
    return path


def test_every_field_is_a_relocation(built: Path) -> None:
    spec = objfile.read(built.read_bytes())
    btf = Btf(spec.btf)
    found = {(btf.name(one.type_id), btf.members(one.type_id)[int(one.access.split(":")[1])].name)
             for function in spec.functions for one in function.core_relocations}
    switch, execute = "trace_event_raw_sched_switch", "trace_event_raw_sched_process_exec"
    assert found == {(switch, "prev_state"), (switch, "next_pid"), (switch, "prev_comm"),
                     (execute, "__data_loc_filename"), (execute, "pid"),
                     ("trace_event_raw_sched_wakeup_template", "pid")}


def test_the_records_of_a_ring_are_in_the_type_information(built: Path) -> None:
    spec = objfile.read(built.read_bytes())
    btf = Btf(spec.btf)
    shared = btf.members(btf.find("bpfwright_shared_t"))
    records = next(member for member in shared if member.name == "records_of_sent")
    array = btf.array(btf.resolve(records.type_id))
    assert array.count == 0 and btf.name(array.type_id) == "Executed"
    assert [member.name for member in btf.members(array.type_id)] == ["path"]
    assert records.bit_offset // 8 == btf.size(btf.find("bpfwright_shared_t"))  # beyond what is there


@pytest.mark.skipif(BPFTOOL is None, reason="needs bpftool")
def test_bpftool_loads_it(built: Path) -> None:
    pins = Path(f"/sys/fs/bpf/bpfwright-events-{os.getpid()}")
    try:
        done = subprocess.run([str(BPFTOOL), "prog", "loadall", str(built), str(pins)], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        assert {path.name for path in pins.iterdir()} == {"executes", "wakes", "switches"}
    finally:
        shutil.rmtree(pins, ignore_errors=True)


def test_the_record_is_read_where_it_is(built: Path, no_leaks: None) -> None:
    events = {"executes": "sched_process_exec", "wakes": "sched_wakeup", "switches": "sched_switch"}
    with Kernel() as kernel, kernel.load(objfile.read(built.read_bytes())) as held, ExitStack() as links:
        for program, event in events.items():
            links.enter_context(kernel.tracepoint(held.programs[program], "sched", event))
        child = subprocess.Popen(["/bin/true"])
        child.wait()
        path = held.maps["executed"].lookup(child.pid.to_bytes(4, "little"))
        assert path is not None and path.rstrip(b"\0") == b"/bin/true"
        assert held.maps["last"].next_key(None) is not None
        assert held.maps["woken"].next_key(None) is not None


def test_in_another_kernel_the_loads_have_other_offsets(built: Path) -> None:
    spec = objfile.read(built.read_bytes())
    other = BtfBuilder()
    number, wide = other.add_int("int", 4, signed=True), other.add_int("long", 8, signed=True)
    comm = other.add_array(other.add_int("char", 1, signed=True), 16)
    members = [("ent", wide, 0), ("more", wide, 8), ("prev_comm", comm, 16), ("prev_pid", number, 32),
               ("prev_state", wide, 40), ("next_comm", comm, 48), ("next_pid", number, 64)]
    other.add_struct("trace_event_raw_sched_switch", 72, [(name, kind, at * 8, 0) for name, kind, at in members])
    function = next(f for f in spec.functions if f.name == "switches")
    patched = Relocator(spec.btf, Btf(other.build())).apply("switches", function.insns, function.core_relocations)
    here = loads(function.insns, function.core_relocations)
    assert here == [32, 56] and loads(patched, function.core_relocations) == [40, 64]


def loads(insns: bytes, relocations: Any) -> list[int]:
    """The offsets of the relocated loads."""
    return [int.from_bytes(insns[one.index * 8 + 2:one.index * 8 + 4], "little") for one in relocations
            if insns[one.index * 8] & 7 == 1]


def test_loaded_here_the_offsets_are_plain(source: Path) -> None:
    with Kernel() as kernel:
        programs = chosen_programs(str(source), [])
        prepare(programs, kernel)
        spec = objfile.read(compile_programs(programs, OLDEST, cached=False).elf)
    assert not any(function.core_relocations for function in spec.functions)


@pytest.mark.parametrize(("event", "struct"), {
    "sched:sched_switch": "sched_switch", "sched:sched_wakeup_new": "sched_wakeup_template",
    "sched:sched_process_exit": "sched_process_exit", "sched:sched_process_free": "sched_process_template",
    "sched:sched_process_wait": "sched_process_wait", "net:netif_rx": "net_dev_template",
    "net:netif_rx_exit": "net_dev_rx_exit_template", "irq:softirq_raise": "softirq"}.items())
def test_the_struct_of_an_event(event: str, struct: str) -> None:
    """Some are named after the event, some after its class, and some look like another event's."""
    category, name = event.split(":")
    with Kernel() as kernel:
        places = parse_format(kernel.event_format(category, name))
        drawing = _record.draw([kernel.types.vmlinux], name, places)
    assert drawing is not None
    if struct == "sched_process_exit" and drawing[0].endswith("template"):
        return  # of the class until Linux 6.16
    assert drawing[0] == f"trace_event_raw_{struct}"


def test_what_has_no_struct_is_said(tmp_path: Path) -> None:
    (tmp_path / "prints_event.py").write_text(FTRACE)
    code, _, said = command("build", str(tmp_path / "prints_event.py"))
    assert code == 0
    assert "prints reads ftrace:print where this kernel has its fields" in said
