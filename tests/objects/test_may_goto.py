"""The stand-in for may_goto is replaced whichever way it branches, and nothing else is."""
from __future__ import annotations

import struct

import pytest

from bpfwright.errors import RelocationError
from bpfwright.objfile.may_goto import MAGIC, R11, rewrite_may_goto


def slot(opcode: int, target: int = 0, source: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, source << 4 | target, offset, imm)


MAY_GOTO, JA, EXIT = 0xE5, 0x05, slot(0x95)
ADD = slot(0x07, 6, imm=1)


def test_the_end_of_the_budget_jumps() -> None:
    code = ADD + slot(0x15, R11, offset=3, imm=MAGIC) + ADD + EXIT
    assert rewrite_may_goto(code) == ADD + slot(MAY_GOTO, offset=3) + ADD + EXIT


def test_the_end_of_the_budget_goes_on() -> None:
    """0 jumps to 4, behind the function: 4 asks, 5 goes where the branch went, 6 goes on behind it."""
    code = slot(0x55, R11, offset=1, imm=MAGIC) + ADD + EXIT + EXIT
    behind = slot(MAY_GOTO, offset=1) + slot(JA, offset=2 - 6) + slot(JA, offset=1 - 7)
    assert rewrite_may_goto(code) == slot(JA, offset=3) + ADD + EXIT + EXIT + behind


def test_two_that_go_on() -> None:
    turned = slot(0x55, R11, offset=-1, imm=MAGIC)
    found = rewrite_may_goto(turned + turned + EXIT)
    assert [struct.unpack_from("<h", found, 8 * i + 2)[0] for i in range(9)] == [2, 4, 0, 1, -5, -5, 1, -7, -7]


@pytest.mark.parametrize("code", [slot(0xBF, R11), slot(0x15, R11, offset=1), slot(0x16, R11, imm=MAGIC),
                                  slot(0xBF, 2, R11)])
def test_anything_else_is_refused(code: bytes) -> None:
    with pytest.raises(RelocationError, match="is no branch"):
        rewrite_may_goto(code + EXIT)


def test_other_code_stays() -> None:
    code = slot(0x15, 6, offset=1, imm=MAGIC) + slot(0x18, 1, imm=R11 << 8) + bytes(8) + EXIT
    assert rewrite_may_goto(code) is code
