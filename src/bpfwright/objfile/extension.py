"""Reads .BTF.ext: which BTF type a function has, which source line an instruction, and its CO-RE relocations."""
from __future__ import annotations

from struct import Struct

from bpfwright._typing import Iterator
from bpfwright.errors import BtfError

__all__ = ["Extension"]


class Extension:
    """The three tables of .BTF.ext as raw records: section name offset -> [record words]."""

    __slots__ = ("core", "functions", "lines")

    def __init__(self, data: bytes, big_endian: bool) -> None:
        order = ">" if big_endian else "<"
        if len(data) < 24 or data[:2] != (b"\xeb\x9f" if big_endian else b"\x9f\xeb"):
            raise BtfError("malformed .BTF.ext", why="its header is not one of BTF")
        header_len, *places = Struct(order + "5I").unpack_from(data, 4)
        if header_len >= 32 and len(data) >= 32:
            places += Struct(order + "2I").unpack_from(data, 24)
        tables = [_table(data, order, header_len + offset, length, minimum)
                  for (offset, length), minimum in zip(zip(places[::2], places[1::2]), (8, 16, 16))]
        self.functions: dict[int, list[tuple[int, ...]]] = tables[0]
        self.lines: dict[int, list[tuple[int, ...]]] = tables[1]
        self.core: dict[int, list[tuple[int, ...]]] = tables[2] if len(tables) > 2 else {}


def _table(data: bytes, order: str, start: int, length: int, minimum: int) -> dict[int, list[tuple[int, ...]]]:
    if not length:
        return {}
    end = start + length
    if end > len(data) or length < 4:
        raise BtfError("truncated .BTF.ext", offset=start)
    record_size: int = Struct(order + "I").unpack_from(data, start)[0]
    if record_size < minimum or record_size % 4:
        raise BtfError("malformed .BTF.ext", why=f"records of {record_size} bytes", offset=start)
    found: dict[int, list[tuple[int, ...]]] = {}
    for name, records in _sections(data, order, start + 4, end, record_size):
        found.setdefault(name, []).extend(records)
    return found


def _sections(data: bytes, order: str, at: int, end: int,
              record_size: int) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    head, record = Struct(order + "2I"), Struct(f"{order}{record_size // 4}I")
    while at < end:
        if at + 8 > end:
            raise BtfError("truncated .BTF.ext", offset=at)
        name, count = head.unpack_from(data, at)
        at += 8
        stop = at + count * record_size
        if stop > end:
            raise BtfError("truncated .BTF.ext", why=f"{count} records do not fit", offset=at)
        yield name, list(record.iter_unpack(data[at:stop]))
        at = stop
