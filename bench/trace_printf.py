"""printf of a script at 300,000 events a second: what the user-space side costs, and whether anything is lost.

    sudo .venv/bin/python bench/trace_printf.py [--rate EVENTS] [--seconds S]

The first table is the whole command: `bpfwright trace` with a printf on a system call that this process makes at a
steady rate; CPU time is the command's, its start included. What it printed and what it said to have lost must be all
that there was. The others are its inner part: a kernel program of ours leaves records as a script's printf does, from a
process of its own, and this process drains the ring, formats and writes into a file; CPU time is this process's.
"""
from __future__ import annotations

import argparse
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from bpfwright import L, Struct, array, load, shared, u8, u32, u64
from bpfwright.facets.trace.output.printer import Printer
from bpfwright.facets.trace.output.reading import MessageReader
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.plan import Message, Plan
from bpfwright.facets.trace.types import Integer, Text, Type
from bpfwright.hooks import xdp
from bpfwright.kernel.ring import MappedRing
from bpfwright.maps import RingBuf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.measuring import bare_python, machine, table

NUMBER, COMM, PATH = Integer(4, True), Text(16), Text(64)
FORMATS: tuple[tuple[str, tuple[Type, ...]], ...] = (
    ("%d %s\n", (NUMBER, COMM)),
    ("%d %s %d\n", (NUMBER, COMM, NUMBER)),
    ("%-6d %-16s %4d %3d %s\n", (NUMBER, COMM, NUMBER, NUMBER, PATH)),
)
BAR = 0.8
TICK_S = 0.005
GATHER_S = 0.001
"""Waited after a ring has something, as the command does: waking up for each record costs more than printing it."""


class Line(Struct):
    """A record as scripts leave them: the message's index, then (pid, comm, fd, error, path) at their places."""

    index: u32
    own: u32
    pid: u32
    gap: u32
    comm: array[u8, L[16]]
    fd: u32
    error: u32
    path: array[u8, L[64]]


class Counts(Struct):
    lost: u64
    number: u64


messages = RingBuf[Line](size_bytes=16 << 20)
counts = shared(Counts(0, 0))


@xdp.program
def leave(ctx: xdp.Context) -> xdp.Action:
    with messages.reserve() as line:
        if line is None:
            counts.lost += 1
            return xdp.PASS
        counts.number += 1
        line.index = 0
        line.own = 0
        line.pid = u32(counts.number)
        line.gap = 0
        for place in range(16):
            line.comm[place] = 0
        line.comm[0] = 98
        line.comm[1] = 97
        line.comm[2] = 115
        line.comm[3] = 104
        line.fd = 3
        line.error = 0
        for place in range(64):
            line.path[place] = 0
        for place in range(20):
            line.path[place] = u8(97 + place)
    return xdp.DROP


class Bed:
    """The loaded program, its ring, and a process that runs it at a steady rate."""

    def __init__(self) -> None:
        self.session = load(leave)
        self.session.__enter__()
        loaded = self.session.loaded
        self.ring = loaded.maps[next(name for name, found in self.session.compiled.maps.items() if found is messages)]
        self.program = next(iter(loaded.programs.values()))

    def produce(self, rate: int, seconds: float) -> int:
        """Start the process; gives its number."""
        child = os.fork()
        if child:
            return child
        try:
            start, made = time.perf_counter(), 0
            while (passed := time.perf_counter() - start) < seconds:
                due = int(min(passed + TICK_S, seconds) * rate) - made
                if due > 0:
                    self.program.test_run(bytes(64), repeat=due)
                    made += due
                time.sleep(max(0.0, TICK_S - (time.perf_counter() - start - passed)))
        finally:
            os._exit(0)


def measure(bed: Bed, format: str, types: tuple[Type, ...], rate: int, seconds: float, out: BinaryIO,
            json: bool) -> tuple[int, int, float, float]:
    """Records printed and lost, CPU seconds and seconds."""
    plan = Plan((), (), (Message("printf", types, (format,)),))
    printer = Printer(plan, World(), {}, out, sys.stderr.buffer, json=json)
    lost, made = int(counts.lost), int(counts.number)
    with MessageReader(MappedRing(bed.ring), printer) as reader:
        reader.skip()
        poll = select.epoll()
        poll.register(reader.fd, select.EPOLLIN)
        child = bed.produce(rate, seconds)
        try:
            start, cpu = time.perf_counter(), time.process_time()
            while child:
                if not reader.drain():
                    poll.poll(0.01)
                    time.sleep(GATHER_S)
                    child = 0 if os.waitpid(child, os.WNOHANG)[0] else child
            while reader.drain():
                pass
            cpu, wall = time.process_time() - cpu, time.perf_counter() - start
        finally:
            poll.close()
            if child:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        if reader.taken != counts.number - made:
            raise SystemExit(f"{counts.number - made} records were made, {reader.taken} read")
        return reader.taken, int(counts.lost) - lost, cpu, wall


def command(rate: int, seconds: float) -> tuple[int, int, int, float, float]:
    """Calls made, lines printed, events lost as it said, its CPU seconds, and the calls' seconds."""
    script = 'tracepoint:syscalls:sys_enter_getppid /pid == $1/ { printf("%d %s %d\\n", pid, comm, cpu); }'
    words = [bare_python(), "-m", "bpfwright", "trace", "-q", "-e", script, str(os.getpid())]
    changed = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src")}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(words, stdout=out, stderr=errors, env=changed)
        time.sleep(1.5)  # until it is attached
        made, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            due = int(min(passed + TICK_S, seconds) * rate) - made
            for _ in range(due):
                os.getppid()
            made += max(0, due)
            time.sleep(max(0.0, TICK_S - (time.perf_counter() - start - passed)))
        took = time.perf_counter() - start
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        printed = sum(part.count(b"\n") for part in iter(lambda: out.read(1 << 20), b""))
        lost = sum(int(word) for word in re.findall(rb"Lost (\d+) events", errors.read()))
        printed -= 2  # the two empty lines at the end
    if child.returncode or printed + lost != made:
        raise SystemExit(f"{made} calls, {printed} printed and {lost} lost; it ended with {child.returncode}")
    return made, printed, lost, usage.ru_utime + usage.ru_stime, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print(machine())
    whole = []
    for rate in (options.rate, 1_000_000):
        made, printed, lost, cpu, took = command(rate, options.seconds)
        whole.append((f"{rate:,} a second", made, printed, lost, cpu / took))
    print(table(("the command", "calls", "printed", "lost", "CPU share"), whole))
    met = not whole[0][3] and whole[0][4] <= BAR
    print(f"{options.rate:,} a second: nothing lost, at most {BAR} of a CPU: {'met' if met else 'MISSED'}")
    bed, rows = Bed(), []
    try:
        for format, types in FORMATS:
            for json in (False, True):
                with tempfile.TemporaryFile() as out:
                    taken, lost, cpu, wall = measure(bed, format, types, options.rate, options.seconds, out, json)
                    lines = out.seek(0) or sum(part.count(b"\n") for part in iter(lambda: out.read(1 << 20), b""))
                if lines != taken:
                    raise SystemExit(f"{format!r}: {taken} records made {lines} lines")
                rows.append((f"`{format.strip()}`{' as JSON' if json else ''}", taken, lost, taken / wall, cpu / wall,
                             1e6 * cpu / max(taken, 1)))
    finally:
        bed.session.close()
    print(table(("format", "printed", "lost", "a second", "CPU share", "CPU µs each"), rows))


if __name__ == "__main__":
    main()
