"""Events out of a full 64 MiB ring: columns, bcc's Python callbacks, a C consumer over libbpf; then 30 s live.

    sudo .venv/bin/python bench/events.py [--live SECONDS] [--rounds N]

Each round fills the ring by a kernel program and lets each contestant empty it; contestants take turns in a round. The
second row of ours is the A/A spread. Every contestant must get every record: the counts are checked. The last column is
against bcc doing the same job, columns. Times are CPU time.
"""
from __future__ import annotations

import argparse
import ctypes
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from bpfwright import _llvm, objfile
from bpfwright.events import Events, RingReader, drain
from bpfwright.kernel import Kernel
from bpfwright.kernel.ring import MappedRing
from bpfwright.types import Struct, u32, u64

RING = 64 << 20
IR = """target triple = "bpfel"
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
@ring = dso_local global {i32, i32, i32, i32, i32} {i32 27, i32 0, i32 0, i32 SIZE, i32 0}, section "maps", align 4
@number = dso_local global [2 x i64] zeroinitializer, align 8
@LICENSE = dso_local global [4 x i8] c"GPL\\00", section "license"
@llvm.compiler.used = appending global [3 x ptr] [ptr @ring, ptr @number, ptr @LICENSE]
define dso_local i32 @fill(ptr %ctx) nounwind section "xdp" {
entry:
  %n = load volatile i64, ptr @number
  %m = add i64 %n, 1
  store volatile i64 %m, ptr @number
  %e = alloca [64 x i8], align 8
  call void @llvm.memset.p0.i64(ptr align 8 %e, i8 1, i64 64, i1 false)
  store i64 %n, ptr %e, align 8
  %h = getelementptr i8, ptr %e, i64 8
  %low = and i64 %n, 63
  store i64 %low, ptr %h, align 8
  br i1 MIXED, label %mixed, label %whole
mixed:
  %third = urem i64 %n, 10
  switch i64 %third, label %whole [ i64 0, label %gone  i64 3, label %short  i64 6, label %short ]
gone:
  %g = call ptr inttoptr (i64 131 to ptr)(ptr @ring, i64 40, i64 0)
  %none = icmp eq ptr %g, null
  br i1 %none, label %failed, label %drop
drop:
  call void inttoptr (i64 133 to ptr)(ptr %g, i64 1)
  ret i32 1
short:
  %s = call i64 inttoptr (i64 130 to ptr)(ptr @ring, ptr %e, i64 24, i64 1)
  %sbad = icmp slt i64 %s, 0
  br i1 %sbad, label %failed, label %done
whole:
  %w = call i64 inttoptr (i64 130 to ptr)(ptr @ring, ptr %e, i64 64, i64 WAKE)
  %wbad = icmp slt i64 %w, 0
  br i1 %wbad, label %failed, label %done
done:
  ret i32 2
failed:
  %lost = getelementptr [2 x i64], ptr @number, i64 0, i64 1
  %old = atomicrmw add ptr %lost, i64 1 monotonic
  ret i32 0
}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""
CONSUMER = """
#include <bpf/libbpf.h>
#include <string.h>
static char *out; static long rows;
static int take(void *ctx, void *data, size_t size) {
    memcpy(out + 64 * rows++, data, size < 64 ? size : 64);
    return 0;
}
void *start(int fd) { return ring_buffer__new(fd, take, NULL, NULL); }
long consume(void *ring, void *into) { out = into; rows = 0; ring_buffer__consume(ring); return rows; }
"""


class Event(Struct):
    """64 bytes of integers."""

    number: u64
    key: u64
    a: u64
    b: u64
    c: u64
    d: u64
    e: u64
    f: u32
    g: u32


class Bed:
    """A loaded producer and its ring. `wake`: tell sleepers of new records, as programs do by default."""

    def __init__(self, mixed: bool, wake: bool = False) -> None:
        ir = IR.replace("SIZE", str(RING)).replace("MIXED", str(int(mixed))).replace("WAKE", "0" if wake else "1")
        self.machine = Kernel()
        self.loaded = self.machine.load(objfile.read(_llvm.compile_bpf(ir), "bench"))
        self.ring = self.loaded.maps["ring"]
        self.fd = self.ring.fd
        self.mixed = mixed
        self.counters = next(m for name, m in self.loaded.maps.items() if name.endswith(".bss"))

    def run(self, count: int) -> None:
        self.loaded.programs["fill"].test_run(bytes(64), repeat=count)

    def fill(self) -> int:
        """Fill the ring; how many records (discarded ones left out) are in it."""
        if not self.mixed:
            self.run(RING // 72)
            return RING // 72
        turns = RING // (7 * 72 + 2 * 32 + 48)
        start = self.made
        self.run(turns * 10)
        return sum((start + i) % 10 != 0 for i in range(10)) * turns

    @property
    def made(self) -> int:
        return self._counter(0)

    @property
    def lost(self) -> int:
        return self._counter(1)

    def _counter(self, index: int) -> int:
        data = self.counters.lookup(bytes(4))
        assert data is not None
        return int.from_bytes(data[8 * index:8 * index + 8], "little")

    def close(self) -> None:
        self.loaded.close()
        self.machine.close()


def ours(bed: Bed) -> Callable[[], int]:
    stream: Events[Event] = Events(RingReader(MappedRing(bed.ring), 64), Event)

    def take() -> int:
        columns = stream.columns()
        assert [columns[name] is not None for name in columns]
        return columns.count
    return take


def contiguous(bed: Bed) -> Callable[[], int]:
    stream: Events[Event] = Events(RingReader(MappedRing(bed.ring), 64), Event)

    def take() -> int:
        columns = stream.columns()
        made = [numpy.ascontiguousarray(columns[name]) for name in columns]
        return len(made[0])
    return take


def objects(bed: Bed) -> Callable[[], int]:
    stream: Events[Event] = Events(RingReader(MappedRing(bed.ring), 64), Event)
    stream.stop()

    def take() -> int:
        total = 0
        for event in stream:
            total += 1
            event.number  # noqa: B018
        return total
    return take


def libbpf(bed: Bed) -> Callable[[], int]:
    folder = tempfile.mkdtemp()
    source, library = Path(folder, "c.c"), Path(folder, "c.so")
    source.write_text(CONSUMER)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(library), "-lbpf"], check=True)
    code: Any = ctypes.CDLL(str(library))
    code.start.restype = ctypes.c_void_p
    code.consume.restype = ctypes.c_long
    ring = ctypes.c_void_p(code.start(bed.fd))
    assert ring.value

    def take() -> int:
        out = numpy.empty(RING // 32 * 64, numpy.uint8)
        return int(code.consume(ring, ctypes.c_void_p(out.ctypes.data)))
    return take


def bcc_ring(bed: Bed, use: Callable[[Any], None]) -> Callable[[], None]:
    """bcc's own RingBuf class and its wrapper around the user's callback, over our ring.

    bcc cannot compile without kernel headers, so what its compiler would have set is set by hand.
    """
    sys.path.append("/usr/lib/python3/dist-packages")
    from bcc import BPF, table  # type: ignore[import-not-found]
    from bcc.libbcc import lib  # type: ignore[import-not-found]

    class Record(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint32 if name in "fg" else ctypes.c_uint64) for name in Event.__layout__().fields]

    program = object.__new__(BPF)
    program._ringbuf_manager = None
    program.cleanup = lambda: None
    events = object.__new__(table.RingBuf)
    events.bpf, events.map_fd, events._cbs, events._event_class = program, bed.fd, {}, Record
    tables = {"events": events}

    def callback(_: int, data: int, __: int) -> None:
        use(tables["events"].event(data))

    events.open_ring_buffer(callback)

    def consume() -> None:
        lib.bpf_consume_ringbuf(tables["events"].bpf._ringbuf_manager)
    return consume


def bcc_columns(bed: Bed) -> Callable[[], int]:
    lists: list[list[int]] = [[] for _ in Event.__layout__().fields]
    (number, key, a, b, c, d, e, f, g) = lists

    def use(event: Any) -> None:
        number.append(event.number)
        key.append(event.key)
        a.append(event.a)
        b.append(event.b)
        c.append(event.c)
        d.append(event.d)
        e.append(event.e)
        f.append(event.f)
        g.append(event.g)

    consume = bcc_ring(bed, use)

    def take() -> int:
        for each in lists:
            each.clear()
        consume()
        return [len(numpy.array(each, numpy.uint64)) for each in lists].pop()
    return take


def bcc_look(bed: Bed) -> Callable[[], int]:
    count = 0

    def use(event: Any) -> None:
        nonlocal count
        count += 1
        event.number  # noqa: B018

    consume = bcc_ring(bed, use)

    def take() -> int:
        nonlocal count
        count = 0
        consume()
        return count
    return take


CONTESTANTS: list[tuple[str, Callable[[Bed], Callable[[], int]], int]] = [
    ("bpfwright .columns()", ours, 1), ("bpfwright .columns() again (A/A)", ours, 1),
    ("bpfwright, contiguous copies", contiguous, 1), ("libbpf in C, memcpy in callback", libbpf, 1),
    ("bpfwright, one object an event", objects, 4), ("bcc, callback looks at one field", bcc_look, 4),
    ("bcc, callback appends to columns", bcc_columns, 4)]


def compare(mixed: bool, rounds: int) -> None:
    """One table: every contestant empties the same full ring, by turns."""
    bed = Bed(mixed)
    if mixed:
        drain.native(compile_it=True)
    times: dict[str, list[float]] = {}
    takes: list[tuple[str, Callable[[], int], int]] = []
    for name, make, every in CONTESTANTS:
        try:
            takes.append((name, make(bed), every))
        except (ImportError, OSError, AttributeError, subprocess.CalledProcessError) as problem:
            print(f"  {name}: not here ({problem})")
    for turn in range(rounds):
        shift = turn % len(takes)  # nobody always comes after the same other
        for name, take, every in takes[shift:] + takes[:shift]:
            if turn % every:
                continue
            expected = bed.fill()
            began = time.process_time()  # CPU time: the clock on the wall tells of the neighbours
            got = take()
            took = time.process_time() - began
            if got != expected:
                raise SystemExit(f"{name}: {got} records, not {expected}")
            times.setdefault(name, []).append(took / expected * 1e9)
    print(f"\n64 MiB ring, {'mixed sizes and discards' if mixed else 'records of 64 bytes'}, {expected} records")
    print(f"{'':40}{'best':>10}{'median':>10}{'median':>10}{'times bcc':>11}")
    print(f"{'':40}{'ns/event':>10}{'ns/event':>10}{'M/s':>10}")
    reference = statistics.median(times.get("bcc, callback appends to columns", [0.0]))
    for name, _, _ in takes:
        spent = times[name]
        middle = statistics.median(spent)
        print(f"{name:40}{min(spent):10.1f}{middle:10.1f}{1e3 / middle:10.1f}{reference / middle:11.0f}")
    bed.close()


def live(seconds: float, wake: bool) -> None:
    """A producer process at full speed; this one takes columns and adds up by key."""
    bed = Bed(False, wake)
    stream: Events[Event] = Events(RingReader(MappedRing(bed.ring), 64), Event, lost=lambda: bed.lost)
    child = os.fork()
    if not child:
        while True:
            bed.run(100_000)
    by_key = numpy.zeros(64, numpy.int64)
    count = fullest = 0
    began, cpu = time.perf_counter(), time.process_time()
    try:
        while time.perf_counter() - began < seconds:
            fullest = max(fullest, stream.pending_bytes)
            columns = stream.columns()
            if not columns.count:
                stream.wait(0.1 if wake else 0.002)
                continue
            by_key += numpy.bincount(columns["key"].astype(numpy.int64), minlength=64)
            count += columns.count
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    rest = stream.columns()
    by_key += numpy.bincount(rest["key"].astype(numpy.int64), minlength=64)
    count += rest.count
    lost = stream.lost
    if int(by_key.sum()) != count or bed.made != count + lost:
        raise SystemExit(f"{bed.made} made, {count} seen, {lost} lost: they do not add up")
    how = "with" if wake else "no"
    print(f"\nlive, {took:.0f} s, {how} wake-ups: {count / took / 1e6:.1f} M events/s, {count} seen, {lost} lost, "
          f"consumer's CPU {cpu / took:.0%}, ring filled to {fullest / RING:.0%} at most")
    stream.close()
    bed.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for mixed in (False, True):
        compare(mixed, options.rounds)
    if options.live:
        live(options.live, wake=True)
        live(options.live, wake=False)


if __name__ == "__main__":
    main()
