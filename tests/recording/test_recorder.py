"""Recordings of real events, of objects by clang too; and what a recorder says when it cannot."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright import Recorder, Recording, Replay, Struct, Userspace, attach, load, shared, u64
from bpfwright.errors import NotSupported, UsageError
from bpfwright.headers import UDP, Ethernet, IPv4
from bpfwright.hooks import raw_tracepoint, xdp
from bpfwright.maps import Hash
from bpfwright.helpers import current
from bpfwright.objfile import read
from bpfwright.session import using
from tests.cli.commands import command

pytestmark = pytest.mark.kernel
TOP = Path(__file__).parents[2]
LATENCY = str(TOP / "examples" / "run_queue_latency.py")


class Ended(Struct):
    count: u64


ended = shared(Ended(0))
by_process = Hash[u64, u64](max_entries=4096)


@raw_tracepoint.program("sched_process_exit")
def exits(ctx: raw_tracepoint.Context) -> None:
    ended.count += 1
    by_process.increment(u64(current.pid))


def children(count: int) -> None:
    for _ in range(count):
        subprocess.run(["/bin/true"], check=True)


@pytest.fixture
def warm() -> None:
    """The compile worker is there already."""
    with Userspace(memory_bytes=1 << 22) as machine, load(exits, machine=machine):
        pass


def test_what_user_space_saw_comes_out_again(warm: None, no_leaks: None) -> None:
    with Recorder() as machine:
        with attach(exits, machine=machine):
            children(5)
            first = ended.count
            entries = dict(by_process.items())
            children(3)
            live = first, entries, ended.count, len(by_process)
        recording = Recording.parse(machine.finish().to_bytes())
    assert live[2] >= live[0] + 3 >= 8
    assert recording.lost == 0 and len(recording.runs) >= live[2]
    assert [run.number for run in recording.runs] == list(range(len(recording.runs)))
    assert all(run.ended > run.number and run.time_ns for run in recording.runs)
    with Replay(recording) as replay, attach(exits, machine=replay):
        first = ended.count
        entries = dict(by_process.items())
        again = first, entries, ended.count, len(by_process)
        assert replay.ended
    assert again == live


def test_objects_by_clang_are_recorded_too(tmp_path: Path, warm: None, no_leaks: None) -> None:
    """A typed tracepoint that follows pointers of the kernel by plain loads."""
    built = tmp_path / "exits.o"
    subprocess.run(["clang-14", "-O2", "-g", "-target", "bpf", "-D__TARGET_ARCH_x86", "-I/usr/include/x86_64-linux-gnu",
                    "-c", str(TOP / "bench" / "programs" / "exits.c"), "-o", str(built)], check=True)
    spec = read(built.read_bytes())

    def records(machine: Any, live: bool) -> list[bytes]:
        from bpfwright.events import RingReader
        from bpfwright.kernel.ring import MappedRing
        with machine.load(spec) as held:
            ring = held.maps["exits"]
            reader = machine.watch.reader("exits", RingReader(MappedRing(ring) if live else ring.ring(), 32))
            with machine.watch.attach("exited", lambda: machine.raw_tracepoint(held.programs["exited"], "")):
                children(4 if live else 0)
            found = list(reader.records())
            reader.close()
            return found

    with Recorder() as recorder:
        live = records(recorder, True)
        recording = Recording.parse(recorder.finish().to_bytes())
    mine = [record for record in live if int.from_bytes(record[4:8], "little") == os.getpid()]
    assert len(mine) == 4 and all(record[16:21] == b"true\0" for record in mine)
    assert sum(map(len, recording.programs[0].loads.values())) >= 5
    with Replay(recording, memory_bytes=1 << 23) as machine:
        assert records(machine, False) == live


@xdp.program
def doubled(ctx: xdp.Context) -> xdp.Action:
    udp = ctx.find(UDP)
    return xdp.DROP if udp is not None and udp.dport == 53 else xdp.PASS


def test_packets_are_part_of_a_run() -> None:
    """Test runs are recorded as others are."""
    packets = [Ethernet() / IPv4(source="192.0.2.1") / UDP(dport=port) for port in (53, 80, 53)]
    with Recorder() as machine:
        with load(doubled, machine=machine) as program:
            live = [program.test(packet).action for packet in packets]
        recording = machine.finish()
    assert live == [xdp.DROP, xdp.PASS, xdp.DROP]
    assert [run.packet for run in recording.runs] == [bytes(packet) for packet in packets]
    with Replay(recording) as replay, load(doubled, machine=replay):
        made: Any = doubled.bindings[0]
        assert [made.replay(run) for run in replay.runs_of(made)] == [int(action) for action in live]


def test_what_finds_no_room_is_lost_and_counted() -> None:
    with Recorder(limit_bytes=1000) as machine:
        with attach(exits, machine=machine):
            children(30)
        recording = machine.finish()
    assert recording.lost > 0 and len(recording.runs) + recording.lost == recording.facts["runs"]
    with pytest.raises(UsageError, match="at most"):
        Recorder(limit_bytes=1 << 40)


def test_after_the_end_it_records_nothing(warm: None, no_leaks: None) -> None:
    with Recorder() as machine:
        machine.finish()
        with pytest.raises(UsageError, match="has finished"):
            load(exits, machine=machine)


def test_sessions_find_the_machine_that_is_chosen() -> None:
    with Recorder() as machine, using(machine):
        with load(exits) as session:
            assert session.machine is machine
    with Userspace() as user, using(user), load(exits) as session:
        assert session.machine is user


def test_tail_calls_are_refused_by_name(tmp_path: Path) -> None:
    source = tmp_path / "tail.c"
    source.write_text("""
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2);
         __type(key, int); __type(value, int); } t SEC(".maps");
SEC("xdp") int first(struct xdp_md *ctx) { bpf_tail_call(ctx, &t, 0); return 2; }
char l[] SEC("license") = "GPL";
""")
    subprocess.run(["clang-14", "-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", str(source),
                    "-o", str(tmp_path / "tail.o")], check=True)
    with Recorder() as machine, pytest.raises(NotSupported, match=r"(?s)first cannot be recorded.*tail calls"):
        machine.load(read((tmp_path / "tail.o").read_bytes()))


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Path]:
    """A run of a script, recorded."""
    kept = tmp_path / "kept.rec"
    code, out, err = command("run", "--record", str(kept), LATENCY, "--", "0.1")
    assert code == 0 and "us" in out and "0 lost" in err
    yield kept


def test_the_command_says_what_is_wrong(recorded: Path, tmp_path: Path) -> None:
    other = str(TOP / "examples" / "file_opens.py")
    code, _, err = command("run", "--replay", str(recorded), other, privileged=False)
    assert code == 1 and "no run of entered is in this recording" in err
    whole = recorded.read_bytes()
    for name, data, said in (("cut", whole[:-9], "damaged"), ("none", b"x" * 99, "this is no recording")):
        (tmp_path / name).write_bytes(data)
        code, _, err = command("run", "--replay", str(tmp_path / name), other, privileged=False)
        assert code == 1 and said in err and len(err.splitlines()) <= 3, err
    code, _, err = command("run", "--replay", str(recorded), "--record", "x", other)
    assert code == 2 and "not allowed" in err
    code, _, err = command("run", "--replay", str(recorded), LATENCY, "--", "9")
    assert code == 1 and "user space does sleep 9" in err


def test_a_debugger_stands_at_an_event(recorded: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "bpfwright.cli", "debug", LATENCY, "runs",
                           "--event", f"{recorded}:2"], input="break helper ktime_get_ns\ncontinue\nmaps\nquit\n",
                          text=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(TOP / "src")})
    assert made.returncode == 0 and "runs at " in made.stdout, made.stderr
    code, _, err = command("debug", LATENCY, "runs", "--event", f"{recorded}:999999")
    assert code == 2 and "has no event 999999 of runs" in err
    code, _, err = command("debug", LATENCY, "--event", f"{recorded}:0")
    assert code == 2 and "several programs" in err
