"""Processes that end before their addresses are named."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from bpfwright.facets.trace.output.remembering import Remembering, pid_places, spaces
from bpfwright.facets.trace.plan import Map, Message, Plan
from bpfwright.facets.trace.types import Array, Count, Stack, Struct, Text, Token, Tuple, Type
from tests.facets.trace.output.test_world import libc_place
from tests.facets.trace.output.worlds import I64, U32, Kept, Seen, packed, words

USER, KERNEL, RAW = Stack("user", "perf", 9), Stack("kernel", "bpftrace", 9), Stack("user", "raw", 9)
USYM = Token("usym")


@pytest.fixture
def asleep() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        yield child
        child.kill()


@pytest.mark.parametrize("types,places,wanted", [
    ((USER,), [(4, 4)], {"user"}), ((I64, USER, KERNEL), [(12, 4)], {"user", "kernel"}), ((USYM,), [(8, 8)], {"user"}),
    ((Text(3), Tuple((U32, USER, USYM), ())), [(16, 4), (32, 8)], {"user"}), ((RAW,), [(4, 4)], set()),
    ((Token("ksym"),), [], {"kernel"}), ((I64,), [], set()), ((Array(KERNEL, 2),), [], {"kernel"}),
    ((Struct("struct", "s", 8, "script", (("a", 0, KERNEL, 0, 0),)),), [], {"kernel"})])
def test_places(types: tuple[Type, ...], places: list[tuple[int, int]], wanted: set[str]) -> None:
    assert (pid_places(types), spaces(types)) == (places, wanted)


@pytest.mark.parametrize("keyed", [True, False])
def test_a_process_in_a_map(asleep: subprocess.Popen[bytes], keyed: bool) -> None:
    address, _ = libc_place(asleep.pid)
    symbol = words(address, asleep.pid)
    map = Map("@", "m", (USYM,), Count(), False, 9) if keyed else Map("@", "m", (), USYM, False, 1)
    kept = Kept({symbol: words(1)} if keyed else {bytes(4): words(1) + symbol})
    seen = Seen(maps={"@": (map, kept)})
    seen.printer.prepare()
    assert seen.printer.remember()
    asleep.kill()
    asleep.wait()
    seen.printer.finish()
    assert "0x" not in seen.text and "@" in seen.text


def test_a_process_that_is_traced(asleep: subprocess.Popen[bytes]) -> None:
    address, _ = libc_place(asleep.pid)
    seen = Seen(Message("print", (USYM,), ("1",)))
    seen.printer.prepare([asleep.pid])
    assert not seen.printer.remember()
    asleep.kill()
    asleep.wait()
    seen.printer.handle(0, bytes(8) + words(address, asleep.pid))
    assert not seen.text.startswith("0x")


def test_nothing_is_read_for_scripts_without_addresses() -> None:
    seen = Seen(Message("print", (I64,), ("1",)), maps={"@": (Map("@", "m", (I64,), Count(), False, 9), Kept({}))})
    seen.printer.prepare([1])
    assert not seen.printer.remember()
    assert seen.printer.world._symbolizer is None


def test_maps_are_looked_at_ten_times_a_second() -> None:
    class Asked(Kept):
        times = 0

        def items(self) -> Iterator[tuple[bytes, bytes]]:
            self.times += 1
            return super().items()

    kept = Asked({packed((USER,), (words(0),)): words(1)})
    map = Map("@", "m", (USER,), Count(), False, 9)
    seen = Seen()
    found = Remembering(Plan((), (map,), ()), {"@": kept}, seen.printer.world)
    for _ in range(50):
        found.look()
    assert kept.times == 1
