"""printf: against C's own, against what bpftrace 0.17 printed, and what is wrong with a format."""
from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpfwright.facets.trace.output.formats import NONE, STAR, check, compile, parse
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.types import (
    Boolean, Buffer, Count, Enumeration, Integer, Nothing, Pointer, Text, Tuple, Type)
from tests.facets.trace.output.worlds import I8, I16, I32, I64, U8, U16, U32, U64, packed, record

STR = Text(16)
POINTER = Pointer(Nothing(), "kernel")
COLOUR = Enumeration("colour", 4, False, ((1, "RED"), (2, "GREEN"), (2, "ALSO_GREEN")))
BYTES = Buffer(8)
LIBC = ctypes.CDLL(None)


def buffer(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def printed(format: str | bytes, types: tuple[Type, ...] = (), *values: Any, world: World | None = None) -> bytes:
    made = parse(format)
    assert check(made, types) == []
    return compile(made, types, world or World())(record(0, types, *values))


# Observed on a real kernel with bpftrace 0.17, but for those that say why not.
OBSERVED: list[tuple[str, tuple[Type, ...], tuple[Any, ...], str]] = [
    ("%d", (U64,), (-1,), "-1"), ("%d", (I32,), (-1,), "-1"), ("%hhd", (I64,), (300,), "44"),
    ("%hhx", (I64,), (-1,), "ff"), ("%hd", (I64,), (70000,), "4464"), ("%lld", (I64,), (1 << 40,), "1099511627776"),
    ("%lx", (I64,), (1 << 40,), "10000000000"), ("%llx", (I64,), (-1,), "ffffffffffffffff"),
    ("%lu", (I8,), (-1,), "18446744073709551615"), ("%ld", (U32,), (-1,), "4294967295"),
    ("%lx", (I32,), (-1,), "ffffffffffffffff"), ("%d", (U8,), (-1,), "255"), ("%c", (I64,), (65,), "A"),
    ("%c", (I64,), (321,), "A"), ("%08x", (I64,), (255,), "000000ff"), ("%-8x|", (I64,), (255,), "ff      |"),
    ("%8d", (I64,), (255,), "     255"), ("%5s", (STR,), (b"ab",), "   ab"), ("%-5s|", (STR,), (b"ab",), "ab   |"),
    ("%s|", (STR,), (b"",), "|"), ("%.2s", (STR,), (b"abcd",), "ab"), ("%.3d", (I64,), (5,), "005"),
    ("%o", (I64,), (255,), "377"), ("%X", (I64,), (255,), "FF"), ("%hx", (I64,), (70000,), "1170"),
    ("%hhu", (I64,), (300,), "44"), ("%hhd", (U8,), (-1,), "-1"),
    ("%p", (I64,), (0,), "(nil)"), ("%p", (I64,), (4096,), "0x1000"),
    ("%r", (BYTES,), (buffer(b"ab\1c"),), "ab\\x01c"), ("%rx", (BYTES,), (buffer(b"ab\1c"),), "\\x61\\x62\\x01\\x63"),
    ("%rh", (BYTES,), (buffer(b"ab\1c"),), "61 62 01 63"),
    # 0.17 takes %d for 32 bits; since 0.24 a number without a length is of 64.
    ("%d", (I64,), (1 << 40,), "1099511627776"), ("%x", (I64,), (1 << 40,), "10000000000"),
    ("%u", (I64,), (-1,), "18446744073709551615"), ("%x", (I32,), (-1,), "ffffffffffffffff"),
    ("%d", (U32,), (-1,), "4294967295"), ("%x", (U32,), (-1,), "ffffffff"),
    # From the language reference.
    ("%s", (COLOUR,), (2,), "GREEN"), ("%d", (COLOUR,), (2,), "2"), ("%s", (COLOUR,), (7,), "7"),
    ("%s", (I64,), (-5,), "-5"), ("%s", (U64,), (-1,), "18446744073709551615"), ("%s", (POINTER,), (4096,), "0x1000"),
    ("%s", (Boolean(),), (1,), "true"), ("%d", (Boolean(),), (1,), "1"), ("%s", (Boolean(),), (0,), "false"),
    ("%gr", (U32,), (0xCC0,), "GFP_KERNEL"), ("%gr", (U32,), (0x820 | 2,), "GFP_ATOMIC|__GFP_HIGHMEM"),
    ("%gr", (U32,), (0x400 | 0x40 | 0x80,), "__GFP_IO|__GFP_FS|__GFP_DIRECT_RECLAIM"), ("%gr", (U32,), (0,), "0"),
    ("%gr", (U64,), (1 << 40 | 1,), "GFP_DMA|0x10000000000"),
    ("%d%%", (I64,), (5,), "5%"), ("100%%", (), (), "100%"), ("%%d", (), (), "%d"), ("", (), (), ""),
    ("%i", (I64,), (-3,), "-3"), ("%zu %td %jx", (U64, I64, U64), (1, -2, 255), "1 -2 ff"),
    ("%*d|%-*d|", (I32, I64, I32, I64), (5, 42, 4, 7), "   42|7   |"), ("%*s|", (I32, STR), (-6, b"ab"), "ab    |"),
    ("%.*s|", (I32, STR), (2, b"abcd"), "ab|"), ("%.*s|", (I32, STR), (-1, b"abcd"), "abcd|"),
    ("%*.*d|", (I32, I32, I64), (6, 3, 5), "   005|"), ("%-20r|", (BYTES,), (buffer(b"ab"),), "ab" + " " * 18 + "|"),
    ("%s", (BYTES,), (buffer(b"a\xff"),), "a\\xff"), ("%s", (Tuple((I64, STR), ()),), (b"",), "(0, )"),
    ("%6s|", (Tuple((I8, I8), ()),), (b"\1\2",), "(1, 2)|"), ("%8p|", (POINTER,), (16,), "    0x10|"),
    ("%d %s %c%x", (I32, STR, U8, U16), (-1, b"x", 66, 0xBEEF), "-1 x Bbeef"), ("%u", (Count(),), (3,), "3"),
    ("%c|", (I64,), (0,), "\0|"), ("é %s", (STR,), ("ü".encode(),), "é ü"), ("%Lx", (U64,), (10,), "a"),
]


@pytest.mark.parametrize("format,types,values,expected", OBSERVED)
def test_printed(format: str, types: tuple[Type, ...], values: tuple[Any, ...], expected: str) -> None:
    assert printed(format, types, *values) == expected.encode()


INTEGERS = st.sampled_from([I8, I16, I32, I64, U8, U16, U32, U64])


def widened(type: Integer, value: int) -> int:
    low = value & (1 << 8 * type.bytes) - 1
    return low - (1 << 8 * type.bytes) if type.signed and low >> 8 * type.bytes - 1 else low


def c_printf(format: bytes, *arguments: Any) -> bytes:
    room = ctypes.create_string_buffer(4096)
    length = LIBC.snprintf(room, len(room), format, *arguments)
    return room.raw[:length]


@given(INTEGERS, st.integers(-(1 << 63), (1 << 64) - 1) | st.integers(-3, 3), st.sets(st.sampled_from("-+ #0")),
       st.none() | st.integers(1, 40), st.none() | st.integers(0, 30),
       st.sampled_from(["", "hh", "h", "l", "ll", "j", "z", "t"]), st.sampled_from("diuoxX"))
def test_numbers_are_as_c_writes_them(type: Integer, value: int, flags: set[str], width: int | None,
                                      precision: int | None, length: str, kind: str) -> None:
    shape = "".join(sorted(flags)) + ("" if width is None else str(width)) + (
        "" if precision is None else f".{precision}")
    cut = length if length in ("h", "hh") else "ll"
    expected = c_printf(f"%{shape}{cut}{kind}".encode(),
                        ctypes.c_longlong(widened(type, value) & (1 << 64) - 1))
    assert printed(f"%{shape}{length}{kind}", (type,), value) == expected


@given(st.binary(max_size=15).filter(lambda b: 0 not in b), st.booleans(), st.none() | st.integers(1, 30),
       st.none() | st.integers(0, 20))
def test_texts_are_as_c_writes_them(text: bytes, left: bool, width: int | None, precision: int | None) -> None:
    shape = f"%{'-' if left else ''}{'' if width is None else width}{'' if precision is None else f'.{precision}'}s"
    assert printed(shape, (STR,), text) == c_printf(shape.encode(), text)


@example(-2, 0, 0)
@given(st.integers(-40, 40), st.integers(-5, 30), st.integers(-(1 << 31), 1 << 31))
def test_stars_are_as_in_c(width: int, precision: int, value: int) -> None:
    expected = c_printf(b"%*.*lld|%-*llx|", width, precision, ctypes.c_longlong(value), width, ctypes.c_longlong(value))
    assert printed("%*.*d|%-*llx|", (I32, I32, I64, I32, I64), width, precision, value, width, value) == expected


@given(st.lists(st.tuples(st.sampled_from(["d", "s", "x", "t"]), st.integers(-(1 << 63), (1 << 63) - 1)), max_size=8))
def test_fields_stand_at_their_places(parts: list[tuple[str, int]]) -> None:
    kinds: dict[str, tuple[str, Type]] = {"d": ("%d", I32), "s": ("%s", Text(5)), "x": ("%hhu", U8), "t": ("%lld", I64)}
    types = tuple(kinds[kind][1] for kind, _ in parts)
    values = [str(value % 1000).encode() if kind == "s" else value for kind, value in parts]
    wanted = [value.decode() if isinstance(value, bytes) else str(widened(types[i], value))  # type: ignore[arg-type]
              for i, value in enumerate(values)]
    assert printed(" ".join(kinds[kind][0] for kind, _ in parts), types, *values).decode() == " ".join(wanted)


def test_a_text_that_fills_its_room_was_cut() -> None:
    assert printed("%s", (Text(4),), b"abcd") == b"abcd.."
    assert printed("%s", (Text(4),), b"abc") == b"abc"
    quiet = World(settings={"str_trunc_trailer": ""})
    assert printed("%s", (Text(4),), b"abcd", world=quiet) == b"abcd"
    other = World(settings={"str_trunc_trailer": "_xxx"})
    assert printed("%s", (Text(4),), b"abcd", world=other) == b"abcd_xxx"


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_record_may_end_inside_its_last_text(length: int) -> None:
    render = compile(parse("%d %s|"), (I64, Text(64)), World())
    assert render(record(0, (I64,), 7) + b"abc"[:length]) == b"7 " + b"abc"[:length] + b"|"


def test_a_record_may_end_inside_its_last_buffer() -> None:
    render = compile(parse("%d %r|"), (I64, Buffer(64)), World())
    assert render(record(0, (I64,), 7) + buffer(b"ab")) == b"7 ab|"


def test_a_buffer_that_says_too_much_is_cut_at_its_room() -> None:
    types: tuple[Type, ...] = (Buffer(2), I64)
    data = packed(types, ((99).to_bytes(4, "little") + b"ab", 5))
    assert compile(parse("%r %d"), types, World())(bytes(8) + data) == b"ab 5"


def test_bytes_that_are_no_utf8_stay() -> None:
    assert printed(b"\xff %s", (STR,), b"\xfe\x80") == b"\xff \xfe\x80"


def test_widths_from_records_are_bounded() -> None:
    assert len(printed("%*d", (I64, I64), 1 << 40, 1)) == 65_535


def test_parse() -> None:
    format = parse("a %-+#05.3lld %*.*s %% %z %")
    first, second = format.conversions
    assert (first.kind, first.flags, first.width, first.precision, first.length) == ("d", "-+#0", 5, 3, "ll")
    assert (second.kind, second.width, second.precision, second.arguments) == ("s", STAR, STAR, 3)
    assert format.source[first.start:first.end] == b"%-+#05.3lld"
    assert [format.source[start:end] for start, end in format.strange] == [b"%z", b"%"]
    assert parse("%d").conversions[0].width == NONE
    assert [c.kind for c in parse("%rx%rh%r%gr%p").conversions] == ["rx", "rh", "r", "gr", "p"]


def test_what_is_no_conversion_stays_text() -> None:
    assert printed("50%, %y") == b"50%, %y"


WRONG: list[tuple[str, tuple[Type, ...], str, str, int, str]] = [
    ("%d %s\n", (I64,), "the format takes 2 arguments, and there is 1", "Add the arguments", -1, "%s"),
    ("%d", (I64, I64), "the format takes 1 argument, and there are 2", "Write a conversion", 1, ""),
    ("x", (I64,), "the format takes no arguments, and there is 1", "Write a conversion", 0, ""),
    ("%z\n", (I64,), "the format takes no arguments, and there is 1", "`%z` is no conversion", -1, "%z"),
    ("%d", (STR,), "`%d` prints a number, and this is a string[16]", "Write `%s`.", 0, "%d"),
    ("%hhx", (STR,), "`%hhx` prints a number, and this is a string[16]", "Write `%s`.", 0, "%hhx"),
    ("%x", (BYTES,), "`%x` prints a number, and this is a buffer[8]", "Write `%r`.", 0, "%x"),
    ("%r", (I64,), "`%r` prints a buffer, and this is a int64", "Write `%d`.", 0, "%r"),
    ("%rx", (STR,), "`%rx` prints a buffer, and this is a string[16]", "Write `%s`, or", 0, "%rx"),
    ("%f", (I64,), "`%f` prints floating point, which the language does not have", "Write `%d`", 0, "%f"),
    ("%s", (Nothing(),), "this has no value that could be printed", "", 0, "%s"),
    ("%*d", (STR, I64), "`*` takes a number, and this is a string[16]", "Write the width", 0, "%*d"),
    ("%99999d", (I64,), "a width of 99999", "Ask for at most 65535.", -1, "%99999d"),
    ("%.99999d", (I64,), "a precision of 99999", "Ask for at most 65535.", -1, "%.99999d"),
    ("%gr", (STR,), "`%gr` prints a number, and this is a string[16]", "Write `%s`.", 0, "%gr"),
    ("%c", (Tuple((I64,), ()),), "`%c` prints a number, and this is a (int64)", "Write `%s`.", 0, "%c"),
]


@pytest.mark.parametrize("format,types,what,cure,argument,place", WRONG)
def test_check(format: str, types: tuple[Type, ...], what: str, cure: str, argument: int, place: str) -> None:
    problem = check(parse(format), types)[0]
    assert problem.what == what
    assert problem.cure.startswith(cure)
    assert problem.argument == argument
    assert format[problem.start:problem.end] == place


def test_check_says_all() -> None:
    assert [problem.argument for problem in check(parse("%d %r %s"), (STR, I64, STR))] == [0, 1]


@given(st.binary(max_size=40))
def test_any_bytes_parse(source: bytes) -> None:
    format = parse(source)
    again = b"".join(piece.replace(b"%", b"%%") if isinstance(piece, bytes) else source[piece.start:piece.end]
                     for piece in format.pieces)
    assert again.replace(b"%%", b"%") == source.replace(b"%%", b"%")
