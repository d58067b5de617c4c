"""Configuration: values are what they are read as, and every mistake has its line."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from bpfwright.datapath.configuration import Scalar, Section, read
from bpfwright.errors import ConfigurationError
from bpfwright.headers import IPv4

TEXT = """\
name: no
count: 64k
hex: 0x10
time: 250ms
on: true
list: [1, 2, 3]
one: alone
inner:
  deep:
    - a: 1
    - a: 2
"""


def test_values() -> None:
    whole = read(TEXT, "net.yaml")
    assert whole.text("name") == "no"  # a name, not a boolean
    assert (whole.number("count"), whole.number("hex"), whole.number("none", 7)) == (64000, 16, 7)
    assert (whole.seconds("time"), whole.flag("on"), whole.flag("off")) == (0.25, True, False)
    assert [scalar.number() for scalar in whole.scalars("list")] == [1, 2, 3]
    assert [scalar.text for scalar in whole.scalars("one")] == ["alone"] and whole.scalars("nothing") == []
    inner = whole.section("inner")
    assert inner is not None and [each.number("a") for each in inner.sections("deep")] == [1, 2]
    assert [each.line for each in inner.sections("deep")] == [10, 11]
    assert whole.section("nothing") is None and whole.choice("name", ("no", "yes")) == "no"
    assert "name" in whole and list(whole)[:2] == ["name", "count"]
    inner.done()
    whole.done()


@pytest.mark.parametrize(("written", "value"), [("1", 1), ("1_000", 1000), ("2M", 2_000_000), ("3Gi", 3 << 30),
                                                 ("0b11", 3), ("4k", 4000), ("4Ki", 4096)])
def test_numbers(written: str, value: int) -> None:
    assert read(f"a: {written}", "f").number("a") == value


@pytest.mark.parametrize(("written", "value"), [("1s", 1.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0),
                                                 ("5us", 5e-6), ("7ns", 7e-9)])
def test_times(written: str, value: float) -> None:
    assert read(f"a: {written}", "f").seconds("a") == pytest.approx(value)


def _read_two(section: Section) -> None:
    section.number("a")
    section.number("bcd", 1)
    section.done()


MISTAKES: list[tuple[str, Callable[[Section], object], int, str, str]] = [
    ("a: 1\nb: x\n", lambda s: s.number("b"), 2, "b: 'x' is not a number", "Write digits"),
    ("a: 1kk\n", lambda s: s.number("a"), 1, "is not a number", ""),
    ("a: 70\n", lambda s: s.number("a", low=1, high=64), 1, "70 is not between 1 and 64", ""),
    ("a: 5\n", lambda s: s.seconds("a"), 1, "'5' is not a time", "30s"),
    ("a: 5h\n", lambda s: s.seconds("a", high=60), 1, "not between 0 and 60 seconds", ""),
    ("a: yes\n", lambda s: s.flag("a"), 1, "'yes' is neither true nor false", ""),
    ("a: 'true'\n", lambda s: s.flag("a"), 1, "neither true nor false", ""),
    ("a: nativ\n", lambda s: s.choice("a", ("native", "generic")), 1, "none of native, generic", "mean native?"),
    ("a: 1\n", lambda s: s.text("b"), 1, "b is missing", ""),
    ("a: [1]\n", lambda s: s.text("a"), 1, "one value is meant", ""),
    ("\na:\n  b: 1\n", lambda s: s.text("a"), 3, "one value is meant", ""),
    ("a: 1\n", lambda s: s.section("a"), 1, "`key: value` lines", ""),
    ("a: [1]\n", lambda s: s.sections("a"), 1, "list of `key: value` blocks", ""),
    ("a: [{b: 1}]\n", lambda s: s.scalars("a"), 1, "plain values", ""),
    ("a: 1\n\nbc: 2\n", _read_two, 3, "bc: there is no such key", "bcd?"),
    ("a: 300.1.1.1\n", lambda s: s.scalars("a")[0].parsed(IPv4.Address), 1, "not an IPv4 address", "192.0.2.1"),
    ("a:\n  b: 1\n", lambda s: (s.section("a") or s).wrong("not so", "so", at="b"), 2, "a.b: not so", "so"),
]


@pytest.mark.parametrize(("text", "act", "line", "said", "cure"), MISTAKES)
def test_mistakes(text: str, act: Callable[[Section], object], line: int, said: str, cure: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        act(read(text, "net.yaml"))
    assert (caught.value.file, caught.value.line) == ("net.yaml", line)
    assert caught.value.what.startswith(f"net.yaml:{line}: ") and said in caught.value.what
    assert cure in caught.value.cure


@pytest.mark.parametrize(("text", "line", "said"), [
    ("a: [1\n", 2, "not YAML"), ("a: 1\na: 2\n", 2, "a stands here twice"), ("- 1\n", 1, "no mapping"),
    ("just words\n", 1, "no mapping"), ("? [1, 2]\n: 3\n", 1, "a key is a word"), ("a: &x [*x]\n", 1, "holds itself"),
    ("a: 1\n\tb: 2\n", 2, "not YAML"), ("a: 1\n---\nb: 2\n", 2, "not YAML"),
])
def test_what_is_no_mapping(text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text, "f.yaml")
    assert caught.value.line == line and said in caught.value.what


def test_nothing_is_an_empty_mapping() -> None:
    read("# only a comment\n", "f").done()


def test_a_scalar_shows_itself() -> None:
    (scalar,) = read("a: x", "f").scalars("a")
    assert isinstance(scalar, Scalar) and repr(scalar) == "Scalar('x', line 1)"
