"""What pieces are made of: unknown numbers, arithmetic, bounds, accesses, look-ups."""
from __future__ import annotations

from bench.random_code import (
    ADD, AND, ARSH, Code, DIV, Draft, EQ, GE, GT, LDXS, LE, LSH, MOD, MUL, NE, OR, RSH, SGT, SLT, STX, SUB, XOR,
    _LONGS, _WORDS,
)

# r6 is the context; r7, r8 and r9 belong to the piece that runs; results go where the piece says.


def number(d: Draft, c: Code, dst: int) -> None:
    """Something unknown into a register."""
    rng, kind = d.rng, d.kind
    words, longs = _WORDS.get(kind, ()), _LONGS.get(kind, ())
    choice = rng.randrange(8)
    if choice < 3 and words:
        c.load(4, dst, 6, rng.choice(words))
    elif choice < 5 and longs:
        c.load(8, dst, 6, rng.choice(longs))
    elif choice == 5:
        c.value(dst, "global", 8 * rng.randrange(16))
        c.load(rng.choice((1, 2, 4, 8)), dst, dst, 0)
    elif choice == 6 and dst != 0:
        c.value(dst, "global", 4 * rng.randrange(16))
        c.add(LDXS[rng.choice((1, 2, 4))], dst, dst)
    else:
        c.call(rng.choice((7, 5, 8)))
        if dst:
            c.mov(dst, 0)


def arithmetic(d: Draft, c: Code, dst: int, other: int = -1, least: int = 0, most: int = 4) -> None:
    """Some operations on a number."""
    rng = d.rng
    for _ in range(rng.randint(least, most)):
        op = rng.choice((ADD, SUB, MUL, AND, AND, OR, XOR, LSH, RSH, RSH, ARSH, ADD, DIV, MOD))
        wide = rng.random() < 0.6
        if op in (LSH, RSH, ARSH):
            value = rng.choice((1, 2, 3, 8, 16, 24, 31) if not wide else (1, 2, 3, 8, 16, 31, 32, 33, 48, 56, 60, 63))
        elif op == AND:
            value = rng.choice((1, 3, 7, 15, 31, 63, 127, 255, 0xFC, 0xFFFF, 0x7FFFFFFF, -1, -2, -8))
        elif op in (DIV, MOD):
            value = rng.choice((1, 2, 3, 7, 10, 16, 64))
        else:
            value = rng.choice((1, 2, 3, 4, 8, 16, 64, 100, -1, -4, -8, 1 << 20, -(1 << 31)))
        if other >= 0 and rng.random() < 0.3:
            c.alux(op, dst, other, wide)
        else:
            c.alu(op, dst, value, wide)
    extra = rng.randrange(12)
    if extra == 0:
        c.add(rng.choice((0x87, 0x84)), dst)
    elif extra == 1:
        c.add(rng.choice((0xDC, 0xD4, 0xD7)), dst, imm=rng.choice((16, 32, 64)))
    elif extra == 2:
        c.add(0xBF, dst, dst, rng.choice((8, 16, 32)))
    elif extra == 3:
        c.add(0xBC, dst, dst, rng.choice((0, 8, 16)))


def bound(d: Draft, c: Code, dst: int, most: int, out: str) -> None:
    """Make a number at most `most` (if right), by one of the ways that programs have."""
    rng = d.rng
    way = rng.randrange(9)
    slack = rng.choice((0, 0, 0, 0, 1, -1, 4, 8)) if rng.random() < 0.4 else 0
    most = max(most + slack, 0)
    if way == 0:
        c.alu(AND, dst, (1 << most.bit_length()) - 1 if rng.random() < 0.3 else (1 << (most + 1).bit_length() - 1) - 1)
    elif way == 1:
        c.jump(GT, dst, most, out, rng.random() < 0.8)
    elif way == 2:
        c.jump(GE, dst, most + 1, out)
    elif way == 3:
        keep = c.label("keep")
        c.jump(LE, dst, most, keep)
        c.goto(out)
        c.here(keep)
    elif way == 4:
        c.jump(SGT, dst, most, out, rng.random() < 0.7)
        c.jump(SLT, dst, 0, out, rng.random() < 0.7)
    elif way == 5:
        c.alu(MOD, dst, most + 1)
        c.jump(GT, dst, most, out)
    elif way == 6:
        c.num(0, most)
        c.jumpx(GT, dst, 0, out)
    elif way == 7:
        c.mov(0, dst)
        c.jump(GT, 0, most, out)
    else:
        c.alu(RSH, dst, max(0, 64 - max(most, 1).bit_length() + (0 if most & most + 1 == 0 else 1)) % 64)


def memory(d: Draft, c: Code, base: int, size: int, index: int, out: str) -> None:
    """Accesses of `size` bytes at `base` (a register), also at the place that number `index` says."""
    rng = d.rng
    for _ in range(rng.randint(1, 3)):
        width = rng.choice((1, 2, 4, 8))
        room = size - width
        offset = rng.randrange(0, room + 1) // width * width if room >= 0 else 0
        if rng.random() < 0.08:
            offset = rng.choice((room + 1, -1, room + width, size))
        act = rng.randrange(4)
        if act == 0:
            c.load(width, 0, base, offset)
        elif act == 1:
            c.storek(width, base, offset, rng.randrange(-5, 100))
        elif act == 2:
            c.num(1, rng.randrange(100))
            c.store(width, base, offset, 1)
        elif width >= 4:
            c.num(1, 1)
            c.add(STX[width] & 0x1F | 0xC0 | 3, base, 1, offset, rng.choice((0, 1, 0x40, 0x51, 0xE1)))
        else:
            c.load(width, 0, base, offset)
    if index >= 0 and rng.random() < 0.7:
        width = rng.choice((1, 2, 4, 8))
        constant = rng.choice((0, 0, 0, width, 4))
        bound(d, c, index, max(size - width - constant, 0), out)
        if rng.random() < 0.2:
            c.alu(AND, index, -width)
        target = rng.choice((1, base))
        if target != base:
            c.mov(target, base)
        c.alux(ADD, target, index)
        if rng.random() < 0.2:
            c.alu(rng.choice((ADD, SUB)), target, rng.choice((1, 4, 8)))
        if rng.random() < 0.5:
            c.load(width, 0, target, constant)
        else:
            c.storek(width, target, constant, 1)


def lookup(d: Draft, c: Code, dst: int, name: str, out: str, size: int = 4) -> None:
    """Look an element up; the check is there most of the time."""
    rng = d.rng
    slot = -8 * rng.randint(1, 4)
    if size == 8:
        if rng.random() < 0.5:
            c.storek(8, 10, slot, rng.randrange(5))
        else:
            number(d, c, 1)
            c.store(8, 10, slot, 1)
    elif size == 4:
        if rng.random() < 0.5:
            c.storek(4, 10, slot, rng.randrange(6))
        else:
            number(d, c, 1)
            c.store(4, 10, slot, 1)
    c.mov(2, 10)
    c.alu(ADD, 2, slot)
    c.map(1, name)
    c.call(1)
    checked = rng.randrange(12)
    if checked < 8:
        c.jump(EQ, 0, 0, out)
    elif checked == 8:
        skip = c.label("skip")
        c.jump(NE, 0, 0, skip)
        c.goto(out)
        c.here(skip)
    elif checked == 9:
        c.mov(dst, 0)
        c.jump(EQ, dst, 0, out)
        if dst != 0:
            return
    elif checked == 10:
        c.mov(dst, 0)
        c.jump(EQ, 0, 0, out)
        return
    if dst:
        c.mov(dst, 0)
