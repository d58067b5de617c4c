"""Which of r0 to r5 are still read behind an instruction: only those may be saved, since others may hold nothing."""
from __future__ import annotations

from bpfwright._typing import Callable
from bpfwright.formats.isa import Instruction, decode
from bpfwright.spec.objects import Function

__all__ = ["Liveness"]

_CALL, _EXIT = 0x85, 0x95
_ARGUMENTS = 0b111110  # r1 to r5, as bits
_FREE = 0b111111  # what a call leaves undefined, and r0


class Liveness:
    """Of the functions of a program; `following` says where an instruction may go on."""

    def __init__(self, functions: dict[str, Function],
                 following: Callable[[int, Instruction], tuple[int, ...]]) -> None:
        self._functions = functions
        self._following = following
        self._behind: dict[str, dict[int, int]] = {}
        self._at_start: dict[str, int] = {}

    def behind(self, name: str, at: int) -> int:
        """Registers, as bits, that are read behind the instruction."""
        if name not in self._behind:
            self._find(name)
        return self._behind[name].get(at, 0)

    def arguments(self, name: str) -> int:
        """The arguments that a function reads."""
        if name not in self._behind:
            self._at_start[name] = _ARGUMENTS  # while it is looked at: a function that calls itself
            self._find(name)
        return self._at_start[name]

    def _find(self, name: str) -> None:
        function = self._functions[name]
        code = dict(decode(function.insns))
        names = {r.index: (r.kind, r.name) for r in function.relocations}
        effects = {at: self._effect(i, names.get(at, ("", ""))) for at, i in code.items()}
        ahead = {at: [to for to in self._following(at, i) if to in code] for at, i in code.items()}
        before: dict[int, int] = dict.fromkeys(code, 0)
        behind: dict[int, int] = {}
        changed = True
        while changed:
            changed = False
            for at in reversed(code):
                live = 0
                for to in ahead[at]:
                    live |= before[to]
                behind[at] = live
                read, written = effects[at]
                live = live & ~written | read
                if live != before[at]:
                    before[at] = live
                    changed = True
        self._behind[name] = behind
        self._at_start[name] = before.get(0, 0) & _ARGUMENTS

    def _effect(self, i: Instruction, refers: tuple[str, str]) -> tuple[int, int]:
        """Registers that are read, and written."""
        op, dst, src = i.row.op, 1 << i.dst, 1 << i.src
        if op == "call":
            return self._called(i, refers), _FREE
        if op == "callx":
            return _ARGUMENTS | dst, _FREE
        if op == "exit":
            return 1, 0
        if op in ("ldabs", "ldind"):
            return 1 << 6 | (src if op == "ldind" else 0), _FREE
        if op in ("ldx", "ldxs"):
            return src, dst
        if op in ("st", "stx"):
            return dst | (src if op == "stx" else 0), 0
        if op == "atomic":
            if i.meaning == "atomic_load_acquire":
                return src, dst
            return dst | src | (1 if i.meaning == "atomic_cmpxchg" else 0), 0
        if op == "ldimm64":
            return 0, dst
        source = src if i.row.operand == "x" else 0
        if i.opcode & 7 in (5, 6):
            return (0, 0) if op in ("ja", "may_goto") else (dst | source, 0)
        return source | (0 if op == "mov" else dst), dst

    def _called(self, i: Instruction, refers: tuple[str, str]) -> int:
        if refers[0] == "call":
            return self.arguments(refers[1])
        if refers[0] == "kfunc":
            return (1 << _takes(refers[1]) + 1) - 2
        from bpfwright.userspace.verifier.helpers import PROTOTYPES
        row = PROTOTYPES.get(i.imm)
        return (1 << len(row.arguments) + 1) - 2 if row is not None else _ARGUMENTS


def _takes(kernel_function: str) -> int:
    """How many arguments a kernel function has."""
    from bpfwright.recording.helpers import WORLD_FUNCTIONS
    from bpfwright.userspace.kernel_functions import NUMBERS
    from bpfwright.userspace.stores import kernel_function_body
    if kernel_function in NUMBERS:
        return int(kernel_function_body(kernel_function).__code__.co_argcount)
    return WORLD_FUNCTIONS.get(kernel_function, 5)
