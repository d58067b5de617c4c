"""struct pt_regs as BPF programs see it: byte offsets by architecture (arch/*/include/uapi/asm/ptrace.h)."""
from __future__ import annotations

from bpfwright._host import processor
from bpfwright._typing import NamedTuple
from bpfwright.errors import NotSupported

__all__ = ["Registers", "of_this_machine"]


class Registers(NamedTuple):
    """Offsets in bytes: arguments of a function call, of a system call, the returned value, the instruction pointer."""

    arguments: tuple[int, ...]
    syscall_arguments: tuple[int, ...]
    result: int
    pointer: int


_TABLE = {
    "x86_64": Registers((112, 104, 96, 88, 72, 64), (112, 104, 96, 56, 72, 64), 80, 128),
    "aarch64": Registers((0, 8, 16, 24, 32, 40, 48, 56), (0, 8, 16, 24, 32, 40), 0, 256),
}


def of_this_machine(machine: str = "") -> Registers:
    """The table of an architecture (this machine's by default). NotSupported for others."""
    name = machine or processor()
    found = _TABLE.get(name)
    if found is None:
        raise NotSupported(f"the registers of {name} are not known here", why=f"known are {', '.join(_TABLE)}")
    return found
