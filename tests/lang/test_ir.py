"""The intermediate representation: text and back, legality, passes; its tests are text files."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import FormatError
from bpfwright.lang import ir, ir_text, passes
from bpfwright.lang.capture import Captures
from bpfwright.lang.check import Checker, Job
from bpfwright.lang.scope import Scope
from bpfwright.lang.shapes import shape_of
from bpfwright.lang.target import Target
from bpfwright.lang.unit import Unit
from bpfwright.spec.meaning import meaning_of
from tests.lang.test_control import BODIES
from tests.lang.threeway import define, parameter_types

TEXTS = Path(__file__).parent / "ir"


def module_of(body: str) -> ir.Module:
    function = define(f"def f(a: i32, b: u8) -> i64:\n    {body}\n")
    captures = Captures([function])
    unit = Unit(Target(features=frozenset({"may_goto", "iter_num"})), captures.names, captures.configs, shape_of)
    job = Job(unit.target)
    params = [(n, meaning_of(t, "stack")) for n, t in zip("ab", parameter_types(function), strict=True)]
    result = meaning_of(Scope(function).ctype(Scope(function).annotation("return")), "stack")  # type: ignore[arg-type]
    unit.lower_instance(Checker(job, function).run(params, result, "f"))
    return unit.module


@pytest.mark.parametrize("name", BODIES)
def test_text_and_back(name: str) -> None:
    module = module_of(BODIES[name])
    text = ir_text.render(module)
    again = ir_text.parse(text)
    assert ir_text.render(again) == text
    for function in again.functions.values():
        passes.run(function)


def test_passes_leave_only_what_bpf_has() -> None:
    module = ir_text.parse((TEXTS / "floor.txt").read_text())
    function = module.functions["f"]
    ir.verify(function)
    passes.run(function)
    names = {op.name for op in function.ops()}
    assert not names & {"floordiv", "floormod"} and {"udiv", "urem", "select"} <= names
    assert [block.id for block in function.blocks] == [0, 1], "the unreachable block is gone"
    for op in function.ops():
        assert op.span.line in (0, 2, 3)


@pytest.mark.parametrize(("line", "says"), [
    ("%4 = add i32 %2 %3", "of"), ("%4 = frobnicate i64 %2", "no such operation"),
    ("%4 = add i64 %2 %9", "unknown value"),
    ("%4 = add i64 %2", "operands"), ("%4 = eq i64 %2 %3", "compares"), ("%4 = load i64 %2 0 8", "not a pointer"),
    ("goto void ^1", "inside block"), ("%4 = add i64 %5 %2", "before it is set"),
])
def test_what_is_not_legal_is_named(line: str, says: str) -> None:
    text = (TEXTS / "floor.txt").read_text().replace("%4 = add i64 %2 %3", line)
    with pytest.raises((FormatError, KeyError), match=says):
        function = ir_text.parse(text).functions["f"]
        ir.verify(function)


@pytest.mark.parametrize("text", ["nonsense", "function f(", "function f() -> i64 at 0:1\n^1\n", '%0 = const i64 "x"',
                                  "function f() -> i64 at 0:1\n^0\n%0 = const\nend"])
def test_text_that_is_no_module(text: str) -> None:
    with pytest.raises(FormatError, match="line"):
        ir_text.parse(text)


@given(st.text(max_size=200))
def test_any_text_is_a_module_or_an_error(text: str) -> None:
    try:
        ir_text.parse(text)
    except FormatError:
        pass
