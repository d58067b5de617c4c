"""With which value a function ended, where its instructions set a constant: what tells one `return` from another."""
from __future__ import annotations

from bpfwright.userspace.code import Code

__all__ = ["Endings"]

_CALLS, _FETCHES = (0x85, 0x8D), 0xC3
_MOST_STATES = 200

Registers = tuple[int | None, ...]  # r0 to r9, None where it is not one constant
_UNKNOWN: Registers = (None,) * 10
_HALF = (1 << 32) - 1


class Endings:
    """Constants in registers along the jumps that were taken: only their low 32 bits are told."""

    def __init__(self, code: Code, went: list[tuple[int, int]]) -> None:
        self.code = code
        self.after: dict[int, list[int]] = {}
        for start, end in went:
            self.after.setdefault(start, []).append(end)
        self.at: dict[int, Registers] = dict.fromkeys(code.starts, _UNKNOWN)
        waiting = list(code.starts)
        while waiting:
            slot = waiting.pop()
            left = self.behind(slot, self.at[slot])
            for end in self.after.get(slot, ()):
                if end < 0:
                    continue
                had = self.at.get(end)
                now = left if had is None else tuple(a if a == b else None for a, b in zip(had, left))
                if now != had:
                    self.at[end] = now
                    waiting.append(end)

    def behind(self, slot: int, registers: Registers) -> Registers:
        """The registers after an instruction."""
        instruction = self.code.slots[slot]
        assert instruction is not None
        opcode, kind = instruction.opcode, instruction.opcode & 7
        if opcode in _CALLS:
            return (*_UNKNOWN[:6], *registers[6:])
        if kind == 3:  # a store; of those only an atomic writes registers
            if opcode & 0xE7 != _FETCHES:
                return registers
            return _with(_with(registers, 0, None), instruction.src, None)
        if kind in (2, 5, 6):
            return registers
        value = None
        if instruction.row.op == "mov" and not instruction.offset:
            value = instruction.imm & _HALF if instruction.row.operand == "k" else (*registers, None)[instruction.src]
        if opcode & 0xE0 in (0x20, 0x40) and kind == 0:  # loads of packet bytes: into r0, and a call in disguise
            return (*_UNKNOWN[:6], *registers[6:])
        return _with(registers, instruction.dst, value)

    def of(self, start: int, end: int) -> int | None:
        """What a function returned after this jump; None when it was no one constant."""
        if start not in self.at:
            return None
        waiting = [(end, self.behind(start, self.at[start]))]
        if end < 0:
            return self.at[start][0]
        seen = set(waiting)
        found: set[int | None] = set()
        while waiting:
            slot, registers = waiting.pop()
            left = self.behind(slot, registers)
            for following in self.after.get(slot, ()):
                if following == -1:
                    found.add(left[0])
                elif following < 0 or len(seen) > _MOST_STATES:
                    return None
                elif (following, left) not in seen:
                    seen.add((following, left))
                    waiting.append((following, left))
        return found.pop() if len(found) == 1 else None


def _with(registers: Registers, number: int, value: int | None) -> Registers:
    return (*registers[:number], value, *registers[number + 1:]) if number < 10 else registers
