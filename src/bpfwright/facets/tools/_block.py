"""Block requests: their disk, direction and size; and the names of disks."""
from __future__ import annotations

import os

from bpfwright.types import u32
from bpfwright.helpers import exists
from bpfwright.vmlinux import request

__all__ = ["device", "disk", "flags_of", "is_write", "number_of", "operation"]

_MASK, _WRITE = 0xFF, 1
_OPERATIONS = {0: "Read", 1: "Write", 2: "Flush", 3: "Discard", 5: "SecureErase", 9: "WriteZero"}
_FLAGS = ((11, "Sync"), (18, "ReadAhead"), (17, "ForcedUnitAccess"), (12, "Metadata"),
          (14, "Priority"), (21, "Background"))


def device(rq: request) -> u32:
    """The disk's number as the kernel holds it: 12 bits major, 20 minor."""
    disk = rq.q.disk if exists(rq.q.disk) else rq.rq_disk
    return (u32(disk.major) << 20) | u32(disk.first_minor)


def is_write(rq: request) -> bool:
    """Whether data goes to the disk."""
    return rq.cmd_flags & 1 != 0


def disk(number: int) -> str:
    """The name of a disk by its number."""
    if number not in _names:
        path = f"/sys/dev/block/{number >> 20}:{number & 0xFFFFF}"
        _names[number] = os.path.basename(os.path.realpath(path)) if os.path.exists(path) else "-"
    return _names[number]


_names: dict[int, str] = {0: "-"}


def operation(flags: int) -> str:
    """R, W, D or F, as of block events."""
    return {0: "R", 1: "W", 2: "F", 3: "D"}.get(flags & _MASK, "W" if flags & _WRITE else "R")


def flags_of(flags: int) -> str:
    """A request's flags in words."""
    words = [word for bit, word in _FLAGS if flags >> bit & 1]
    return "-".join([*words, _OPERATIONS.get(flags & _MASK, f"Op{flags & _MASK}")])


def number_of(name: str) -> int:
    """A disk's number by its name; 0 for none asked for."""
    if not name:
        return 0
    from bpfwright.errors import TargetError
    try:
        with open(f"/sys/class/block/{os.path.basename(name)}/dev") as file:
            major, minor = map(int, file.read().split(":"))
    except (OSError, ValueError):
        raise TargetError(f"there is no disk {name!r}", cure="`ls /sys/class/block` lists them.") from None
    return major << 20 | minor
