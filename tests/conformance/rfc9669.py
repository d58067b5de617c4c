"""The instructions of RFC 9669 as a table of facts, and what each does as Python on whole numbers.

Transcribed from the RFC (Appendix A, and section 5.2 for loads that extend the sign), never from bpfwright's own table:
tests hold the two against each other. `*` stands for any value of a field. A meaning works on the names `dst`, `src`,
`r0` (unsigned, 64 bits), `imm` (signed), on memory by `load(bytes)` and `store(bytes, value)`, and sets `jump`. Where
the appendix and the text of the RFC differ the text holds: immediates of 64-bit operations are extended with their sign
(section 4.1). Rows without a meaning are about the program's surroundings; vectors by hand (by_hand.py) cover them.
"""
from __future__ import annotations

from typing import NamedTuple

__all__ = ["ADDITIONS", "ROWS", "Row", "row_of"]

ANY = -1


class Row(NamedTuple):
    """One row: what its fields must be (ANY: whatever), its conformance group, what it does."""

    opcode: int
    src: int
    offset: int
    imm: int
    group: str
    meaning: str

    @property
    def name(self) -> str:
        """Its fields, for messages."""
        fields = zip(("src", "off", "imm"), self[1:4], strict=True)
        return f"{self.opcode:#04x}" + "".join(f" {name}={value:#x}" for name, value in fields if value > 0)


_TABLE = """
0x00  0    0       *     base64
0x04  0    0       *     base32    dst = u32(dst + imm)
0x05  0    *       0x00  base32
0x06  0    0       *     base32
0x07  0    0       *     base64    dst = u64(dst + imm)
0x0c  *    0       0x00  base32    dst = u32(dst + src)
0x0f  *    0       0x00  base64    dst = u64(dst + src)
0x14  0    0       *     base32    dst = u32(dst - imm)
0x15  0    *       *     base64    jump = bool(u64(dst) == u64(imm))
0x16  0    *       *     base32    jump = bool(u32(dst) == u32(imm))
0x17  0    0       *     base64    dst = u64(dst - imm)
0x18  0    0       *     base64
0x18  1    0       *     base64
0x18  2    0       *     base64
0x18  3    0       *     base64
0x18  4    0       *     base64
0x18  5    0       *     base64
0x18  6    0       *     base64
0x1c  *    0       0x00  base32    dst = u32(dst - src)
0x1d  *    *       0x00  base64    jump = bool(u64(dst) == u64(src))
0x1e  *    *       0x00  base32    jump = bool(u32(dst) == u32(src))
0x1f  *    0       0x00  base64    dst = u64(dst - src)
0x20  0    0       *     packet
0x24  0    0       *     divmul32  dst = u32(dst * imm)
0x25  0    *       *     base64    jump = bool(u64(dst) > u64(imm))
0x26  0    *       *     base32    jump = bool(u32(dst) > u32(imm))
0x27  0    0       *     divmul64  dst = u64(dst * imm)
0x28  0    0       *     packet
0x2c  *    0       0x00  divmul32  dst = u32(dst * src)
0x2d  *    *       0x00  base64    jump = bool(u64(dst) > u64(src))
0x2e  *    *       0x00  base32    jump = bool(u32(dst) > u32(src))
0x2f  *    0       0x00  divmul64  dst = u64(dst * src)
0x30  0    0       *     packet
0x34  0    0       *     divmul32  dst = u32(dst) // u32(imm) if u32(imm) else 0
0x34  0    1       *     divmul32  dst = u32(quotient(s32(dst), s32(imm))) if u32(imm) else 0
0x35  0    *       *     base64    jump = bool(u64(dst) >= u64(imm))
0x36  0    *       *     base32    jump = bool(u32(dst) >= u32(imm))
0x37  0    0       *     divmul64  dst = u64(dst) // u64(imm) if u64(imm) else 0
0x37  0    1       *     divmul64  dst = u64(quotient(s64(dst), s64(imm))) if u64(imm) else 0
0x3c  *    0       0x00  divmul32  dst = u32(dst) // u32(src) if u32(src) else 0
0x3c  *    1       0x00  divmul32  dst = u32(quotient(s32(dst), s32(src))) if u32(src) else 0
0x3d  *    *       0x00  base64    jump = bool(u64(dst) >= u64(src))
0x3e  *    *       0x00  base32    jump = bool(u32(dst) >= u32(src))
0x3f  *    0       0x00  divmul64  dst = u64(dst) // u64(src) if u64(src) else 0
0x3f  *    1       0x00  divmul64  dst = u64(quotient(s64(dst), s64(src))) if u64(src) else 0
0x40  *    0       *     packet
0x44  0    0       *     base32    dst = u32(dst | imm)
0x45  0    *       *     base64    jump = bool(u64(dst) & u64(imm))
0x46  0    *       *     base32    jump = bool(u32(dst) & u32(imm))
0x47  0    0       *     base64    dst = u64(dst | imm)
0x48  *    0       *     packet
0x4c  *    0       0x00  base32    dst = u32(dst | src)
0x4d  *    *       0x00  base64    jump = bool(u64(dst) & u64(src))
0x4e  *    *       0x00  base32    jump = bool(u32(dst) & u32(src))
0x4f  *    0       0x00  base64    dst = u64(dst | src)
0x50  *    0       *     packet
0x54  0    0       *     base32    dst = u32(dst & imm)
0x55  0    *       *     base64    jump = bool(u64(dst) != u64(imm))
0x56  0    *       *     base32    jump = bool(u32(dst) != u32(imm))
0x57  0    0       *     base64    dst = u64(dst & imm)
0x5c  *    0       0x00  base32    dst = u32(dst & src)
0x5d  *    *       0x00  base64    jump = bool(u64(dst) != u64(src))
0x5e  *    *       0x00  base32    jump = bool(u32(dst) != u32(src))
0x5f  *    0       0x00  base64    dst = u64(dst & src)
0x61  *    *       0x00  base32    dst = load(4)
0x62  0    *       *     base32    store(4, imm)
0x63  *    *       0x00  base32    store(4, src)
0x64  0    0       *     base32    dst = u32(dst << (imm & 31))
0x65  0    *       *     base64    jump = bool(s64(dst) > s64(imm))
0x66  0    *       *     base32    jump = bool(s32(dst) > s32(imm))
0x67  0    0       *     base64    dst = u64(dst << (imm & 63))
0x69  *    *       0x00  base32    dst = load(2)
0x6a  0    *       *     base32    store(2, imm)
0x6b  *    *       0x00  base32    store(2, src)
0x6c  *    0       0x00  base32    dst = u32(dst << (src & 31))
0x6d  *    *       0x00  base64    jump = bool(s64(dst) > s64(src))
0x6e  *    *       0x00  base32    jump = bool(s32(dst) > s32(src))
0x6f  *    0       0x00  base64    dst = u64(dst << (src & 63))
0x71  *    *       0x00  base32    dst = load(1)
0x72  0    *       *     base32    store(1, imm)
0x73  *    *       0x00  base32    store(1, src)
0x74  0    0       *     base32    dst = u32(dst) >> (imm & 31)
0x75  0    *       *     base64    jump = bool(s64(dst) >= s64(imm))
0x76  0    *       *     base32    jump = bool(s32(dst) >= s32(imm))
0x77  0    0       *     base64    dst = u64(dst) >> (imm & 63)
0x79  *    *       0x00  base64    dst = load(8)
0x7a  0    *       *     base64    store(8, imm)
0x7b  *    *       0x00  base64    store(8, src)
0x7c  *    0       0x00  base32    dst = u32(dst) >> (src & 31)
0x7d  *    *       0x00  base64    jump = bool(s64(dst) >= s64(src))
0x7e  *    *       0x00  base32    jump = bool(s32(dst) >= s32(src))
0x7f  *    0       0x00  base64    dst = u64(dst) >> (src & 63)
0x81  *    *       0x00  base64    dst = u64(s32(load(4)))
0x84  0    0       0x00  base32    dst = u32(-dst)
0x85  0    0       *     base32
0x85  1    0       *     base32
0x85  2    0       *     base32
0x87  0    0       0x00  base64    dst = u64(-dst)
0x89  *    *       0x00  base64    dst = u64(s16(load(2)))
0x91  *    *       0x00  base64    dst = u64(s8(load(1)))
0x94  0    0       *     divmul32  dst = u32(dst) % u32(imm) if u32(imm) else u32(dst)
0x94  0    1       *     divmul32  dst = u32(remainder(s32(dst), s32(imm))) if u32(imm) else u32(dst)
0x95  0    0       0x00  base32
0x97  0    0       *     divmul64  dst = u64(dst) % u64(imm) if u64(imm) else u64(dst)
0x97  0    1       *     divmul64  dst = u64(remainder(s64(dst), s64(imm))) if u64(imm) else u64(dst)
0x9c  *    0       0x00  divmul32  dst = u32(dst) % u32(src) if u32(src) else u32(dst)
0x9c  *    1       0x00  divmul32  dst = u32(remainder(s32(dst), s32(src))) if u32(src) else u32(dst)
0x9f  *    0       0x00  divmul64  dst = u64(dst) % u64(src) if u64(src) else u64(dst)
0x9f  *    1       0x00  divmul64  dst = u64(remainder(s64(dst), s64(src))) if u64(src) else u64(dst)
0xa4  0    0       *     base32    dst = u32(dst ^ imm)
0xa5  0    *       *     base64    jump = bool(u64(dst) < u64(imm))
0xa6  0    *       *     base32    jump = bool(u32(dst) < u32(imm))
0xa7  0    0       *     base64    dst = u64(dst ^ imm)
0xac  *    0       0x00  base32    dst = u32(dst ^ src)
0xad  *    *       0x00  base64    jump = bool(u64(dst) < u64(src))
0xae  *    *       0x00  base32    jump = bool(u32(dst) < u32(src))
0xaf  *    0       0x00  base64    dst = u64(dst ^ src)
0xb4  0    0       *     base32    dst = u32(imm)
0xb5  0    *       *     base64    jump = bool(u64(dst) <= u64(imm))
0xb6  0    *       *     base32    jump = bool(u32(dst) <= u32(imm))
0xb7  0    0       *     base64    dst = u64(imm)
0xbc  *    0       0x00  base32    dst = u32(src)
0xbc  *    8       0x00  base32    dst = u32(s8(src))
0xbc  *    16      0x00  base32    dst = u32(s16(src))
0xbd  *    *       0x00  base64    jump = bool(u64(dst) <= u64(src))
0xbe  *    *       0x00  base32    jump = bool(u32(dst) <= u32(src))
0xbf  *    0       0x00  base64    dst = u64(src)
0xbf  *    8       0x00  base64    dst = u64(s8(src))
0xbf  *    16      0x00  base64    dst = u64(s16(src))
0xbf  *    32      0x00  base64    dst = u64(s32(src))
0xc3  *    *       0x00  atomic32  store(4, load(4) + src)
0xc3  *    *       0x01  atomic32  old = load(4); store(4, old + src); src = old
0xc3  *    *       0x40  atomic32  store(4, load(4) | src)
0xc3  *    *       0x41  atomic32  old = load(4); store(4, old | src); src = old
0xc3  *    *       0x50  atomic32  store(4, load(4) & src)
0xc3  *    *       0x51  atomic32  old = load(4); store(4, old & src); src = old
0xc3  *    *       0xa0  atomic32  store(4, load(4) ^ src)
0xc3  *    *       0xa1  atomic32  old = load(4); store(4, old ^ src); src = old
0xc3  *    *       0xe1  atomic32  old = load(4); store(4, src); src = old
0xc3  *    *       0xf1  atomic32  old = load(4); store(4, src if old == u32(r0) else old); r0 = old
0xc4  0    0       *     base32    dst = u32(s32(dst) >> (imm & 31))
0xc5  0    *       *     base64    jump = bool(s64(dst) < s64(imm))
0xc6  0    *       *     base32    jump = bool(s32(dst) < s32(imm))
0xc7  0    0       *     base64    dst = u64(s64(dst) >> (imm & 63))
0xcc  *    0       0x00  base32    dst = u32(s32(dst) >> (src & 31))
0xcd  *    *       0x00  base64    jump = bool(s64(dst) < s64(src))
0xce  *    *       0x00  base32    jump = bool(s32(dst) < s32(src))
0xcf  *    0       0x00  base64    dst = u64(s64(dst) >> (src & 63))
0xd4  0    0       0x10  base32    dst = u16(dst)
0xd4  0    0       0x20  base32    dst = u32(dst)
0xd4  0    0       0x40  base64    dst = u64(dst)
0xd5  0    *       *     base64    jump = bool(s64(dst) <= s64(imm))
0xd6  0    *       *     base32    jump = bool(s32(dst) <= s32(imm))
0xd7  0    0       0x10  base32    dst = reversed_bytes(dst, 16)
0xd7  0    0       0x20  base32    dst = reversed_bytes(dst, 32)
0xd7  0    0       0x40  base64    dst = reversed_bytes(dst, 64)
0xdb  *    *       0x00  atomic64  store(8, load(8) + src)
0xdb  *    *       0x01  atomic64  old = load(8); store(8, old + src); src = old
0xdb  *    *       0x40  atomic64  store(8, load(8) | src)
0xdb  *    *       0x41  atomic64  old = load(8); store(8, old | src); src = old
0xdb  *    *       0x50  atomic64  store(8, load(8) & src)
0xdb  *    *       0x51  atomic64  old = load(8); store(8, old & src); src = old
0xdb  *    *       0xa0  atomic64  store(8, load(8) ^ src)
0xdb  *    *       0xa1  atomic64  old = load(8); store(8, old ^ src); src = old
0xdb  *    *       0xe1  atomic64  old = load(8); store(8, src); src = old
0xdb  *    *       0xf1  atomic64  old = load(8); store(8, src if old == u64(r0) else old); r0 = old
0xdc  0    0       0x10  base32    dst = reversed_bytes(dst, 16)
0xdc  0    0       0x20  base32    dst = reversed_bytes(dst, 32)
0xdc  0    0       0x40  base64    dst = reversed_bytes(dst, 64)
0xdd  *    *       0x00  base64    jump = bool(s64(dst) <= s64(src))
0xde  *    *       0x00  base32    jump = bool(s32(dst) <= s32(src))
"""

# What Linux has besides: (opcode, offset or ANY, immediate or ANY).
ADDITIONS = {
    "load_acquire": ((0xC3, ANY, 0x100), (0xCB, ANY, 0x100), (0xD3, ANY, 0x100), (0xDB, ANY, 0x100)),
    "store_release": ((0xC3, ANY, 0x110), (0xCB, ANY, 0x110), (0xD3, ANY, 0x110), (0xDB, ANY, 0x110)),
    "callx": ((0x8D, 0, 0),), "may_goto": ((0xE5, ANY, 0),), "gotox": ((0x0D, 0, 0),),
}


def _field(text: str) -> int:
    return ANY if text == "*" else int(text, 0)


def _row(line: str) -> Row:
    opcode, src, offset, imm, group, *meaning = line.split(maxsplit=5)
    return Row(int(opcode, 0), _field(src), _field(offset), _field(imm), group, "".join(meaning))


ROWS = tuple(map(_row, _TABLE.strip().splitlines()))


def row_of(opcode: int, src: int, offset: int, imm: int) -> Row | None:
    """The row that an instruction with these fields belongs to."""
    for row in ROWS:
        given = zip((src, offset, imm), row[1:4], strict=True)
        if row.opcode == opcode and all(wanted in (ANY, value) for value, wanted in given):
            return row
    return None
