"""Instructions: bytes and back, text, and the one table behind both."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import FormatError
from bpfwright.formats.isa import ATOMICS, OPCODES, Instruction, decode, disassemble, encode, text, wide_immediate

registers = st.integers(0, 10)
immediates = st.integers(-(1 << 31), (1 << 31) - 1)
offsets = st.integers(-(1 << 15), (1 << 15) - 1)
instructions = st.builds(Instruction, st.sampled_from(sorted(OPCODES)), registers, registers, offsets, immediates,
                         immediates).map(lambda one: one if one.opcode == 0x18 else one._replace(high=0))


@given(st.lists(instructions, max_size=20), st.booleans())
def test_bytes_and_back(code: list[Instruction], big_endian: bool) -> None:
    data = encode(code, big_endian)
    assert len(data) == 8 * sum(one.slots for one in code)
    assert [one for _, one in decode(data, big_endian)] == code


@given(st.binary(max_size=200))
def test_no_bytes_break_the_disassembler(data: bytes) -> None:
    try:
        assert all(isinstance(line, str) and line for _, line in disassemble(data))
    except FormatError:
        pass


@pytest.mark.parametrize(("instruction", "line"), [
    (Instruction(0xB7, 0, imm=2), "r0 = 2"),
    (Instruction(0xB4, 1, imm=-1), "w1 = -1"),
    (Instruction(0x0F, 1, 2), "r1 += r2"),
    (Instruction(0xC7, 3, imm=4), "r3 s>>= 4"),
    (Instruction(0x87, 3), "r3 = -r3"),
    (Instruction(0x3F, 1, 2, 1), "r1 s/= r2"),
    (Instruction(0x97, 1, 0, 1, 3), "r1 s%= 3"),
    (Instruction(0xBF, 1, 2, 8), "r1 = (s8)r2"),
    (Instruction(0xDC, 1, imm=16), "r1 = be16 r1"),
    (Instruction(0xD7, 1, imm=64), "r1 = bswap64 r1"),
    (Instruction(0x61, 2, 1, 4), "r2 = *(u32 *)(r1 + 4)"),
    (Instruction(0x81, 2, 1, -4), "r2 = *(s32 *)(r1 - 4)"),
    (Instruction(0x7B, 10, 1, -8), "*(u64 *)(r10 - 8) = r1"),
    (Instruction(0x72, 10, 0, -1, 9), "*(u8 *)(r10 - 1) = 9"),
    (Instruction(0x25, 1, 0, 5, 2), "if r1 > 2 goto +5"),
    (Instruction(0xDE, 1, 2, -3), "if w1 s<= w2 goto -3"),
    (Instruction(0x05, offset=3), "goto +3"),
    (Instruction(0x06, imm=70000), "gotol +70000"),
    (Instruction(0xE5, offset=2), "may_goto +2"),
    (Instruction(0x85, imm=1), "call bpf_map_lookup_elem#1"),
    (Instruction(0x85, src=1, imm=7), "call pc+7"),
    (Instruction(0x95), "exit"),
    (Instruction(0x18, 1, imm=1, high=2), "r1 = 0x200000001 ll"),
    (Instruction(0x18, 1, 1, imm=4), "r1 = map[fd:4]"),
    (Instruction(0xDB, 1, 2, 8, 0), "lock *(u64 *)(r1 + 8) += r2"),
    (Instruction(0xC3, 1, 2, 8, 0xF1), "w0 = cmpxchg_32(r1 + 8, w0, w2)"),
    (Instruction(0x20, imm=12), "r0 = *(u32 *)skb[12]"),
    (Instruction(0xFF), ".insn 0xff dst=0 src=0 off=0 imm=0"),
])
def test_text(instruction: Instruction, line: str) -> None:
    assert text(instruction) == line


def test_the_table_is_one_row_an_opcode() -> None:
    assert all(code == row.code for code, row in OPCODES.items())
    assert len(OPCODES) > 110
    assert {name for name, _ in ATOMICS.values()} >= {"add", "fetch_add", "xchg", "cmpxchg", "load_acquire"}


def test_meanings_hidden_in_other_fields() -> None:
    assert Instruction(0x3F, 1, 2, 1).meaning == "sdiv"
    assert Instruction(0xBF, 1, 2, 32).meaning == "movsx"
    assert Instruction(0xDB, 1, 2, 0, 0xE1).meaning == "atomic_xchg"
    with pytest.raises(FormatError, match="unknown atomic"):
        _ = Instruction(0xDB, imm=0x1234).meaning


def test_wide_immediates() -> None:
    low, high = wide_immediate(0xFFFFFFFF00000001)
    assert Instruction(0x18, imm=low, high=high).wide == 0xFFFFFFFF00000001


@pytest.mark.parametrize("data", [b"\x95", b"\x18" + bytes(7), b"\x18" + bytes(7) + b"\x95" + bytes(7)])
def test_torn_code(data: bytes) -> None:
    with pytest.raises(FormatError):
        list(decode(data))
