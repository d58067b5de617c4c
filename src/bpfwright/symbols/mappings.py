"""What a process has mapped where: /proc/PID/maps."""
from __future__ import annotations

import re
from itertools import pairwise

from bpfwright._typing import NamedTuple
from bpfwright.errors import FormatError

__all__ = ["Mapping", "read_code", "read_mappings"]

_LINE = re.compile(rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-])[ps] ([0-9a-f]{1,16}) "
                   rb"([0-9a-f]{1,8}):([0-9a-f]{1,8}) ([0-9]{1,20})(?: +(.*))?")
_DELETED = " (deleted)"


class Mapping(NamedTuple):
    """`end - start` bytes, from `offset` of the file `path` (empty: anonymous) with this inode on this device.

    `deleted`: the file is gone from its folder by now.
    """

    start: int
    end: int
    executable: bool
    offset: int
    device: tuple[int, int]
    inode: int
    path: str
    deleted: bool

    @property
    def of_file(self) -> bool:
        """It is a file's, not anonymous memory or one of the kernel's own like [vdso]."""
        return self.inode != 0


def read_mappings(text: bytes) -> list[Mapping]:
    """The lines of a maps file in the order of their addresses. Raises FormatError."""
    found = [_read(number, line) for number, line in enumerate(text.split(b"\n"), 1) if line]
    found = sorted(made for made in found if made.end > made.start)
    if any(one.end > other.start for one, other in pairwise(found)):
        raise FormatError("mappings of one process overlap")
    return found


def read_code(text: bytes) -> list[Mapping]:
    """Those of them that are executable: a few of many, which is quick. Raises FormatError."""
    return [_read(number, line) for number, line in enumerate(text.split(b"\n"), 1)
            if line[line.find(b" ") + 3:][:1] == b"x"]


def _read(number: int, line: bytes) -> Mapping:
    match = _LINE.fullmatch(line)
    if match is None:
        raise FormatError(f"line {number} is none of a process's mappings", why=repr(line[:80]))
    start, end, flags, offset, major, minor, inode, path = match.groups()
    name = (path or b"").replace(b"\\012", b"\n").decode("utf-8", "surrogateescape")
    deleted = name.endswith(_DELETED)
    name = name.removesuffix(_DELETED)
    if deleted and name == "/dev/zero":  # how the kernel calls anonymous memory that is shared
        name, inode = "", b"0"
    return Mapping(int(start, 16), int(end, 16), flags[2:3] == b"x", int(offset, 16), (int(major, 16), int(minor, 16)),
                   int(inode), name, deleted)
