"""A real ring in the kernel, filled by a real program, and mapped as the session maps it."""
from __future__ import annotations

from bpfwright import _llvm, objfile
from bpfwright.kernel import Kernel
from bpfwright.kernel.ring import MappedRing, open_perf_buffers

# Each run makes one record whose first word is its number. Every fourth is of 8 bytes and every fifth is discarded when
# `mixed` is set; all others have 24. `lost` counts failures.
_IR = """target triple = "bpfel"
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
@ring = dso_local global {i32, i32, i32, i32, i32} {i32 27, i32 0, i32 0, i32 RING_SIZE, i32 0}, section "maps", align 4
@number = dso_local global i64 0, align 8
@lost = dso_local global i64 0, align 8
@LICENSE = dso_local global [4 x i8] c"GPL\\00", section "license"
@llvm.compiler.used = appending global [4 x ptr] [ptr @ring, ptr @number, ptr @lost, ptr @LICENSE]

define dso_local i32 @fill(ptr %ctx) nounwind section "xdp" {
  %n = load volatile i64, ptr @number
  %m = add i64 %n, 1
  store volatile i64 %m, ptr @number
  %fifth = urem i64 %n, 5
  %is5 = icmp eq i64 %fifth, 0
  %discard = and i1 %is5, MIXED
  br i1 %discard, label %gone, label %whole
gone:
  %g = call ptr inttoptr (i64 131 to ptr)(ptr @ring, i64 16, i64 0)
  %none = icmp eq ptr %g, null
  br i1 %none, label %failed, label %drop
drop:
  call void inttoptr (i64 133 to ptr)(ptr %g, i64 0)
  ret i32 1
whole:
  %fourth = and i64 %n, 3
  %is4 = icmp eq i64 %fourth, 0
  %short = and i1 %is4, MIXED
  br i1 %short, label %small, label %big
small:
  %s = call ptr inttoptr (i64 131 to ptr)(ptr @ring, i64 8, i64 0)
  %snone = icmp eq ptr %s, null
  br i1 %snone, label %failed, label %sfill
sfill:
  store i64 %n, ptr %s
  call void inttoptr (i64 132 to ptr)(ptr %s, i64 0)
  ret i32 2
big:
  %b = call ptr inttoptr (i64 131 to ptr)(ptr @ring, i64 24, i64 0)
  %bnone = icmp eq ptr %b, null
  br i1 %bnone, label %failed, label %bfill
bfill:
  store i64 %n, ptr %b
  %b1 = getelementptr i8, ptr %b, i64 8
  store i64 7, ptr %b1
  %b2 = getelementptr i8, ptr %b, i64 16
  store i64 %m, ptr %b2
  call void inttoptr (i64 132 to ptr)(ptr %b, i64 0)
  ret i32 2
failed:
  %old = atomicrmw add ptr @lost, i64 1 monotonic
  ret i32 0
}
"""


class Producer:
    """The loaded program. `run(n)` makes n records, `lost` says how many found the ring full."""

    def __init__(self, size_bytes: int, mixed: bool) -> None:
        ir = _IR.replace("RING_SIZE", str(size_bytes)).replace("MIXED", "1" if mixed else "0")
        self.machine = Kernel()
        self.loaded = self.machine.load(objfile.read(_llvm.compile_bpf(ir), "producer"))

    def ring(self) -> MappedRing:
        return MappedRing(self.loaded.maps["ring"])

    def run(self, count: int) -> None:
        self.loaded.programs["fill"].test_run(bytes(64), repeat=count)

    @property
    def lost(self) -> int:
        name = next(name for name in self.loaded.maps if name.endswith(".bss"))
        data = self.loaded.maps[name].lookup(bytes(4))
        assert data is not None
        return int.from_bytes(data[8:16], "little")

    def close(self) -> None:
        self.loaded.close()
        self.machine.close()


_PERF = """target triple = "bpfel"
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
@out = dso_local global {i32, i32, i32, i32, i32} {i32 4, i32 4, i32 4, i32 256, i32 0}, section "maps", align 4
@number = dso_local global i64 0, align 8
@LICENSE = dso_local global [4 x i8] c"GPL\\00", section "license"
@llvm.compiler.used = appending global [3 x ptr] [ptr @out, ptr @number, ptr @LICENSE]
define dso_local i32 @fill(ptr %ctx) nounwind section "xdp" {
  %e = alloca [3 x i64], align 8
  %n = load volatile i64, ptr @number
  %m = add i64 %n, 1
  store volatile i64 %m, ptr @number
  store i64 %n, ptr %e, align 8
  %p = getelementptr i8, ptr %e, i64 8
  store i64 7, ptr %p, align 8
  %q = getelementptr i8, ptr %e, i64 16
  store i64 %m, ptr %q, align 8
  %r = call i64 inttoptr (i64 25 to ptr)(ptr %ctx, ptr @out, i64 4294967295, ptr %e, i64 24)
  ret i32 2
}
"""


class PerfProducer:
    """The same over a perf event array."""

    def __init__(self, pages: int) -> None:
        self.machine = Kernel()
        self.loaded = self.machine.load(objfile.read(_llvm.compile_bpf(_PERF), "producer"))
        self.buffers = open_perf_buffers(self.loaded.maps["out"], pages)

    def run(self, count: int) -> None:
        self.loaded.programs["fill"].test_run(bytes(64), repeat=count)

    def close(self) -> None:
        self.loaded.close()
        self.machine.close()
