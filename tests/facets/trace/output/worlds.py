"""Stand-ins for the kernel's maps, and shorthands for values in bytes."""
from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

from bpfwright.facets.trace.output.printer import Printer
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.plan import Map, Message, Plan
from bpfwright.facets.trace.types import Integer, Type, offsets

I8, I16, I32, I64 = (Integer(size, True) for size in (1, 2, 4, 8))
U8, U16, U32, U64 = (Integer(size, False) for size in (1, 2, 4, 8))


class Kept:
    """A map in memory, with the methods of the kernel's."""

    def __init__(self, items: dict[bytes, bytes]) -> None:
        self.kept = dict(items)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(list(self.kept.items()))

    def lookup(self, key: bytes, flags: int = 0) -> bytes | None:
        return self.kept.get(key)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        self.kept[key] = value

    def delete(self, key: bytes) -> bool:
        return self.kept.pop(key, None) is not None


def words(*values: int) -> bytes:
    """64-bit numbers."""
    return b"".join(struct.pack("=Q", value & (1 << 64) - 1) for value in values)


def packed(types: tuple[Type, ...], values: tuple[Any, ...], base: int = 0) -> bytes:
    """Values at their natural places: numbers as numbers, everything else as bytes that are filled up with NULs."""
    data = bytearray(base)
    for type, at, value in zip(types, offsets(types), values, strict=True):
        data.extend(bytes(base + at - len(data)))
        data += value.ljust(type.size, b"\0") if isinstance(value, bytes) else (
            value & (1 << 8 * type.size) - 1).to_bytes(type.size, "little")
    return bytes(data)


def record(index: int, types: tuple[Type, ...] = (), *values: Any) -> bytes:
    """A message's record."""
    return struct.pack("=II", index, 0) + packed(types, values)


class Seen:
    """A printer and what it wrote."""

    def __init__(self, *messages: Message, maps: dict[str, tuple[Map, Kept]] | None = None, world: World | None = None,
                 **options: Any) -> None:
        self.out, self.errors = io.BytesIO(), io.BytesIO()
        maps = maps or {}
        plan = Plan((), tuple(map for map, _ in maps.values()), messages)
        self.printer = Printer(plan, world or World(), {name: kept for name, (_, kept) in maps.items()}, self.out,
                               self.errors, **options)

    def send(self, index: int, types: tuple[Type, ...] = (), *values: Any) -> None:
        self.printer.handle(index, record(index, types, *values))

    @property
    def text(self) -> str:
        self.printer.flush()
        return self.out.getvalue().decode("utf-8", "surrogateescape")

    @property
    def complaints(self) -> str:
        return self.errors.getvalue().decode("utf-8", "surrogateescape")
