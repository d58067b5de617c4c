"""Maps and stacks of the real kernel, left by real programs."""
from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bpfwright import _llvm, objfile
from bpfwright._abi import bpf as B
from bpfwright.facets.trace.output.maps import MapPrinter, clear, zero
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.plan import Map
from bpfwright.facets.trace.types import Count, Extreme, Histogram, Stack, Statistics, Sum, Text, Type
from bpfwright.kernel import Kernel
from bpfwright.kernel.cpus import possible_cpus
from bpfwright.kernel.map import KernelMap
from bpfwright.spec.objects import MapSpec
from tests.facets.trace.output.worlds import I64, packed, words

pytestmark = pytest.mark.kernel
STR = Text(16)

# Counts by stack, and keeps the stack's number in a keyed map: what `@[kstack] = count()` does.
_IR = """target triple = "bpfel"
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
@stacks = dso_local global {i32, i32, i32, i32, i32} {i32 7, i32 4, i32 1016, i32 64, i32 0}, section "maps", align 4
@seen = dso_local global {i32, i32, i32, i32, i32} {i32 5, i32 8, i32 8, i32 64, i32 0}, section "maps", align 4
@LICENSE = dso_local global [4 x i8] c"GPL\\00", section "license"
@llvm.compiler.used = appending global [3 x ptr] [ptr @stacks, ptr @seen, ptr @LICENSE]
define dso_local i32 @look(ptr %ctx) nounwind section "raw_tp/sys_enter" {
  %key = alloca [2 x i32], align 8
  %one = alloca i64, align 8
  store i64 1, ptr %one, align 8
  %found = call i64 inttoptr (i64 27 to ptr)(ptr %ctx, ptr @stacks, i64 0)
  %number = trunc i64 %found to i32
  store i32 %number, ptr %key, align 8
  %p = getelementptr i8, ptr %key, i64 4
  store i32 0, ptr %p, align 4
  %r = call i64 inttoptr (i64 2 to ptr)(ptr @seen, ptr %key, ptr %one, i64 0)
  ret i32 0
}
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Kernel]:
    with Kernel() as machine:
        yield machine


@pytest.fixture
def made(machine: Kernel, request: pytest.FixtureRequest) -> Iterator[tuple[Map, KernelMap]]:
    keys, value = request.param
    size = value.size if keys else value.size + 8
    kind = B.BPF_MAP_TYPE_PERCPU_HASH if keys else B.BPF_MAP_TYPE_PERCPU_ARRAY
    with machine.create_map(MapSpec("m", kind, STR.size if keys else 4, size, 64 if keys else 1)) as kept:
        yield Map("@m", "m", keys, value, False, 64), kept


def fill(kept: KernelMap, key: bytes, *slots: bytes) -> None:
    kept.update(key, b"".join(slots).ljust(kept.value_size, b"\0"))


GATHERED: list[tuple[Type, list[bytes], str]] = [
    (Count(), [words(3), words(4)], "7"), (Sum(True), [words(-3), words(1)], "-2"),
    (Extreme("max", True), [words(-3, 1), words(0, 0)], "-3"),
    (Statistics(True), [words(5, 1), words(6, 1)], "count 2, average 5, total 11")]


@pytest.mark.parametrize("made,slots,shown", [(((STR,), type), slots, shown) for type, slots, shown in GATHERED],
                         indirect=["made"])
def test_per_cpu_hash(made: tuple[Map, KernelMap], slots: list[bytes], shown: str) -> None:
    map, kept = made
    if possible_cpus() < 2:
        slots, shown = slots[:1], ""
    fill(kept, packed((STR,), (b"k",)), *slots)
    printer = MapPrinter(map, kept, World())
    assert printer.text().decode().startswith(f"@m[k]: {shown}")
    assert list(json.loads(printer.json())["data"]["@m"]) == ["k"]
    assert printer.entry_text(packed((STR,), (b"k",))) == printer.text()
    zero(map, kept)
    assert [value for _, value in kept.items()] == [bytes(kept.value_size)]
    clear(map, kept)
    assert list(kept.items()) == [] and printer.text() == b""


@pytest.mark.parametrize("made", [((), Count()), ((), Histogram(2)), ((), Statistics(False))], indirect=True)
def test_per_cpu_array(made: tuple[Map, KernelMap]) -> None:
    map, kept = made
    printer = MapPrinter(map, kept, World())
    assert printer.text() == b""
    slots = [words(1) + words(1).ljust(map.value.size, b"\0") for _ in range(possible_cpus())]
    fill(kept, bytes(4), *slots)
    full = printer.text()
    assert full.startswith(b"@m:")
    zero(map, kept)
    assert printer.text() not in (b"", full)
    clear(map, kept)
    assert printer.text() == printer.json() == b""


def test_a_thousand_keys(machine: Kernel) -> None:
    with machine.create_map(MapSpec("m", B.BPF_MAP_TYPE_HASH, 8, 8, 1000)) as kept:
        kept.update_batch(words(*range(1000)), words(*range(1000, 0, -1)), 1000)
        map = Map("@", "m", (I64,), I64, False, 1000)
        lines = MapPrinter(map, kept, World()).text(5).decode().splitlines()
        assert lines == [f"@[{key}]: {1000 - key}" for key in (4, 3, 2, 1, 0)]
        zero(map, kept)
        assert {value for _, value in kept.items()} == {bytes(8)}
        clear(map, kept)
        assert not list(kept.items())


def test_stacks_of_the_kernel(machine: Kernel) -> None:
    with machine.load(objfile.read(_llvm.compile_bpf(_IR), "stacks")) as loaded:
        loaded.programs["look"].test_run(b"", context=bytes(16))
        map = Map("@", "seen", (Stack("kernel", "bpftrace", 127),), Count(), False, 64)
        world = World(stacks=loaded.maps["stacks"])
        text = MapPrinter(map, loaded.maps["seen"], world).text().decode()
        first, *frames, last = text.splitlines()
        assert (first, last) == ("@[", "]: 1")
        assert all(frame.startswith("    ") and frame[4] != " " for frame in frames)
        assert any(frame.startswith("    __sys_bpf+") for frame in frames)
        told = json.loads(MapPrinter(map, loaded.maps["seen"], world).json())
        assert list(told["data"]["@"]) == ["\n" + "".join(f"{frame}\n" for frame in frames)]
        three = Map("@", "seen", (Stack("kernel", "perf", 3),), Count(), False, 64)
        lines = MapPrinter(three, loaded.maps["seen"], world).text().decode().splitlines()
        assert len(lines) == 5
        assert all(line.startswith("\tffffffff") and "+" in line for line in lines[1:-1])
        assert world.lost_stacks == 0
        loaded.maps["stacks"].delete(next(iter(loaded.maps["seen"].items()))[0][:4])
        assert MapPrinter(map, loaded.maps["seen"], world).text() == b"@[]: 1\n"
        assert world.lost_stacks == 1
