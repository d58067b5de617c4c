"""The stand-in for may_goto is replaced wherever the compiler put its branch, and nothing else is."""
from __future__ import annotations

import struct

import pytest

from bpfwright.errors import RelocationError
from bpfwright.objfile.may_goto import MAGIC, rewrite_may_goto


def slot(opcode: int, target: int = 0, source: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, source << 4 | target, offset, imm)


CALL, MAY_GOTO, NOTHING = slot(0x85, imm=MAGIC), 0xE5, slot(0x05)
RELOAD = slot(0x79, 8, 10, -16)     # r8 = *(u64 *)(r10 - 16)
SPILL = slot(0x7B, 10, 7, -24)      # *(u64 *)(r10 - 24) = r7
ADD = slot(0x07, 6, imm=1)
EXIT = slot(0x95)


@pytest.mark.parametrize("between", [b"", RELOAD, SPILL, ADD + RELOAD + SPILL])
@pytest.mark.parametrize("branch", [(0x15, 0), (0x16, 0), (0xA5, 1), (0xA6, 1)])
def test_the_end_of_the_budget_jumps(between: bytes, branch: tuple[int, int]) -> None:
    code = CALL + between + slot(branch[0], offset=5, imm=branch[1]) + EXIT
    assert rewrite_may_goto(code) == NOTHING + between + slot(MAY_GOTO, offset=5) + EXIT


@pytest.mark.parametrize("between", [b"", RELOAD, SPILL, ADD + RELOAD + SPILL])
@pytest.mark.parametrize("branch", [(0x55, 0), (0x56, 0), (0x25, 0), (0x35, 1)])
def test_the_end_of_the_budget_falls_through(between: bytes, branch: tuple[int, int]) -> None:
    code = CALL + between + slot(branch[0], offset=5, imm=branch[1]) + EXIT
    assert rewrite_may_goto(code) == between + slot(MAY_GOTO, offset=1) + slot(0x05, offset=5) + EXIT


@pytest.mark.parametrize("between", [
    slot(0x7B, 10, 0, -24),         # the result itself is stored
    slot(0x0F, 6, 0),               # the result is added
    slot(0x25, 6, 0, 3, 9),         # another branch
    slot(0x85, imm=5),              # another call
    slot(0xDB, 10, 6, -8, 0),       # an atomic on the stack
])
def test_anything_else_is_refused(between: bytes) -> None:
    with pytest.raises(RelocationError, match="no branch follows"):
        rewrite_may_goto(CALL + between + slot(0x15, offset=5) + EXIT)


def test_a_test_behind_another_branch_asks_for_itself() -> None:
    """`call; if r6 == 0 goto out; r8 = *(r7); if r0 == 0 goto end; ...`: the budget is asked at the test."""
    other = slot(0x15, 6, offset=3)
    load, out = slot(0x79, 8, 7, 0), slot(0xB7, 0) + EXIT
    code = CALL + other + load + slot(0x15, offset=1) + ADD + out
    assert rewrite_may_goto(code) == slot(0xB7, imm=1) + other + load + slot(MAY_GOTO, offset=1) + ADD + out


def test_a_test_that_another_value_meets_is_refused() -> None:
    """A jump from elsewhere to the test brings another r0 than the call's."""
    tests = slot(0x15, 6, offset=1) + slot(0x15, offset=1)
    code = slot(0xB7, 0, imm=1) + slot(0x15, 9, offset=2) + CALL + tests + ADD + slot(0xB7, 0) + EXIT
    with pytest.raises(RelocationError, match="no branch follows"):
        rewrite_may_goto(code)


def test_other_calls_stay() -> None:
    code = slot(0x85, imm=5) + slot(0x15, offset=5) + EXIT
    assert rewrite_may_goto(code) is code
