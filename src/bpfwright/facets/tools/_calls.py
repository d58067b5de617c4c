"""System calls seen by one program for all of them: which call it is, and its arguments.

At `sys_exit` the registers still hold what was passed, so that one program sees arguments and result, and what the
caller's memory held is read when the kernel has read it: a page that was not there before is there now. Attaching and
letting go of one raw tracepoint takes half a millisecond; of each perf tracepoint, 70.
"""
from __future__ import annotations

from bpfwright._abi.syscalls import NUMBERS
from bpfwright._host import processor
from bpfwright.helpers import current
from bpfwright.types import KernelStruct, L, array, u32, u64

__all__ = ["READS", "WRITES", "Registers", "argument", "call", "errno_of", "name_of", "native", "number", "operation"]

_ABSENT = 0xFFFF_FFFF  # a number that no call has
_COMPAT = 2  # TS_COMPAT of arch/x86/include/asm/thread_info.h

if processor() == "aarch64":
    class Registers(KernelStruct, type="pt_regs"):
        """The caller's registers."""

        orig_x0: u64
        syscallno: u32
        regs: array[u64, L[31]]

    def call(regs: Registers) -> u32:
        """The number of the system call."""
        return u32(regs.syscallno)

    def argument(regs: Registers, index: int) -> u64:
        """Argument 0 to 4 of the system call."""
        if index == 0:
            return regs.orig_x0
        return regs.regs[index]

    def native() -> bool:
        """Whether it is a call of 64 bits; those of 32 have other numbers."""
        return True
else:
    class Registers(KernelStruct, type="pt_regs"):  # type: ignore[no-redef]
        """The caller's registers."""

        orig_ax: u64
        di: u64
        si: u64
        dx: u64
        r10: u64
        r8: u64

    def call(regs: Registers) -> u32:
        """The number of the system call."""
        return u32(regs.orig_ax)  # type: ignore[attr-defined]

    def argument(regs: Registers, index: int) -> u64:
        """Argument 0 to 4 of the system call."""
        if index == 0:
            return regs.di  # type: ignore[attr-defined, no-any-return]
        if index == 1:
            return regs.si  # type: ignore[attr-defined, no-any-return]
        if index == 2:
            return regs.dx  # type: ignore[attr-defined, no-any-return]
        return regs.r10 if index == 3 else regs.r8  # type: ignore[attr-defined, no-any-return]

    def native() -> bool:
        """Whether it is a call of 64 bits; those of 32 have other numbers."""
        return current.task.thread_info.status & _COMPAT == 0


def number(name: str) -> int:
    """A system call's number on this machine; one that never comes when it has no such call."""
    return NUMBERS.get(processor(), {}).get(name, _ABSENT)


READS = tuple(number(name) for name in ("read", "pread64", "readv", "preadv", "preadv2"))
WRITES = tuple(number(name) for name in ("write", "pwrite64", "writev", "pwritev", "pwritev2"))
OPENS = tuple(number(name) for name in ("openat", "open", "openat2", "creat"))
SYNCS = tuple(number(name) for name in ("fsync", "fdatasync"))


def operation(which: u32) -> u32:
    """R, W, O or S as a letter's number: what a call does to a file; 0 for anything else."""
    if which in READS:
        return 82
    if which in WRITES:
        return 87
    if which in OPENS:
        return 79
    return 83 if which in SYNCS else 0


def name_of(number: int) -> str:
    """A system call's name by its number."""
    if not _names:
        _names.update({each: name for name, each in NUMBERS.get(processor(), {}).items()})
    return _names.get(number, f"[unknown: {number}]")


_names: dict[int, str] = {}


def errno_of(text: str) -> int:
    """ENOENT, or 2, as a number; 0 for nothing."""
    import errno

    from bpfwright.errors import UsageError
    found = int(text or 0) if text.isdigit() or not text else getattr(errno, text, None)
    if not isinstance(found, int):
        raise UsageError(f"there is no error {text!r}", cure="Write ENOENT, or 2.")
    return found
