"""Vectors for every row of the RFC that has a meaning: edge values through each form of the instruction.

One program a row: it walks over records of inputs and leaves what each form gave behind them, so that hundreds of cases
cost one load. Memory, registers and the way that a jump took are compared whole with the oracle's.
"""
from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, product
from struct import pack
from typing import NamedTuple

from tests.conformance.oracle import apply
from tests.conformance.rfc9669 import ANY, ROWS, Row

__all__ = ["EdgeVector", "edge_vectors", "slot"]

WORDS = (0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 65, 0x7F, 0x80, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
         0x1_0000_0000, 0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_FFFF_FFFE,
         0xFFFF_FFFF_FFFF_FFFF, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210)
FEW = (0, 1, 0x80, 0x8000, 0x8000_0000, 0x8000_0000_0000_0000, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF,
       0x0123_4567_89AB_CDEF)
NUMBERS = (0, 1, -1, 31, 32, 63, 64, -128, 0xFFFF, 0x7FFF_FFFF, -0x8000_0000)
FREE = (0, 1, 2, 3, 4, 5, 8)
TAKEN = 9          # the register that says which way a jump went
RECORD, RESULT = 32, 32
REACHES = (0, 8, -8, 32_000, -32_000)
_SHIFTS, _DIVISIONS = (0x60, 0x70, 0xC0), (0x30, 0x90)


def slot(opcode: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    """One instruction's bytes."""
    return pack("<BBhi", opcode, src << 4 | dst, offset, imm)


class Form(NamedTuple):
    """One spelling of a row's instruction. Of accesses `at` is the place in the cell, `reach` the offset field."""

    dst: int
    src: int
    offset: int = 0
    imm: int = 0
    backward: bool = False
    at: int = 0
    reach: int = 0


class EdgeVector(NamedTuple):
    """A program that takes `before` at r1 and turns it into `after`; it gives 0."""

    row: Row
    insns: bytes
    before: bytes
    after: bytes
    cases: int


def edge_vectors(*, for_kernel: bool = False) -> Iterator[EdgeVector]:
    """One a row. `for_kernel` leaves out forms that Linux refuses by their immediate: see `refused_by_linux`."""
    for position, row in enumerate(ROWS):
        if row.meaning:
            forms = [form for form in _forms(row, position) if not (for_kernel and refused_by_linux(row, form.imm))]
            yield _vector(row, forms)


def refused_by_linux(row: Row, imm: int) -> bool:
    """Linux takes no shift by an immediate beyond the width, and no division by an immediate zero."""
    if row.opcode & 7 not in (4, 7) or row.opcode & 8 or row.imm != ANY:
        return False
    operation = row.opcode & 0xF0
    width = 32 if row.opcode & 7 == 4 else 64
    return (operation in _SHIFTS and not 0 <= imm < width) or (operation in _DIVISIONS and imm == 0)


def _is_access(row: Row) -> bool:
    return row.opcode & 7 in (1, 2, 3)


def _is_jump(row: Row) -> bool:
    return row.meaning.startswith("jump")


def _forms(row: Row, position: int) -> list[Form]:
    """Registers change from row to row, so that each is used as each operand somewhere."""
    dst, src = FREE[position % len(FREE)], FREE[(3 * position + 1) % len(FREE)]
    if src == dst:
        src = FREE[(FREE.index(dst) + 1) % len(FREE)]
    if _is_access(row):
        return _access_forms(row, dst, src)
    ways = (False, True) if _is_jump(row) else (False,)
    if row.src == ANY:
        return [Form(dst, other, max(row.offset, 0), backward=back) for other in (src, dst) for back in ways]
    numbers = NUMBERS if row.imm == ANY else (row.imm,)
    return [Form(dst, 0, max(row.offset, 0), number, ways[at % len(ways)]) for at, number in enumerate(numbers)]


def _access_forms(row: Row, dst: int, src: int) -> list[Form]:
    size = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}[row.opcode & 0x18]
    places = range(0, 8, size)
    loads = row.opcode & 7 == 1
    if row.opcode & 7 == 2:
        return [Form(dst or 1, 0, imm=number, at=at, reach=reach)
                for number, at, reach in zip(NUMBERS, cycle(places), cycle(REACHES), strict=False)]
    numbers = max(row.imm, 0)
    forms = [Form(dst or 1, src or 2, imm=numbers, at=at, reach=reach)
             for at, reach in zip(islice(cycle(places), max(len(places), len(REACHES))), cycle(REACHES), strict=False)]
    if loads:                                   # into the register that held the address
        forms += [Form(src or 2, src or 2, at=at) for at in places]
    elif row.imm == 0xF1:                       # r0 is compared and written
        forms += [Form(dst or 1, 0, imm=numbers, at=at) for at in places]
    return [form._replace(dst=5 if form.dst == form.src and not loads else form.dst) for form in forms]


def _vector(row: Row, forms: list[Form]) -> EdgeVector:
    inputs = list(_inputs(row))
    stride = RECORD + RESULT * len(forms)
    body = b"".join(_body(row, form, RECORD + RESULT * index) for index, form in enumerate(forms))
    turn = slot(0x07, 6, imm=stride) + slot(0x17, 7, imm=1)
    turn += slot(0x15, 7, 0, 1) + slot(0x06, imm=-(len(body + turn) // 8 + 2))
    insns = slot(0xBF, 6, 1) + slot(0xB7, 7, imm=len(inputs)) + body + turn + slot(0xB7) + slot(0x95)
    before, after = bytearray(), bytearray()
    for values in inputs:
        record = pack("<QQQ", *values[:3]) + values[3]
        before += record + bytes(RESULT * len(forms))
        after += record + b"".join(_expected(row, form, RECORD + RESULT * index, *values)
                                   for index, form in enumerate(forms))
    return EdgeVector(row, insns, bytes(before), bytes(after), len(inputs) * len(forms))


def _inputs(row: Row) -> Iterator[tuple[int, int, int, bytes]]:
    """dst, src, r0 and the cell."""
    if not _is_access(row):
        for dst, src in product(WORDS, WORDS if row.src == ANY else (0,)):
            yield dst, src, 0, bytes(8)
    elif row.opcode & 7 == 2:
        yield from ((0, 0, 0, cell) for cell in (bytes(8), bytes(range(0xF0, 0xF8))))
    elif row.imm == 0xF1:                       # half of the comparisons hold
        for src, cell in product(FEW, FEW):
            for r0 in (cell, cell & 0xFFFF_FFFF, cell >> 32, ~cell % 2 ** 64):
                yield 0, src, r0, cell.to_bytes(8, "little")
    else:
        for src, cell in product(FEW if row.opcode & 7 == 3 else FEW[:1], FEW):
            yield 0x55 * 0x0101_0101_0101_0101, src, 0, cell.to_bytes(8, "little")


def _body(row: Row, form: Form, out: int) -> bytes:
    """Registers from the record, the instruction, registers into the result."""
    if _is_access(row):
        return _access_body(row, form, out)
    code = slot(0x79, form.dst, 6, 0)
    if row.src == ANY and form.src != form.dst:
        code += slot(0x79, form.src, 6, 8)
    if _is_jump(row):
        code += _jump_body(row, form)
    else:
        code += slot(row.opcode, form.dst, form.src, form.offset, form.imm)
    code += slot(0x7B, 6, form.dst, out)
    if row.src == ANY:
        code += slot(0x7B, 6, form.src, out + 8)
    return code + (slot(0x7B, 6, TAKEN, out + 16) if _is_jump(row) else b"")


def _jump_body(row: Row, form: Form) -> bytes:
    yes, no = slot(0xB7, TAKEN, imm=1), slot(0xB7, TAKEN, imm=0)
    if form.backward:                           # the target stands before the jump
        over = slot(0x05, offset=2)
        return over + yes + over + slot(row.opcode, form.dst, form.src, -3, form.imm) + no
    return yes + slot(row.opcode, form.dst, form.src, 1, form.imm) + no


def _access_body(row: Row, form: Form, out: int) -> bytes:
    loads = row.opcode & 7 == 1
    base, other = (form.src, form.dst) if loads else (form.dst, form.src)
    code = slot(0x79, 9, 6, 24) + slot(0x7B, 6, 9, out + 24)                    # the cell, anew
    code += slot(0x79, 0, 6, 16)
    if row.opcode & 7 != 2 and other != base:
        code += slot(0x79, other, 6, 0 if loads else 16 if other == 0 else 8)
    code += slot(0xBF, base, 6) + slot(0x07, base, imm=out + 24 + form.at - form.reach)
    code += slot(row.opcode, form.dst, form.src, form.reach, form.imm)
    if loads:
        code += slot(0x7B, 6, form.dst, out)
    if base != form.dst or not loads:                                           # the address is as it was
        code += slot(0x1F, base, 6) + slot(0x7B, 6, base, out + (8 if loads else 0))
    if row.opcode & 7 == 3:
        code += slot(0x7B, 6, form.src, out + 8)
    return code + (slot(0x7B, 6, 0, out + 16) if row.imm == 0xF1 else b"")


def _expected(row: Row, form: Form, out: int, dst: int, src: int, r0: int, cell: bytes) -> bytes:
    """The result that `_body` leaves."""
    if _is_access(row):
        return _expected_access(row, form, out, src, r0, cell)
    same = row.src == ANY and form.src == form.dst
    made = apply(row.meaning, dst=dst, src=dst if same else src, imm=form.imm)
    left = 0 if row.src != ANY else made.dst if same else src
    return pack("<QQQ", made.dst, left, made.jump) + bytes(8)


def _expected_access(row: Row, form: Form, out: int, src: int, r0: int, cell: bytes) -> bytes:
    """Addresses count from the record's beginning."""
    kind, compares = row.opcode & 7, row.imm == 0xF1
    address = (out + 24 + form.at - form.reach) % 2 ** 64
    given = r0 if compares and form.src == 0 else src
    made = apply(row.meaning, src=given, r0=r0, imm=form.imm, cell=cell, at=form.at)
    if kind == 1:
        return pack("<QQQ", made.dst, 0 if form.src == form.dst else address, 0) + made.cell
    left = made.r0 if compares and form.src == 0 else made.src if kind == 3 else 0
    return pack("<QQQ", address, left, made.r0 if compares else 0) + made.cell
