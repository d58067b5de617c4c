"""Profiles as pprof reads them: profile.proto of github.com/google/pprof, in protobuf's wire format, gzipped."""
from __future__ import annotations

import gzip

from bpfwright._typing import Sequence
from bpfwright.facets.profile.model import Frame, Profile

__all__ = ["write"]


def _varint(number: int) -> bytes:
    made = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _number(field: int, value: int) -> bytes:
    """Zero is the default, which is not written."""
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _packed(field: int, values: Sequence[int]) -> bytes:
    return _bytes(field, b"".join(map(_varint, values)))


class _Tables:
    """Texts, mappings, functions and locations, each once, by numbers that count from one (texts from zero)."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {"": 0}
        self.mappings: dict[str, int] = {}
        self.locations: dict[Frame, int] = {}

    def text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def location(self, frame: Frame) -> int:
        if frame.module and frame.kind != "process":
            self.mappings.setdefault(frame.module, len(self.mappings) + 1)
        return self.locations.setdefault(frame, len(self.locations) + 1)

    def written(self) -> bytes:
        made = [_bytes(3, _number(1, number) + _number(5, self.text(module)) + _number(7, 1))
                for module, number in self.mappings.items()]
        for frame, number in self.locations.items():
            name = self.text(frame.name)
            line = _number(1, number) + _number(2, frame.line)
            mapping = self.mappings.get(frame.module, 0)
            made.append(_bytes(4, _number(1, number) + _number(2, mapping) + _bytes(4, line)))
            made.append(_bytes(5, _number(1, number) + _number(2, name) + _number(3, name)
                               + _number(4, self.text(frame.file)) + _number(5, frame.line)))
        return b"".join(made) + b"".join(_bytes(6, text.encode("utf-8", "replace")) for text in self.texts)


def write(profile: Profile, format: str = "pprof") -> bytes:
    """The message Profile. Weights are nanoseconds of waiting, or numbers of samples and the time they stand for."""
    tables = _Tables()
    period = round(1e9 / profile.hz) if profile.hz else 0
    waiting = profile.unit == "ns"

    def kind(name: str, unit: str) -> bytes:
        return _number(1, tables.text(name)) + _number(2, tables.text(unit))

    kinds = [kind("off-cpu", "nanoseconds")] if waiting else [kind("samples", "count"), kind("cpu", "nanoseconds")]
    made = [_bytes(1, one) for one in kinds]
    for stack, weight in profile:
        values = [weight] if waiting else [weight, weight * period]
        process = next((frame.name for frame in stack if frame.kind == "process"), "")
        label = _bytes(3, _number(1, tables.text("process")) + _number(2, tables.text(process))) if process else b""
        made.append(_bytes(2, _packed(1, [tables.location(frame) for frame in reversed(stack)])
                           + _packed(2, values) + label))
    made.append(_number(10, round(profile.duration_s * 1e9)))
    if not waiting:
        made += [_bytes(11, kind("cpu", "nanoseconds")), _number(12, period)]
    return gzip.compress(b"".join(made) + tables.written(), mtime=0)
