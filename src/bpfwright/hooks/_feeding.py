"""Test runs of tracing programs: what the userspace machine is fed, and the kernel has no test run for."""
from __future__ import annotations

from bpfwright._typing import Any, Mapping
from bpfwright.errors import NotSupported, UsageError, WrongType

__all__ = ["raw", "registers", "takes_anything", "words"]

_WORD = (1 << 64) - 1
_REGISTERS = 336  # bytes of struct pt_regs: 168 on x86-64, 272 and some more on arm64


def takes_anything(loaded: Any, what: str, instead: str) -> None:
    """Raise NotSupported when the machine runs such programs on real events only."""
    if not hasattr(loaded, "place"):
        raise NotSupported(f"the kernel does not run {what} on what is made up", cure=f"{instead}, or test in "
                                                                                      "Userspace().")


def raw(given: Any, what: str, cure: str) -> bytes:
    """Bytes as they are; WrongType for anything else."""
    if not isinstance(given, (bytes, bytearray, memoryview)):
        raise WrongType(f"{given!r} is not {what}", cure=cure)
    return bytes(given)


def words(loaded: Any, program: Any, given: Any) -> bytes:
    """Arguments as 64-bit words: bytes as they are, a sequence in the kernel's order, or a dict by the names of the
    program's parameters. Numbers are themselves; objects are placed in the machine's memory."""
    if isinstance(given, (bytes, bytearray)):
        return bytes(given)
    values = _by_name(program, given) if isinstance(given, Mapping) else list(given)
    return b"".join((loaded.place(value) & _WORD).to_bytes(8, "little") for value in values)


def _by_name(program: Any, given: Mapping[str, Any]) -> list[Any]:
    names = program.parameter_names[1:]
    known = [name for name, _ in program.facts] if program.facts else list(names)
    found: dict[int, Any] = {}
    for name, value in given.items():
        if name in known:
            found[known.index(name)] = value
        elif name == "ret":
            found[len(known)] = value
        elif name in names:
            found[names.index(name)] = value
        else:
            raise UsageError(f"{program.name} has no parameter {name!r}", cure=f"It takes: {', '.join(names)}.")
    return [found.get(index, 0) for index in range(max(found, default=-1) + 1)]


def registers(loaded: Any, program: Any, given: Any, *, at_exit: bool) -> bytes:
    """struct pt_regs with a function's arguments, or what it returned, by the C calling convention."""
    if isinstance(given, (bytes, bytearray)):
        return bytes(given).ljust(_REGISTERS, b"\0")
    from bpfwright.hooks import _registers
    table = _registers.of_this_machine()
    values = [given] if at_exit and not isinstance(given, (Mapping, list, tuple)) else given
    raw = words(loaded, program, values)
    memory = bytearray(_REGISTERS)
    offsets = (table.result,) if at_exit else table.arguments
    if len(raw) // 8 > len(offsets):
        raise UsageError(f"{len(raw) // 8} arguments: only {len(offsets)} are in registers here")
    for offset, at in zip(offsets, range(0, len(raw), 8)):
        memory[offset:offset + 8] = raw[at:at + 8]
    return bytes(memory)
