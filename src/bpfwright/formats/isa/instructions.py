"""Instructions as bytes and as values: 8-byte slots of opcode, registers, offset and immediate."""
from __future__ import annotations

from struct import Struct

from bpfwright._typing import Iterable, Iterator, NamedTuple
from bpfwright.errors import FormatError
from bpfwright.formats.isa.opcodes import ATOMICS, OPCODES, Opcode

__all__ = ["Instruction", "decode", "encode", "wide_immediate"]

LITTLE, BIG = Struct("<BBhi"), Struct(">BBhi")
LDIMM64 = 0x18


class Instruction(NamedTuple):
    """One instruction; a 64-bit immediate load (`ldimm64`) is one of two slots.

    `imm` is the signed 32-bit field; for `ldimm64` `imm` and `high` are the two halves as they stand there.
    """

    opcode: int
    dst: int = 0
    src: int = 0
    offset: int = 0
    imm: int = 0
    high: int = 0

    @property
    def slots(self) -> int:
        """How many 8-byte slots it takes."""
        return 2 if self.opcode == LDIMM64 else 1

    @property
    def row(self) -> Opcode:
        """Its row in the table; FormatError for an unknown opcode."""
        row = OPCODES.get(self.opcode)
        if row is None:
            raise FormatError(f"unknown opcode {self.opcode:#04x}")
        return row

    @property
    def meaning(self) -> str:
        """The operation with what hides in other fields: `sdiv`, `smod`, `movsx`, and for atomics `atomic_NAME`."""
        op = self.row.op
        if op in ("div", "mod") and self.offset:
            if self.offset != 1:
                raise FormatError(f"unknown division {self.offset}")
            return "s" + op
        if op == "mov" and self.offset:
            if self.row.operand == "k" or self.offset not in (8, 16, 32) or self.offset >= self.row.width:
                raise FormatError(f"unknown extension of a sign, {self.offset}")
            return "movsx"
        if op == "atomic":
            if self.imm not in ATOMICS:
                raise FormatError(f"unknown atomic operation {self.imm:#x}")
            return "atomic_" + ATOMICS[self.imm][0]
        return op

    @property
    def wide(self) -> int:
        """The unsigned 64-bit immediate of `ldimm64`."""
        return self.imm & 0xFFFFFFFF | (self.high & 0xFFFFFFFF) << 32


def decode(code: bytes, big_endian: bool = False) -> Iterator[tuple[int, Instruction]]:
    """The instructions with their slot numbers; FormatError for a torn slot or half a wide load."""
    if len(code) % 8:
        raise FormatError("instructions are not a whole number of slots", why=f"{len(code)} bytes")
    slots = (BIG if big_endian else LITTLE).iter_unpack(code)
    index = 0
    for opcode, registers, offset, imm in slots:
        dst, src = (registers >> 4, registers & 15) if big_endian else (registers & 15, registers >> 4)
        if opcode == LDIMM64:
            second = next(slots, None)
            if second is None or second[0]:
                raise FormatError("a 64-bit load without its second slot", offset=8 * index)
            yield index, Instruction(opcode, dst, src, offset, imm, second[3])
            index += 2
        else:
            yield index, Instruction(opcode, dst, src, offset, imm)
            index += 1


def encode(instructions: Iterable[Instruction], big_endian: bool = False) -> bytes:
    """The bytes of instructions."""
    packer = BIG if big_endian else LITTLE
    out = bytearray()
    for opcode, dst, src, offset, imm, high in instructions:
        registers = dst << 4 | src if big_endian else src << 4 | dst
        out += packer.pack(opcode, registers, offset, _signed(imm))
        if opcode == LDIMM64:
            out += packer.pack(0, 0, 0, _signed(high))
    return bytes(out)


def wide_immediate(value: int) -> tuple[int, int]:
    """A 64-bit number as the two signed halves that `ldimm64` holds."""
    return _signed(value & 0xFFFFFFFF), _signed(value >> 32 & 0xFFFFFFFF)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
