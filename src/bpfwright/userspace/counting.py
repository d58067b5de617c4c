"""How often each instruction of a program ran, and each branch was taken: what coverage is made from.

Native code counts straight runs and branches, and every instruction's count follows from those; the interpreter counts
each by itself.
"""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import Iterator
from bpfwright.userspace.arena import Arena
from bpfwright.userspace.code import Code

__all__ = ["Counts", "is_branch", "leaders"]

_EXIT, _JA, _JA32, _CALL, _TAIL_CALL = 0x95, 0x05, 0x06, 0x85, 12


class Counts:
    """One program's counters, in the machine's memory: two words a slot, entered and taken.

    `entered` counts a straight run at its first slot (native code), `ran` single instructions (interpreter).
    """

    __slots__ = ("_arena", "_code", "_leaders", "address", "ran", "taken")

    def __init__(self, arena: Arena, code: Code) -> None:
        self._arena = arena
        self._code = code
        self._leaders = leaders(code)
        self.address = arena.borrow(16 * len(code.slots))
        self.ran = [0] * len(code.slots)
        self.taken = [0] * len(code.slots)

    def executed(self) -> list[int]:
        """How often each slot ran, by both engines together."""
        found = list(self.ran)
        words = self._words()
        current = 0
        for slot, instruction in enumerate(self._code.slots):
            if slot in self._leaders:
                current = words[2 * slot]
            if instruction is None:
                continue
            found[slot] += current
        return found

    def branches(self) -> Iterator[tuple[int, int, int]]:
        """(slot, times taken, times not) of each conditional branch."""
        words, executed = self._words(), self.executed()
        for slot, instruction in enumerate(self._code.slots):
            if instruction is not None and is_branch(instruction.opcode):
                taken = words[2 * slot + 1] + self.taken[slot]
                yield slot, taken, executed[slot] - taken

    def _words(self) -> tuple[int, ...]:
        return unpack_from(f"<{2 * len(self._code.slots)}Q", self._arena.memory, self.address)

    def close(self) -> None:
        """Give their memory back."""
        self._arena.memory[self.address:self.address + 16 * len(self._code.slots)] = bytes(16 * len(self._code.slots))
        self._arena.release(self.address)

    def stopped(self, kind: str, slot: int) -> None:
        """Native code faulted there: what follows in the same straight run was counted, and did not run."""
        if kind == "depth":
            return  # before anything was counted
        for behind in range(slot + (kind != "budget"), len(self.ran)):
            if behind in self._leaders and behind != slot:
                break
            self.ran[behind] -= 1


def is_branch(opcode: int) -> bool:
    """Whether an opcode is a jump with a condition."""
    return opcode & 7 in (5, 6) and opcode not in (_EXIT, _JA, _JA32, _CALL, 0x8D, 0x0D)


def leaders(code: Code) -> set[int]:
    """Where straight runs begin: at functions, at targets of jumps, and behind whatever does not simply go on."""
    found = set(code.starts)
    for slot, instruction in enumerate(code.slots):
        if instruction is None:
            continue
        opcode = instruction.opcode
        if opcode == _CALL and not instruction.src and instruction.imm == _TAIL_CALL:
            found.add(slot + 1)  # what follows runs only if there was no program to go to
        if opcode & 7 in (5, 6) and opcode not in (_CALL, 0x8D):
            found.add(slot + 1)
            if opcode not in (_EXIT, 0x0D):
                found.add(code.target(slot))
    return found
