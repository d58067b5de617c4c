"""Puts `may_goto` in place of the compiler's stand-in, a branch on a register that no program has: LLVM cannot be asked
for it. `if r11 == MAGIC goto N` becomes `may_goto N`."""
from __future__ import annotations

from struct import Struct

from bpfwright.errors import RelocationError

__all__ = ["MAGIC", "rewrite_may_goto"]

MAGIC, R11 = 0x7FFFFFF0, 11
_JA, _IF_EQUAL, _IF_OTHER, _MAY_GOTO = 0x05, 0x15, 0x55, 0xE5
_SLOT = Struct("<BBhi")


def rewrite_may_goto(insns: bytes) -> bytes:
    """The instructions of a little-endian object with every stand-in replaced."""
    if not {R11, *range(R11 << 4, R11 + 1 << 4)} & {*insns[1::8]}:
        return insns
    out = bytearray(insns)
    for index in range(len(insns) // 8):
        opcode, registers, offset, imm = _SLOT.unpack_from(insns, 8 * index)
        if (registers, imm, opcode) == (R11, MAGIC, _IF_EQUAL):
            _SLOT.pack_into(out, 8 * index, _MAY_GOTO, 0, offset, 0)
        elif (registers, imm, opcode) == (R11, MAGIC, _IF_OTHER):
            _turn(out, index, offset)
        elif R11 in (registers & 15, registers >> 4):
            raise RelocationError("a may_goto that is no branch", why=f"instruction {index} has opcode {opcode:#04x}",
                                  cure="This is an error of the compiler: please report it with the program.")
    return bytes(out)


def _turn(out: bytearray, index: int, offset: int) -> None:
    """`if r11 != MAGIC goto N`: at its end it goes on. There is room for both ways behind the function."""
    end = len(out) // 8
    _SLOT.pack_into(out, 8 * index, _JA, 0, end - index - 1, 0)
    out += _SLOT.pack(_MAY_GOTO, 0, 1, 0) + _SLOT.pack(_JA, 0, index + offset - end - 1, 0)
    out += _SLOT.pack(_JA, 0, index - end - 2, 0)
