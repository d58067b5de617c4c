"""Files of a million networks: plain lines of IPv4 addresses and networks read in columns, others left to be read one
by one."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.datapath.parsed import V4_MAPPED
from bpfwright.facets.firewall.elements import Networks

if TYPE_CHECKING:
    import numpy

__all__ = ["plain_networks"]

_NEWLINE, _DOT, _SLASH, _ZERO = b"\n./0"


def plain_networks(content: bytes) -> tuple[Networks, list[tuple[int, str]]]:
    """The networks of lines like `192.0.2.0/24` and `192.0.2.7`, as they stand, and all lines that are anything else
    and not empty, with their numbers."""
    import numpy as np
    lines = content.replace(b"\r\n", b"\n") + b"\n"
    data = np.frombuffer(lines, np.uint8)
    digit = (data >= _ZERO) & (data < _ZERO + 10)
    marks = np.flatnonzero((data == _NEWLINE) | (data == _DOT) | (data == _SLASH))
    kind = data[marks]
    last = np.flatnonzero(kind == _NEWLINE)  # of each line, its last mark
    first = np.append(0, last[:-1] + 1)
    ends = marks[last]
    starts = np.append(0, ends[:-1] + 1)
    value, fits = _numbers(data, digit, marks)
    count = last - first + 1
    plain = (count == 4) | (count == 5)
    at = np.where(plain, first, 0)
    plain &= _all_of(fits, first, last)
    for number in range(3):
        plain &= kind[at + min(number, len(kind) - 1)] == _DOT if len(kind) > number else False
    plain &= (count == 4) | (kind[np.minimum(at + 3, len(kind) - 1)] == _SLASH)
    at = at[plain]
    parts = [value[at + number] for number in range(4)]
    length = np.where(count[plain] == 5, value[np.minimum(at + 4, len(value) - 1)], 32)
    address = (parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | parts[3]).astype(np.uint64)
    host = (np.uint64(1) << (32 - np.minimum(length, 32)).astype(np.uint64)) - np.uint64(1)
    good = (length <= 32) & (address & host == 0) & (np.maximum.reduce(parts) < 256 if len(at) else True)
    plain[np.flatnonzero(plain)[~good]] = False
    address, length = address[good], length[good]
    rest = np.flatnonzero(~plain & (ends > starts))
    found = Networks(np.zeros(len(address), np.uint64), address | np.uint64(V4_MAPPED), (length + 96).astype(np.uint8))
    return found, _others(lines, rest, starts, ends)


def _numbers(data: numpy.ndarray, digit: numpy.ndarray, marks: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The number before each mark, and whether it is one of one to three digits, without zeros before it."""
    import numpy as np
    begin = np.append(0, marks[:-1] + 1)
    size = marks - begin
    fits = (size >= 1) & (size <= 3)
    value = np.zeros(len(marks), np.int64)
    for place, factor in enumerate((1, 10, 100)):
        has = fits & (size > place)
        where = marks[has] - 1 - place
        value[has] += (data[where].astype(np.int64) - _ZERO) * factor
        fits[has] &= digit[where]
    fits &= (size == 1) | (data[np.minimum(begin, len(data) - 1)] != _ZERO)
    return value, fits


def _all_of(flags: numpy.ndarray, first: numpy.ndarray, last: numpy.ndarray) -> numpy.ndarray:
    """Of each run of flags from first to last, whether all are set."""
    import numpy as np
    missing = np.append(0, np.cumsum(~flags))
    found: numpy.ndarray = missing[last + 1] == missing[first]
    return found


def _others(lines: bytes, rest: numpy.ndarray, starts: numpy.ndarray, ends: numpy.ndarray) -> list[tuple[int, str]]:
    found = []
    for number, start, end in zip((rest + 1).tolist(), starts[rest].tolist(), ends[rest].tolist(), strict=True):
        word = lines[start:end].decode(errors="surrogateescape").partition("#")[0].strip()
        if word:
            found.append((number, word))
    return found
