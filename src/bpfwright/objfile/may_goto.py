"""Puts `may_goto` in place of the compiler's stand-in, a call that no kernel has: LLVM cannot be asked for it.

`call MAGIC; if r0 == 0 goto N` becomes `ja +0; may_goto N`; with `!=`, `may_goto +1; ja N`.
"""
from __future__ import annotations

from struct import Struct

from bpfwright.errors import RelocationError

__all__ = ["MAGIC", "rewrite_may_goto"]

MAGIC = 0x7FFFFFF0
_CALL, _JA, _MAY_GOTO = 0x85, 0x05, 0xE5
# `if r0 == 0` and `if r0 != 0`, on 64 and 32 bits, against the immediate 0.
_IF_ZERO, _IF_NOT_ZERO = (0x15, 0x16), (0x55, 0x56)


def rewrite_may_goto(insns: bytes, big_endian: bool = False) -> bytes:
    """The instructions with every stand-in replaced; RelocationError when the compiler did something else with one."""
    if MAGIC.to_bytes(4, "big" if big_endian else "little") not in insns:
        return insns
    slot = Struct(">BBhi" if big_endian else "<BBhi")
    out = bytearray(insns)
    index, end = 0, len(insns) // 8
    while index < end:
        opcode, registers, _, imm = slot.unpack_from(out, 8 * index)
        if opcode == _CALL and imm == MAGIC and not registers:
            _replace(out, index, slot)
        index += 2 if opcode == 0x18 else 1
    return bytes(out)


def _replace(out: bytearray, index: int, slot: Struct) -> None:
    if 8 * index + 16 > len(out):
        raise RelocationError("a may_goto without its branch")
    opcode, registers, offset, imm = slot.unpack_from(out, 8 * index + 8)
    if opcode in _IF_ZERO and not registers and not imm:
        slot.pack_into(out, 8 * index, _JA, 0, 0, 0)
        slot.pack_into(out, 8 * index + 8, _MAY_GOTO, 0, offset, 0)
    elif opcode in _IF_NOT_ZERO and not registers and not imm:
        slot.pack_into(out, 8 * index, _MAY_GOTO, 0, 1, 0)
        slot.pack_into(out, 8 * index + 8, _JA, 0, offset, 0)
    else:
        raise RelocationError("a may_goto that no branch follows",
                              why=f"instruction {index + 1} has opcode {opcode:#04x}",
                              cure="This is an error of the compiler: please report it with the program.")
