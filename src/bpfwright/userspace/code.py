"""A linked program as both engines take it: instructions by slot, where functions begin, the lines they come from."""
from __future__ import annotations

from bisect import bisect_right

from bpfwright._typing import Mapping, NamedTuple
from bpfwright.errors import FormatError
from bpfwright.formats.isa.instructions import Instruction, decode
from bpfwright.spec.objects import LineInfo

__all__ = ["FUNCTIONS", "Code", "KFUNC", "code_of", "means_nothing"]

FUNCTIONS = 1 << 32
"""Where the addresses of functions begin: above all memory, so that none is taken for data. One a slot."""
KFUNC = 2
_CALL, _JA, _JA32, _EXIT, _MAY_GOTO, _CALLX = 0x85, 0x05, 0x06, 0x95, 0xE5, 0x8D


class Code(NamedTuple):
    """`slots[i]` is None in the second half of a wide load. `starts` are the first slots of functions, ascending."""

    slots: tuple[Instruction | None, ...]
    starts: tuple[int, ...]
    lines: tuple[LineInfo, ...] = ()

    def line_at(self, slot: int) -> LineInfo | None:
        """The source line of an instruction."""
        at = bisect_right([line.index for line in self.lines], slot)
        return self.lines[at - 1] if at else None

    def target(self, slot: int) -> int:
        """Where a jump, conditional or not, or a local call goes; FormatError when that is no instruction."""
        instruction = self.slots[slot]
        assert instruction is not None
        far = instruction.opcode in (_JA32, _CALL)
        to = slot + 1 + (instruction.imm if far else instruction.offset)
        if not 0 <= to < len(self.slots) or self.slots[to] is None:
            raise FormatError(f"instruction {slot} goes to {to}, where none is")
        return to


def means_nothing(instruction: Instruction) -> bool:
    """Whether it writes r10, the frame's address, which nothing may, or has a field that names no operation: it faults
    when it is run. Linux takes programs where no path comes by it."""
    if instruction.dst == 10 and instruction.opcode & 7 in (0, 1, 4, 7):
        return True
    try:
        return not instruction.meaning
    except FormatError:
        return True


def code_of(insns: bytes, starts: Mapping[str, int] | None = None, lines: tuple[LineInfo, ...] = ()) -> Code:
    """Decode and check: every opcode known, every jump inside, every path ended. Raises FormatError."""
    slots: list[Instruction | None] = [None] * (len(insns) // 8)
    for index, instruction in decode(insns):
        slots[index] = instruction
        instruction.row  # noqa: B018  # raises for what the table does not know
        if max(instruction.dst, instruction.src if instruction.opcode not in (_CALL, 0x18) else 0) > 10:
            raise FormatError(f"instruction {index} names a register that does not exist")
    if not slots:
        raise FormatError("a program without instructions")
    begins = {0, *(starts or {}).values()}
    code = Code(tuple(slots), (), lines)
    for index, each in enumerate(slots):
        if each is None:
            continue
        kind = each.opcode & 7
        if each.opcode == _CALL:
            if each.src == 1:
                begins.add(code.target(index))
        elif each.opcode == 0x18 and each.src == 4:
            to = index + 1 + each.imm
            if not 0 <= to < len(slots) or slots[to] is None:
                raise FormatError(f"instruction {index} names a function at {to}, where none is")
            begins.add(to)
        elif kind in (5, 6) and each.opcode not in (_EXIT, _CALLX):
            code.target(index)
    last = max(index for index, each in enumerate(slots) if each is not None)
    final = slots[last]
    assert final is not None
    if final.opcode not in (_EXIT, _JA, _JA32):
        raise FormatError("the program's last instruction neither ends it nor jumps back")
    return Code(tuple(slots), tuple(sorted(begins)), lines)
