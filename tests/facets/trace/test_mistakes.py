"""Every mistake has its own sentence, its place with a caret, and one suggestion; several are told at once."""
from __future__ import annotations

import pytest

from bpfwright.errors import CompileError
from bpfwright.facets.trace.macros import expand
from bpfwright.facets.trace.names import check_calls
from bpfwright.facets.trace.parser import parse
from bpfwright.facets.trace.text import Mistakes, nearest
from tests.facets.trace.mistakes import MEANING, SYNTAX


def said(error: Mistakes) -> list[tuple[str, str, str]]:
    return [(each.what, f"{each.line}:{each.source[each.column:each.end_column]}", each.cure) for each in error.mistakes]


@pytest.mark.parametrize(("source", "expected"), SYNTAX)
def test_syntax(source: str, expected: list[tuple[str, str, str]]) -> None:
    with pytest.raises(Mistakes) as caught:
        parse(source)
    assert said(caught.value) == expected
    assert all(cure.endswith((".", "?")) for _, _, cure in expected)


@pytest.mark.parametrize(("source", "expected"), MEANING)
def test_meaning(source: str, expected: list[tuple[str, str, str]]) -> None:
    program = parse(source).program
    with pytest.raises(Mistakes) as caught:
        check_calls(expand(program))
    assert said(caught.value) == expected


def test_the_look() -> None:
    with pytest.raises(CompileError) as caught:
        parse("kprob:vfs_read {\n\tif ($x = 3) { }\n}\n", "a.bt")
    assert str(caught.value) == """\
a.bt:1: there is no provider `kprob`
    kprob:vfs_read {
    ^^^^^
  Did you mean `kprobe`?
a.bt:2: an assignment is no value
        if ($x = 3) { }
               ^
  Compare with `==`, or assign on a line of its own."""
    assert (caught.value.file, caught.value.line, caught.value.column, caught.value.exit_code) == ("a.bt", 1, 0, 6)


def test_several_at_once_in_their_order() -> None:
    source = """\
kprobe:a { $x = ; f(1) }
foo:b { $y = 1 }
kprobe:c /pid = 1/ { g(); }
interval:q:1 {
    if ($x) { 5++; @m[] = 2; } else { let y; }
    f(2)
    g(3);
}
"""
    with pytest.raises(Mistakes) as caught:
        parse(source)
    assert [(line.partition(":")[0], what) for what, line, _ in said(caught.value)] == [
        ("1", "`;` stands where a value should"), ("2", "there is no provider `foo`"),
        ("3", "`=` stands in the predicate"), ("4", "`q` is no unit of a timer"),
        ("5", "`++` needs a variable or a map"), ("5", "a key is missing"), ("5", "`y` stands where a variable should"),
        ("6", "a `;` is missing")]


def test_no_more_than_twenty() -> None:
    for source in ("begin { " + "$x = ; " * 1000 + "}", "foo:bar { } " * 1000, "begin { " + "$ " * 1000 + "}"):
        with pytest.raises(Mistakes) as caught:
            parse(source)
        assert len(caught.value.mistakes) == 20


@pytest.mark.parametrize("source", [
    "begin { $x = " + "(" * 5000 + "1", "begin { $x = " + "(" * 500 + "1" + ")" * 500 + "; }",
    "begin { $x = " + "- " * 5000 + "1; }", "begin { $x = " + "1 + " * 5000 + "1; }", "begin { $x = $y" + ".a" * 5000 + "; }",
    "begin { " + "{ " * 5000 + "}", "begin { " + "if (1) { " * 5000, "begin { $x = " + "1 ? 2 : " * 5000 + "3; }",
    "begin { $x = " + "f(" * 5000 + "; }", "begin { @m" + "[1]" * 5000 + " = 1; }", "begin { $x = " + "(uint8)" * 5000 + "1; }",
    "begin { $x = (uint8 " + "*" * 5000 + ")1; }", "begin { $x = sizeof(" * 5000, "begin { $x = " + "{ " * 5000,
    "begin { $x = " + "comptime " * 5000 + "1; }", "begin { $x = " + "1 || 2 && 3 | 4 ^ 5 & 6 == 7 < 8 << 9 + 10 * (" * 500,
    "begin { $x = " + "((1 + 2) + " * 300 + "; }", "struct S { " * 5000, "fn f($a : " + "typeof(" * 5000,
    "begin { for ($i : " + "{ for ($i : " * 500,
])
def test_deep_nesting_is_an_error_like_others(source: str) -> None:
    with pytest.raises(Mistakes) as caught:
        parse(source)
    assert any(word in str(caught.value) for word in ("deeper than", "operators on one another", "never closed", "no end"))


def test_long_chains_of_else_are_flat() -> None:
    parse("begin { if (1) { } " + "else if (2) { } " * 2000 + "}")


@pytest.mark.parametrize(("word", "expected"), [
    ("kprob", "kprobe"), ("porbe", "probe"), ("hsit", "hist"), ("cuont", "count"), ("zzz", ""), ("x" * 100, ""),
    ("Printf", "printf"), ("prinf", "printf"),
])
def test_nearest(word: str, expected: str) -> None:
    assert nearest(word, ("kprobe", "probe", "hist", "count", "print", "printf", "lhist")) == expected
