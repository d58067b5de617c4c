"""Operations on files of ext4, seen at their system calls: what began, and what it was."""
from __future__ import annotations

from bpfwright.facets.tools._calls import Registers, argument
from bpfwright.facets.tools._files import file_of
from bpfwright.types import i64, u32, u64
from bpfwright.vmlinux import file

__all__ = ["NAMES", "file_behind", "is_ext4"]

MAGIC, OPEN = 0xEF53, 79
NAMES = {82: "read", 87: "write", 79: "open", 83: "fsync"}


def file_behind(regs: Registers, what: u32, ret: i64) -> file:
    """The file that an operation worked on: the one that was opened, or that of the descriptor."""
    return file_of(u64(ret) if what == OPEN else argument(regs, 0))


def is_ext4(of: file) -> bool:
    """Whether it is a regular file of ext4."""
    return of.f_inode.i_sb.s_magic == MAGIC and u32(of.f_inode.i_mode) >> 12 == 8
