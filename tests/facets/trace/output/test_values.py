"""Values as text and as JSON: shapes as bpftrace 0.17 and the language reference have them."""
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.facets.trace.output.values import (
    escaped, json_key_reader, json_reader, json_text, key_reader, text_reader)
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.types import (
    Array, Boolean, Buffer, Enumeration, Integer, Nothing, Pointer, Stack, Struct, Text, Token, Tuple, Type)
from tests.facets.trace.output.worlds import I8, I16, I32, I64, U8, U16, U32, U64, packed, words

STR = Text(8)
SIGNED = Enumeration("e", 4, True, ((-1, "NONE"), (1, "ONE")))
FOO = Struct("struct", "foo", 40, "script", (
    ("a", 0, I32, 0, 0), ("b", 4, Array(I8, 4), 0, 0), ("c", 8, Array(I64, 2), 0, 0),
    ("e", 24, Struct("struct", "", 4, "script", (("d", 0, I32, 0, 0),)), 0, 0)))
BITS = Struct("struct", "bits", 4, "script", (
    ("low", 0, U32, 0, 3), ("mid", 0, U32, 3, 10), ("high", 0, I32, 30, 2), ("flag", 0, I32, 29, 1)))
PAIR = Tuple((I64, I64), ())
NAMED = Tuple((I8, STR), ("x", "y"))


def buffer(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


VALUES: list[tuple[Type, Any, str, Any]] = [
    (I8, -1, "-1", -1), (U8, 255, "255", 255), (I16, -300, "-300", -300), (U16, 65535, "65535", 65535),
    (I32, -5, "-5", -5), (U32, 1 << 31, "2147483648", 1 << 31), (I64, 1 << 63, "-9223372036854775808", -(1 << 63)),
    (U64, -1, "18446744073709551615", (1 << 64) - 1), (Boolean(), 1, "true", True), (Boolean(), 0, "false", False),
    (SIGNED, -1, "NONE", -1), (SIGNED, 1, "ONE", 1), (SIGNED, 7, "7", 7),
    (Enumeration("f", 8, False, ((1 << 63, "TOP"),)), 1 << 63, "TOP", 1 << 63),
    (Pointer(I8, "kernel"), 16, "0x10", 16), (Pointer(I8, "user"), 0, "0x0", 0),
    (STR, b"ab", "ab", "ab"), (STR, b"", "", ""), (STR, b"a\0cd", "a", "a"),
    (STR, b"abcdefgh", "abcdefgh..", "abcdefgh.."),
    (STR, b'a"b\n', 'a"b\n', 'a"b\n'), (STR, "üü".encode(), "üü", "üü"), (STR, b"\xff", "\udcff", "\udcff"),
    (Buffer(8), buffer(b"a\0\xff"), "a\\x00\\xff", "a\\x00\\xff"), (Buffer(8), buffer(b""), "", ""),
    (Array(I32, 3), packed((I32, I32, I32), (1, -2, 3)), "[1,-2,3]", [1, -2, 3]), (Array(I32, 0), b"", "[]", []),
    (Array(Array(I16, 2), 2), packed((I16,) * 4, (5, 6, 7, 8)), "[[5,6],[7,8]]", [[5, 6], [7, 8]]),
    (Array(I8, 2), b"ab", "[97,98]", [97, 98]),
    (PAIR, words(1, 2), "(1, 2)", [1, 2]), (Tuple((I64,), ()), words(4), "(4)", [4]), (Tuple((), ()), b"", "()", []),
    (Tuple((I64, STR, PAIR), ()), words(1) + b"x".ljust(8, b"\0") + words(2, 3), "(1, x, (2, 3))", [1, "x", [2, 3]]),
    (NAMED, packed((I8, STR), (3, b"b")), "{ .x = 3, .y = b }", {"x": 3, "y": "b"}),
    (FOO, packed((I32, U8, U8, U8, U8, I64, I64, I32), (1, 104, 105, 0, 0, 7, -8, 9)),
     "{ .a = 1, .b = hi, .c = [7,-8], .e = { .d = 9 } }", {"a": 1, "b": "hi", "c": [7, -8], "e": {"d": 9}}),
    (BITS, 5 | 1000 << 3 | 2 << 30 | 1 << 29, "{ .low = 5, .mid = 1000, .high = -2, .flag = -1 }",
     {"low": 5, "mid": 1000, "high": -2, "flag": -1}),
    (Struct("struct", "empty", 4, "kernel", ()), 0, "{}", {}), (Nothing(), b"", "null", None),
    (Token("mac"), b"\x18\xc0\x4d\x08\x2e\xbb", "18:C0:4D:08:2E:BB", "18:C0:4D:08:2E:BB"),
    (Token("inet"), packed((U32,), (2,)) + bytes((127, 0, 0, 1)), "127.0.0.1", "127.0.0.1"),
    (Token("inet"), packed((U32,), (10,)) + bytes(15) + b"\1", "::1", "::1"),
    (Token("inet"), packed((U32,), (77,)), "", ""),
    (Token("strerror"), 2, "No such file or directory", "No such file or directory"),
    (Token("signal_name"), 9, "SIGKILL", "SIGKILL"), (Token("signal_name"), 17, "SIGCHLD", "SIGCHLD"),
    (Token("signal_name"), 99, "99", "99"), (Token("username"), 0, "root", "root"),
    (Token("probe"), 1, "kprobe:b", "kprobe:b"), (Token("func"), 1, "b", "b"),
    (Stack("kernel", "bpftrace", 127), words(1 << 31), "", ""), (Stack("user", "perf", 5), words(3), "", ""),
]
WORLD = World(("%Y",), (("begin", ""), ("kprobe:b", "b")))


def raw(type: Type, value: Any) -> bytes:
    return packed((type,), (value,))


@pytest.mark.parametrize("type,value,text,data", VALUES)
def test_values(type: Type, value: Any, text: str, data: Any) -> None:
    held = b"\xaa" * 8 + raw(type, value) + b"\xbb" * 8
    assert text_reader(type, WORLD)(held, 8).decode("utf-8", "surrogateescape") == text
    assert json.loads(json_reader(type, WORLD)(held, 8)) == data


@pytest.mark.parametrize("keys,values,text,data", [
    ((I64,), (1,), "1", "1"), ((I64, STR), (1, b"x"), "1, x", "1,x"), ((PAIR,), (words(1, 2),), "1, 2", "1,2"),
    ((I64, PAIR), (1, words(2, 3)), "1, (2, 3)", "1,(2,3)"),
    ((STR, I8, I32), (b"a b", -1, 5), "a b, -1, 5", "a b,-1,5"),
    ((NAMED,), (packed((I8, STR), (1, b"q")),), "{ .x = 1, .y = q }", "{.x=1,.y=q}"),
    ((Pointer(I8, "kernel"),), (16,), "0x10", "0x10"), ((SIGNED,), (1,), "ONE", "ONE"),
    ((Buffer(4),), (buffer(b"a\xff"),), "a\\xff", "a\\xff"), ((Boolean(),), (1,), "true", "true"),
])
def test_keys(keys: tuple[Type, ...], values: tuple[Any, ...], text: str, data: str) -> None:
    key = packed(keys, values)
    assert key_reader(keys, WORLD)(key).decode() == text
    assert json.loads(json_key_reader(keys, WORLD)(key)) == data


def test_a_value_may_end_early() -> None:
    assert text_reader(Text(64), WORLD)(b"12345678abc", 8) == b"abc"
    assert text_reader(Buffer(64), WORLD)(buffer(b"ab"), 0) == b"ab"


@given(st.binary())
def test_json_texts_read_back(data: bytes) -> None:
    told = json_text(data)
    told.decode("utf-8")
    assert json.loads(told).encode("utf-8", "surrogateescape") == data
    assert b"\n" not in told


@given(st.binary())
def test_escapes(data: bytes) -> None:
    told = escaped(data).decode("ascii")
    assert told.isprintable() or not data
    parts: list[int] = []
    at = 0
    while at < len(told):
        if told.startswith("\\x", at) and (len(parts) >= len(data) or data[len(parts)] != ord("\\")):
            parts.append(int(told[at + 2:at + 4], 16))
            at += 4
        else:
            parts.append(ord(told[at]))
            at += 1
    assert bytes(parts) == data


SCALARS = st.sampled_from([I8, U8, I16, U16, I32, U32, I64, U64])


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, min_size=1, max_size=4).map(
    lambda items: Tuple(tuple(items), ())), max_leaves=12), st.randoms(use_true_random=False))
def test_nested_tuples(type: Type, chance: Any) -> None:
    def fill(type: Type) -> tuple[bytes, Any]:
        if isinstance(type, Integer):
            low = chance.randrange(1 << 8 * type.bytes)
            signed = low - (1 << 8 * type.bytes) if type.signed and low >> 8 * type.bytes - 1 else low
            return low.to_bytes(type.bytes, "little"), signed
        assert isinstance(type, Tuple)
        made = [fill(item) for item in type.items]
        data = packed(type.items, tuple(part for part, _ in made))
        return data.ljust(type.size, b"\0"), [value for _, value in made]
    data, wanted = fill(type)
    assert json.loads(json_reader(type, WORLD)(data, 0)) == wanted
    assert text_reader(type, WORLD)(data, 0).decode() == str(wanted).replace("[", "(").replace("]", ")")


def test_what_has_no_text_says_so() -> None:
    with pytest.raises(TypeError, match="has no text"):
        text_reader(Type(), WORLD)
