"""Layout against ctypes, which follows the C compiler's rules, and values in and out of memory."""
from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import SessionError, UsageError, WrongType
from bpfwright.types import (Atomic, Config, CUnion, KernelStruct, L, SpinLock, Struct, array, be16, be32, char,
                             i8, i16, i32, i64, ptr, shared, u8, u16, u32, u64)
from bpfwright.types.ctype import BitsType, Int, ctype_of

def field_of(storage: Any, width: int) -> Any:
    return BitsType(ctype_of(storage), width)  # type: ignore[arg-type]


SCALARS: list[tuple[Any, Any]] = [
    (u8, ctypes.c_uint8), (u16, ctypes.c_uint16), (u32, ctypes.c_uint32), (u64, ctypes.c_uint64),
    (i8, ctypes.c_int8), (i16, ctypes.c_int16), (i32, ctypes.c_int32), (i64, ctypes.c_int64)]


@given(st.lists(st.sampled_from(SCALARS), min_size=1, max_size=8), st.booleans())
def test_layout_is_cs(members: list[tuple[Any, Any]], packed: bool) -> None:
    names = [f"m{i}" for i in range(len(members))]
    ours: Any = type("Ours", (Struct,), {"__annotations__": {n: m[0] for n, m in zip(names, members)}}, packed=packed)
    theirs: Any = type("Theirs", (ctypes.Structure,), {
        **({"_pack_": 1} if packed else {}), "_fields_": [(n, m[1]) for n, m in zip(names, members)]})
    layout = ours.__layout__()
    assert (layout.size, layout.align) == (ctypes.sizeof(theirs), ctypes.alignment(theirs))
    assert [layout.fields[n].offset for n in names] == [getattr(theirs, n).offset for n in names]


@given(st.sampled_from(range(4)), st.lists(st.integers(1, 64), min_size=1, max_size=8))
def test_bit_fields_of_one_storage_are_cs(which: int, widths: list[int]) -> None:
    storage, theirs_storage = SCALARS[which]
    widths = [min(width, ctypes.sizeof(theirs_storage) * 8) for width in widths]
    ours: Any = type("Ours", (Struct,), {"__annotations__": {
        f"m{i}": field_of(storage, width) for i, width in enumerate(widths)}})
    theirs: Any = type("Theirs", (ctypes.Structure,), {
        "_fields_": [(f"m{i}", theirs_storage, width) for i, width in enumerate(widths)]})
    values = [(0xA5A5_A5A5_A5A5_A5A5 >> i) & ((1 << width) - 1) for i, width in enumerate(widths)]
    assert bytes(ours(*values)) == bytes(theirs(*values))


# (storage in bytes, width) per member, and the bytes that gcc and clang give when each member is all ones in turn.
MIXED = [
    ([(2, 1), (1, 8)], ["0100", "00ff"]),
    ([(4, 3), (1, 4), (2, 12)], ["07000000", "78000000", "0000ff0f"]),
    ([(1, 5), (4, 20), (8, 30)], ["1f00000000000000", "e0ffff0100000000", "000000feffff7f00"]),
    ([(1, 7), (1, 2), (4, 31)], ["7f00000000000000", "0003000000000000", "00000000ffffff7f"]),
]


@pytest.mark.parametrize(("members", "expected"), MIXED)
def test_bit_fields_of_mixed_storage(members: list[tuple[int, int]], expected: list[str]) -> None:
    storage = {1: u8, 2: u16, 4: u32, 8: u64}
    ours: Any = type("Ours", (Struct,), {"__annotations__": {
        f"m{i}": field_of(storage[size], width) for i, (size, width) in enumerate(members)}})
    for which, text in enumerate(expected):
        values = [(1 << width) - 1 if i == which else 0 for i, (_, width) in enumerate(members)]
        assert bytes(ours(*values)).hex() == text


class Colour(IntEnum):
    RED = 0
    BLUE = 5


class Inner(Struct):
    a: u8
    b: be32


class Outer(Struct):
    port: be16
    inner: Inner
    name: char[L[8]]
    counts: array[u16, L[3]]
    colour: Colour
    back: ptr["Outer"]
    count: Atomic[u64]
    lock: SpinLock = SpinLock()


def make() -> Outer:
    return Outer(443, Inner(1, 2), "abc", [1, 2, 3], Colour.BLUE, 0, 7)  # type: ignore[arg-type]


def test_values_come_back() -> None:
    one = make()
    assert (one.port, one.inner.b, one.name, list(one.counts), one.colour) == (443, 2, "abc", [1, 2, 3], Colour.BLUE)
    assert one.count.value == 7 and bytes(one)[:2] == b"\x01\xbb" and ctype_of(Outer).size == 56
    one.inner.a = 9
    one.counts[1] = 8
    one.colour = Colour.RED
    assert (one.inner.a, one.counts[1], one.colour) == (9, 8, Colour.RED)
    twin = one.copy()
    assert twin == one and hash(twin) == hash(one)
    twin.port = 1
    assert twin != one


def test_frozen_copies_refuse_writes() -> None:
    frozen = Outer.view(bytes(make()), 0, True)
    with pytest.raises(WrongType):
        frozen.port = 1
    with pytest.raises(WrongType):
        frozen.inner.a = 1
    with pytest.raises(WrongType):
        frozen.counts[0] = 1


@pytest.mark.parametrize("wrong", [{"port": 65536}, {"port": -1}, {"port": "x"}, {"name": "123456789"}, {"name": 3},
                                   {"counts": [1, 2]}, {"inner": 3}, {"colour": "RED"}])
def test_what_does_not_fit(wrong: dict[str, Any]) -> None:
    given_values: dict[str, Any] = {"port": 1, "inner": Inner(0, 0), "name": "", "counts": [0] * 3, "colour": 0,
                                    "back": 0, "count": 0}
    with pytest.raises(WrongType):
        Outer(**{**given_values, **wrong})


@pytest.mark.parametrize(("values", "named"), [((1,), {}), ((1, 2, 3), {}), ((1,), {"a": 2}), ((1,), {"c": 2})])
def test_wrong_constructors(values: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(WrongType):
        Inner(*values, **named)


def test_unions_and_locals() -> None:
    class Side(CUnion):
        v4: u32
        v6: array[u8, L[16]]

    side = Side()
    side.v4 = 0x01020304
    assert side.v6[0] == 4 and Side.__layout__().size == 16 and Side.__layout__().align == 4


def test_integers_truncate_as_c_does() -> None:
    for ours, theirs in SCALARS:
        for value in (-1, 0, 1, 127, 128, 255, 256, -129, 1 << 31, 1 << 63, (1 << 64) + 5):
            assert ours(value) == theirs(value).value
    assert isinstance(ctype_of(u16), Int)


def test_kernel_structs_config_and_shared() -> None:
    class task(KernelStruct, type="task_struct"):
        pid: i32
        parent: "ptr[task]"

    assert [f.offset for f in task.__layout__().fields.values()] == [0, 8] and task.__kernel_name__ == "task_struct"
    with pytest.raises(UsageError):
        task()

    class Limits(Config):
        rate: u64 = 10

    assert Limits(rate=11) != Limits() == Limits(rate=10)
    with pytest.raises(WrongType):
        Limits(rate=-1)
    with pytest.raises(WrongType):
        Limits().rate = 5  # type: ignore[misc]
    totals = shared(Inner(1, 2))
    assert repr(totals) == "shared(Inner)"
    with pytest.raises(SessionError):
        totals.a  # noqa: B018
