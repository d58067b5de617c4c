"""Loops for every kind of kernel: walked by the verifier, by bpf_loop, by open-coded iterators, by may_goto."""
from __future__ import annotations

from struct import iter_unpack
from typing import Any

import pytest

from bpfwright import L, Struct, array, i64, load, shared, u32, u64
from bpfwright.errors import CompileError
from bpfwright.helpers import now_coarse_ns, now_ns
from bpfwright.hooks import raw_tracepoint, xdp
from bpfwright.kernel import Kernel
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.target import OLDEST, Target
from bpfwright.objfile import read
from tests.lang.threeway import define

pytestmark = pytest.mark.kernel


class Clocks(Struct):
    coarse: u64
    fine: u64


class Answer(Struct):
    value: i64
    runs: u64


BODIES = {
    "sum": "n = 0\n    for i in range(a):\n        n += i * 3\n    return n",
    "break": "n = 0\n    for i in range(a):\n        if i > b:\n            break\n        n += i\n    return n",
    "continue": "n = 0\n    for i in range(a):\n        if i & 1:\n            continue\n        n += i\n    return n",
    "return": "for i in range(a):\n        if i * i > b:\n            return i\n    return -1",
    "step": "n = 0\n    for i in range(b, a, 7):\n        n = n * 3 ^ i\n    return n",
    "down": "n = 0\n    for i in range(a, b, -3):\n        n = u32(n * 5 + i)\n    return n",
    "reversed": "n = 0\n    for i in reversed(range(a)):\n        n = u32(n * 5 + i)\n    return n",
    "nested": "n = 0\n    for i in range(a & 63):\n        for j in range(b & 63):\n            if (i + j) & 1:\n"
              "                continue\n            n += i * j\n    return n",
    "tuples": "x, y = 0, 1\n    for _ in range(a & 127):\n        x, y = y, u32(x + y)\n    return x",
    "flags": "found = False\n    last = -1\n    for i in range(a):\n        if i == b:\n            found = True\n"
             "            last = i\n    return last if found else -2",
}
TARGETS = {
    "bpf_loop": Target("v3", frozenset({"bpf_loop", "ringbuf"})),
    "iterators": Target("v3", frozenset({"iter_num", "ringbuf"})),
    "all": Target("v3", frozenset({"iter_num", "may_goto", "bpf_loop", "ringbuf"})),
    "cpu v4": Target("v4", frozenset({"iter_num", "may_goto", "bpf_loop", "ringbuf"})),
    "unoptimised": Target("v3", frozenset({"iter_num"}), opt=1),
}


def run(function: Any, target: Target, cases: list[tuple[int, int]]) -> list[int]:
    answer = shared(Answer(0, 0))

    @raw_tracepoint.program("sys_enter", btf=False)
    def entry(ctx: raw_tracepoint.Context, a: u64, b: u64) -> None:
        answer.value = function(a, b)
        answer.runs += 1

    compiled = compile_programs([entry], target, cached=False)
    found = []
    with Kernel() as machine, machine.load(read(compiled.elf)) as loaded, \
            loaded.maps[".data.shared"].map_values() as values:
        (struct, offset), = compiled.shared
        assert struct is answer
        for a, b in cases:
            words = b"".join((n & (1 << 64) - 1).to_bytes(8, "little") for n in (a, b))
            loaded.programs["entry"].test_run(context=words)
            found.append(int.from_bytes(values.view[offset:offset + 8], "little", signed=True))
    return found


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", BODIES)
def test_loops_of_variable_length(name: str, kind: str) -> None:
    function = define(f"def f(a: u16, b: u16) -> i64:\n    {BODIES[name]}\n")
    cases = [(0, 0), (1, 0), (10, 3), (100, 50), (500, 499), (3, 9)]
    assert run(function, TARGETS[kind], cases) == [function(a, b) for a, b in cases]


class Table(Struct):
    total: u64
    cells: array[u64, L[100]]


table = shared(Table(0, [0] * 100))

MEMORY = {
    "constant": "for i in range(100):\n        if i & 1:\n            table.cells[i] = a + i\n",
    "variable": "for i in range(min(a, 100)):\n        if i & 1:\n            table.cells[i] = a + i\n",
    "down": "for i in range(99, -1, -1):\n        if i & 1:\n            table.cells[i] = a + i\n",
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", MEMORY)
def test_the_number_of_a_loop_indexes_memory(name: str, kind: str) -> None:
    function = define(f"def f(a: u32, b: u32) -> i64:\n    {MEMORY[name]}    table.total += 1\n    return 7\n",
                      table=table)

    @raw_tracepoint.program("sys_enter", btf=False)
    def entry(ctx: raw_tracepoint.Context, a: u64, b: u64) -> None:
        function(u32(a), u32(b))

    compiled = compile_programs([entry], TARGETS[kind], cached=False)
    with Kernel() as machine, machine.load(read(compiled.elf)) as loaded, \
            loaded.maps[".data.shared"].map_values() as values:
        (_, offset), = compiled.shared
        loaded.programs["entry"].test_run(context=(200).to_bytes(8, "little") + bytes(8))
        cells = [int.from_bytes(values.view[at:at + 8], "little") for at in range(offset, offset + 808, 8)]
    assert cells == [1, *(200 + i if i & 1 else 0 for i in range(100))]


def test_more_than_a_million_rounds() -> None:
    function = define("def f(a: u32, b: u32) -> i64:\n    n = 0\n    for i in range(a):\n        n += i & b\n    return n\n")
    for kind in ("bpf_loop", "iterators"):
        assert run(function, TARGETS[kind], [(1_500_000, 3)]) == [sum(i & 3 for i in range(1_500_000))]
    loop = define("def f(a: u32, b: u32) -> i64:\n    n = 0\n    while n < a:\n        n += 1\n    return n + b\n")
    assert run(loop, TARGETS["all"], [(1_200_000, 1)]) == [1_200_001]


def test_the_oldest_kernel_refuses_long_loops_with_a_caret() -> None:
    function = define("def f(a: u32, b: u32) -> i64:\n    n = 0\n    for i in range(a):\n        n += i & b\n    return n\n")
    with pytest.raises(CompileError, match="bpf_loop") as caught:
        run(function, OLDEST, [(5, 5)])
    assert caught.value.line == 3 and caught.value.cure
    short = define("def f(a: u32, b: u32) -> i64:\n    n = 0\n    for i in range(20):\n        n += i & b\n    return n\n")
    assert run(short, OLDEST, [(5, 3)]) == [sum(i & 3 for i in range(20))]


def test_a_while_that_the_budget_ends_is_counted() -> None:
    answer = shared(Answer(0, 0))

    @raw_tracepoint.program("sys_enter", btf=False)
    def endless(ctx: raw_tracepoint.Context, a: u64, b: u64) -> None:
        n = a
        while n != 1:
            n = u64(n * 2 + 2)
        answer.value = 1

    with load(endless) as program:
        program.test((4, 4))
        assert program.unfinished == 1


@pytest.mark.parametrize(("features", "helper"), [((), 5), (("coarse_clock",), 160)])
def test_the_coarse_clock_is_the_fine_one_where_there_is_none(features: tuple[str, ...], helper: int) -> None:
    @raw_tracepoint.program("sys_enter", btf=False)
    def entry(ctx: raw_tracepoint.Context) -> None:
        answered.value = now_coarse_ns()

    answered = shared(Answer(0, 0))
    (function,) = read(compile_programs([entry], Target("v3", frozenset(features)), cached=False).elf).functions
    calls = [constant for operation, _, _, constant in iter_unpack("<BBhi", function.insns) if operation == 0x85]
    assert calls == [helper]


def test_the_coarse_clock_is_a_tick_old_at_most() -> None:
    clocks = shared(Clocks(0, 0))

    @xdp.program
    def entry(ctx: xdp.Context) -> xdp.Action:
        clocks.coarse = now_coarse_ns()
        clocks.fine = now_ns()
        return xdp.PASS

    with load(entry) as session:
        session.test(bytes(64))
        seen = session[clocks]
        assert 0 <= seen.fine - seen.coarse < 15_000_000
