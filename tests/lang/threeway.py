"""One function, three ways: plain Python, native code at O0 and O2, and the kernel by test run."""
from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright import Struct, i64, load, shared, u64
from bpfwright.hooks import raw_tracepoint
from bpfwright.lang.native import native
from bpfwright.types.ctype import Bool, Int, ctype_of

MASK = (1 << 64) - 1
EXAMPLES = 25
_sources = 0


class Answer(Struct):
    value: i64
    runs: u64


def define(text: str, **names: Any) -> Any:
    """The last function that a source text defines, its source readable as if it were in a file."""
    global _sources
    _sources += 1
    file = f"<language test {_sources}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": __name__}
    exec("from bpfwright import *\nfrom bpfwright.helpers import judged_alone\nfrom bpfwright.types import *", space)
    space.update(names)
    before = set(space)
    exec(compile(text, file, "exec"), space)
    made = [v for k, v in space.items() if k not in before and callable(v) and not isinstance(v, type)]
    return made[-1]


def edges(ctype: Int | Bool) -> st.SearchStrategy[int]:
    """Operands of a type, most of them at the edges of some width."""
    if isinstance(ctype, Bool):
        return st.booleans()
    near = {ctype.low, ctype.high, 0, 1, 2, 3, 7}
    for bits in (7, 8, 15, 16, 31, 32, 63):
        near |= {(1 << bits) + d for d in (-1, 0, 1)} | {-(1 << bits) + d for d in (-1, 0, 1)}
    fitting = sorted(n for n in near if ctype.low <= n <= ctype.high)
    return st.sampled_from(fitting) | st.integers(ctype.low, ctype.high)


def parameter_types(function: Any) -> list[Int | Bool]:
    names = function.__code__.co_varnames[:function.__code__.co_argcount]
    return [_resolved(function, name) for name in names]


def _resolved(function: Any, name: str) -> Any:
    annotation = function.__annotations__[name]
    return ctype_of(annotation, [function.__globals__])


def wrapped(value: Any, ctype: Any) -> int:
    """What a result of this type holds of a Python number."""
    if isinstance(ctype, Bool):
        return int(bool(value))
    return int(ctype(int(value))) & MASK


class Kernel:
    """The function inlined into a raw tracepoint program, its answer in shared memory."""

    def __init__(self, function: Any) -> None:
        self.answer = answer = shared(Answer(0, 0))
        types = parameter_types(function)
        if any(isinstance(t, Bool) for t in types):  # the entry's arguments are words
            names = "abc"[:len(types)]
            words = ", ".join(f"{n}: u64" for n in names)
            passed = ", ".join(f"{n} != 0" if isinstance(t, Bool) else n for n, t in zip(names, types, strict=True))
            function = define(f"def f({words}) -> i64:\n    return inner({passed})\n", inner=function)
        self.session = load(_ENTRIES[len(parameter_types(function))](function, answer))

    def __call__(self, *arguments: int) -> int:
        before = self.answer.runs
        self.session.test(arguments)
        assert self.answer.runs == before + 1
        return int(self.answer.value) & MASK

    def close(self) -> None:
        self.session.close()


def _entry0(function: Any, answer: Any) -> Any:
    @raw_tracepoint.program("sys_enter", btf=False)
    def entry(ctx: raw_tracepoint.Context) -> None:
        answer.value = function()
        answer.runs += 1
    return entry


def _entry1(function: Any, answer: Any) -> Any:
    @raw_tracepoint.program("sys_enter", btf=False)
    def entry(ctx: raw_tracepoint.Context, a: u64) -> None:
        answer.value = function(a)
        answer.runs += 1
    return entry


def _entry2(function: Any, answer: Any) -> Any:
    @raw_tracepoint.program("sys_enter", btf=False)
    def entry(ctx: raw_tracepoint.Context, a: u64, b: u64) -> None:
        answer.value = function(a, b)
        answer.runs += 1
    return entry


def _entry3(function: Any, answer: Any) -> Any:
    @raw_tracepoint.program("sys_enter", btf=False)
    def entry(ctx: raw_tracepoint.Context, a: u64, b: u64, c: u64) -> None:
        answer.value = function(a, b, c)
        answer.runs += 1
    return entry


_ENTRIES: dict[int, Callable[[Any, Any], Any]] = {0: _entry0, 1: _entry1, 2: _entry2, 3: _entry3}


def agree(function: Any, *, where: Callable[..., bool] | None = None, examples: int = EXAMPLES) -> None:
    """Run a function all ways on operands at the edges of its types; every answer must be Python's, cut to the type.

    `where` says for which operands the function has an answer in Python (no zero divisor, no negative shift).
    """
    types = parameter_types(function)
    result = _resolved(function, "return")
    kernel = Kernel(function)
    ways: list[Callable[..., int]] = [native(function, opt=0), native(function, opt=2), kernel]
    try:
        @settings(max_examples=examples, database=None)
        @given(st.tuples(*map(edges, types)))
        def compare(operands: tuple[int, ...]) -> None:
            if where is not None and not where(*operands):
                return
            expected = wrapped(function(*operands), result)
            for way in ways:
                assert way(*operands) & MASK == expected, (operands, way)

        compare()
    finally:
        kernel.close()
