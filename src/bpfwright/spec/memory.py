"""The userspace machine's memory, as its maps and helpers see it: 32-bit addresses of one arena, in the dialect.

A store or helper is a function of the dialect over these: compiled natively for the JIT, run as Python by the
interpreter, on the same bytes. In Python they work on the arena that `bind` named last; in native code on the module's
own (the word `arena`, which the machine fills in).
"""
from __future__ import annotations

from struct import Struct

from bpfwright._typing import Any, Callable
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import BOOLEAN, NOTHING, Integer, Meaning

__all__ = ["bind", "copy", "differ", "fill", "load8", "load16", "load32", "load64", "release", "store8", "store16",
           "store32", "store64"]

_memory: Any = bytearray()


def bind(memory: Any) -> None:
    """Let the functions below work on `memory` (bytes that `struct` reads and writes)."""
    global _memory
    _memory = memory


def release(memory: Any) -> None:
    """Forget `memory`, if that is what they work on."""
    if _memory is memory:
        bind(bytearray())


def _read_as(letter: str) -> Callable[[int], int]:
    unpack = Struct(letter).unpack_from

    def load(address: int) -> int:
        value: int = unpack(_memory, address)[0]
        return value

    return load


def _written_as(letter: str, width: int) -> Callable[[int, int], None]:
    pack, mask = Struct(letter).pack_into, (1 << width) - 1

    def store(address: int, value: int) -> None:
        pack(_memory, address, value & mask)

    return store


load8, load16, load32, load64 = _read_as("<B"), _read_as("<H"), _read_as("<I"), _read_as("<Q")
store8, store16, store32, store64 = (_written_as("<B", 8), _written_as("<H", 16), _written_as("<I", 32),
                                     _written_as("<Q", 64))


def copy(to: int, source: int, size: int) -> None:
    """`size` bytes, which do not overlap."""
    _memory[to:to + size] = _memory[source:source + size]


def fill(to: int, byte: int, size: int) -> None:
    """`size` times the same byte."""
    _memory[to:to + size] = bytes((byte & 0xFF,)) * size


def differ(a: int, b: int, size: int) -> bool:
    """Whether two places of `size` bytes hold different ones."""
    return bool(_memory[a:a + size] != _memory[b:b + size])


def _place(b: Any, site: Any, name: str) -> int:
    place: int = b.op("index", "ptr", b.op("arena", "ptr"), b.numeric(site.value(name))[0], 1)
    return place


def _load(width: int) -> Operation:
    meaning, type = Integer(0, (1 << width) - 1), f"i{width}"

    def check(site: Any) -> Meaning:
        site.bind("address")
        site.integer("address")
        return meaning

    def lower(b: Any, site: Any) -> Value:
        return Value(meaning, b.extend(b.load(type, _place(b, site, "address"), 0, 1), type))

    return Operation(check, lower)


def _store(width: int) -> Operation:
    def check(site: Any) -> Meaning:
        site.bind("address", "value")
        site.integer("address")
        site.integer("value")
        return NOTHING

    def lower(b: Any, site: Any) -> Value:
        value = b.truncate(b.numeric(site.value("value"))[0], f"i{width}")
        b.store(_place(b, site, "address"), value, 0, 1)
        return Value(NOTHING)

    return Operation(check, lower)


def _check_three(*names: str) -> Callable[[Any], Meaning]:
    def check(site: Any) -> Meaning:
        site.bind(*names)
        for name in names:
            site.integer(name)
        return NOTHING

    return check


def _lower_copy(b: Any, site: Any) -> Value:
    size = b.numeric(site.value("size"))[0]
    b.effect("move", _place(b, site, "to"), _place(b, site, "source"), size)
    return Value(NOTHING)


def _lower_fill(b: Any, site: Any) -> Value:
    byte = b.truncate(b.numeric(site.value("byte"))[0], "i8")
    b.effect("wipe", _place(b, site, "to"), byte, b.numeric(site.value("size"))[0])
    return Value(NOTHING)


def _check_differ(site: Any) -> Meaning:
    _check_three("a", "b", "size")(site)
    return BOOLEAN


def _lower_differ(b: Any, site: Any) -> Value:
    size = b.numeric(site.value("size"))[0]
    return Value(BOOLEAN, b.op("differ", "i1", _place(b, site, "a"), _place(b, site, "b"), size))


def _declare() -> None:
    operations: list[tuple[Any, Operation]] = [
        (load8, _load(8)), (load16, _load(16)), (load32, _load(32)), (load64, _load(64)), (store8, _store(8)),
        (store16, _store(16)), (store32, _store(32)), (store64, _store(64)),
        (copy, Operation(_check_three("to", "source", "size"), _lower_copy)),
        (fill, Operation(_check_three("to", "byte", "size"), _lower_fill)),
        (differ, Operation(_check_differ, _lower_differ))]
    for function, operation in operations:
        function.__operation__ = operation


_declare()
