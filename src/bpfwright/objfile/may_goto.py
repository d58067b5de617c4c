"""Puts `may_goto` in place of the compiler's stand-in, a call that no kernel has: LLVM cannot be asked for it.

`call MAGIC; if r0 == 0 goto N` becomes `ja +0; may_goto N`; with `!=`, `may_goto +1; ja N`.
"""
from __future__ import annotations

from struct import Struct

from bpfwright.errors import RelocationError
from bpfwright.objfile._lazy_tests import tests_of

__all__ = ["MAGIC", "rewrite_may_goto"]

MAGIC = 0x7FFFFFF0
_CALL, _JA, _MAY_GOTO = 0x85, 0x05, 0xE5
# `if r0 == 0` and `if r0 != 0`, on 64 and 32 bits, against the immediate; `< 1`, `> 0` and `>= 1` ask the same.
_IF_ZERO, _IF_NOT_ZERO = {(0x15, 0), (0x16, 0), (0xA5, 1), (0xA6, 1)}, {(0x55, 0), (0x56, 0), (0x25, 0), (0x26, 0),
                                                                        (0x35, 1), (0x36, 1)}
_ARITHMETIC = (0x04, 0x07)  # instruction classes that neither jump nor touch memory
_LOAD, _STORE, _STORE_NUMBER, _MEMORY, _STACK = 0x01, 0x03, 0x02, 0x60, 10
_FROM_REGISTER = 0x08
_SET = 0xB7
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
    try:
        at, copies = _branch_after(out, index, slot)
    except RelocationError:
        tests = tests_of(out, index, slot, frozenset(_IF_ZERO))
        if not tests:
            raise
        slot.pack_into(out, 8 * index, _SET, 0, 0, 1)  # copies of it stay, and nobody asks them any more
        for test in tests:
            slot.pack_into(out, 8 * test, _MAY_GOTO, 0, slot.unpack_from(out, 8 * test)[2], 0)
        return
    for copy in copies:
        slot.pack_into(out, 8 * copy, _JA, 0, 0, 0)
    opcode, _, offset, imm = slot.unpack_from(out, 8 * at)
    if (opcode, imm) in _IF_ZERO:
        slot.pack_into(out, 8 * index, _JA, 0, 0, 0)
        slot.pack_into(out, 8 * at, _MAY_GOTO, 0, offset, 0)
    else:
        out[8 * index:8 * at - 8] = out[8 * index + 8:8 * at]
        slot.pack_into(out, 8 * at - 8, _MAY_GOTO, 0, 1, 0)
        slot.pack_into(out, 8 * at, _JA, 0, offset, 0)


def _branch_after(out: bytearray, index: int, slot: Struct) -> tuple[int, list[int]]:
    """The branch on the call's result, and copies of that result, which vanish with it. Moves between registers and the
    stack may stand before it, which both ways need."""
    holders = {0}
    copies: list[int] = []
    at = index + 1
    while 8 * at < len(out):
        opcode, registers, _, imm = slot.unpack_from(out, 8 * at)
        target, source = registers & 15, registers >> 4
        if (opcode, imm) in _IF_ZERO | _IF_NOT_ZERO and target in holders:
            return at, copies
        if opcode == _MOVE and source in holders:
            holders.add(target)
            copies.append(at)
        elif _reads(opcode, target, source) & holders or not _plain(opcode, target, source):
            raise RelocationError("a may_goto that no branch follows",
                                  why=f"instruction {at} has opcode {opcode:#04x}",
                                  cure="This is an error of the compiler: please report it with the program.")
        elif opcode & 7 not in (_STORE, _STORE_NUMBER):
            holders.discard(target)
        at += 1
    raise RelocationError("a may_goto without its branch")


def _plain(opcode: int, target: int, source: int) -> bool:
    """Arithmetic, or a move to or from the function's own stack: right before the branch as well as behind it."""
    kind = opcode & 7
    if kind in _ARITHMETIC:
        return True
    base = source if kind == _LOAD else target
    return kind in (_LOAD, _STORE, _STORE_NUMBER) and opcode & 0xE0 == _MEMORY and base == _STACK


def _reads(opcode: int, target: int, source: int) -> set[int]:
    """The registers whose value an instruction needs."""
    kind = opcode & 7
    if kind in (_LOAD, _STORE, _STORE_NUMBER):
        return {source} if kind == _STORE else set()
    found = {target} if opcode not in _MOVES else set()
    return found | {source} if opcode & _FROM_REGISTER else found
