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
_ARITHMETIC = (0x04, 0x07)  # instruction classes that neither jump nor touch memory
_FROM_REGISTER = 0x08
_MOVE, _MOVES = 0xBF, (0xB4, 0xB7, 0xBC, 0xBF)


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
    at = _branch_after(out, index, slot)
    opcode, _, offset, _ = slot.unpack_from(out, 8 * at)
    if opcode in _IF_ZERO:
        slot.pack_into(out, 8 * index, _JA, 0, 0, 0)
        slot.pack_into(out, 8 * at, _MAY_GOTO, 0, offset, 0)
    else:
        out[8 * index:8 * at - 8] = out[8 * index + 8:8 * at]
        slot.pack_into(out, 8 * at - 8, _MAY_GOTO, 0, 1, 0)
        slot.pack_into(out, 8 * at, _JA, 0, offset, 0)


def _branch_after(out: bytearray, index: int, slot: Struct) -> int:
    """The branch on the call's result. Register moves may stand between: copies that both ways need, and copies of the
    result itself, which vanish with it."""
    holders = {0}
    at = index + 1
    while 8 * at < len(out):
        opcode, registers, _, imm = slot.unpack_from(out, 8 * at)
        target, source = registers & 15, registers >> 4
        if opcode in _IF_ZERO + _IF_NOT_ZERO and target in holders and not imm:
            return at
        reads = {target} if opcode not in _MOVES else set()
        reads |= {source} if opcode & _FROM_REGISTER else set()
        if opcode == _MOVE and source in holders:
            holders.add(target)
            slot.pack_into(out, 8 * at, _JA, 0, 0, 0)
        elif opcode & 7 not in _ARITHMETIC or reads & holders:
            raise RelocationError("a may_goto that no branch follows",
                                  why=f"instruction {at} has opcode {opcode:#04x}",
                                  cure="This is an error of the compiler: please report it with the program.")
        else:
            holders.discard(target)
        at += 1
    raise RelocationError("a may_goto without its branch")
