"""Maps, ranges of numbers, pointers and the stack."""
from __future__ import annotations

from bench.pieces.values import arithmetic, bound, lookup, memory, number
from bench.random_code import (
    ADD, AND, COMPARISONS, Code, Draft, EQ, GE, GT, LSH, LT, MUL, OR, SLT, SUB, XOR, _LONGS, _WORDS,
)


def maps_piece(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    choice = rng.randrange(11)
    if choice < 4:
        name, size, key = rng.choice((("array", 64, 4), ("hash", 48, 8), ("percpu", 16, 4), ("lru", 8, 4)))
        number(d, c, 9)
        lookup(d, c, 7, name, out, key)
        memory(d, c, 7, size, 9, out)
    elif choice == 4:
        name, size, key = rng.choice((("array", 64, 4), ("hash", 48, 8), ("lru", 8, 4)))
        for at in range(0, size, 8):
            if rng.random() < 0.95:
                c.storek(8, 10, -80 + at, at)
        c.storek(8, 10, -8, 1)
        c.mov(2, 10)
        c.alu(ADD, 2, rng.choice((-8, -8, -8, -4, -16, 0)))
        c.mov(3, 10)
        c.alu(ADD, 3, rng.choice((-80, -80, -80, -72, -64, -32)))
        c.num(4, 0)
        c.map(1, name)
        c.call(2)
        _ = key
    elif choice == 5:
        c.storek(rng.choice((4, 8)), 10, -8, 1)
        c.mov(2, 10)
        c.alu(ADD, 2, -8)
        c.map(1, rng.choice(("hash", "lru", "array", "queue", "ring")))
        c.call(3)
    elif choice == 6:
        c.storek(8, 10, -16, 1)
        c.storek(8, 10, -8, 1)
        c.mov(2, 10)
        c.alu(ADD, 2, rng.choice((-16, -16, -16, -8)))
        c.num(3, 0)
        c.map(1, rng.choice(("queue", "queue", "queue", "array")))
        c.call(rng.choice((87, 88, 89)))
    elif choice == 7:
        lookup(d, c, 7, "outer", out, 4)
        c.storek(4, 10, -4, 1)
        c.mov(2, 10)
        c.alu(ADD, 2, -4)
        c.mov(1, 7)
        c.call(1)
        if rng.random() < 0.85:
            c.jump(EQ, 0, 0, out)
        c.mov(7, 0)
        memory(d, c, 7, 24, -1, out)
    elif choice == 8:
        number(d, c, 9)
        c.value(7, "global", rng.choice((0, 8, 16, 120)))
        memory(d, c, 7, 128 - 16, 9, out)
    elif choice == 9:
        c.value(7, "constant", rng.choice((0, 1, 4, 8)))
        c.load(rng.choice((1, 1, 2, 4)), 8, 7, rng.randrange(16))
        c.alu(AND, 8, rng.choice((7, 15, 31, 255)))
        lookup(d, c, 7, "array", out)
        c.jump(GT, 8, rng.choice((40, 56, 63, 7)), out)
        c.alux(ADD, 7, 8)
        c.load(rng.choice((1, 8)), 0, 7, 0)
    else:
        c.storek(8, 10, -8, 7)
        c.storek(8, 10, -16, 7)
        c.map(1, "ring")
        c.mov(2, 10)
        c.alu(ADD, 2, rng.choice((-8, -16, -16)))
        c.num(3, rng.choice((1, 8, 8, 16, 24)))
        c.num(4, 0)
        c.call(130)


def ranges_piece(d: Draft, c: Code, out: str) -> None:
    """Arithmetic, comparisons, and then an access that rests on them."""
    rng = d.rng
    number(d, c, 7)
    if rng.random() < 0.6:
        number(d, c, 8)
    else:
        c.mov(8, 7)
    arithmetic(d, c, 7, 8)
    arithmetic(d, c, 8)
    for _ in range(rng.randint(0, 3)):
        target = c.label("t")
        wide = rng.random() < 0.7
        what = rng.randrange(5)
        register = rng.choice((7, 8))
        if what == 0:
            c.jumpx(rng.choice(COMPARISONS), 7, 8, rng.choice((out, target)), wide)
        elif what < 4:
            value = rng.choice((0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 56, 63, 64, 100, 255, 256, 4096, -1, -5, 0x7FFFFFFF,
                                -(1 << 31)))
            c.jump(rng.choice(COMPARISONS), register, value, rng.choice((out, out, target)), wide)
        else:
            c.jump(rng.choice((LT, GE, SLT)), register, rng.choice((8, 16, 64)), target, wide)
            c.num(register, rng.randrange(64))
        if rng.random() < 0.4:
            arithmetic(d, c, register, most=2)
        c.here(target)
    size, name = rng.choice(((64, "array"), (128, "global"), (48, "hash")))
    index = rng.choice((7, 8))
    if rng.random() < 0.45:
        bound(d, c, index, rng.choice((size - 8, size - 1, 7, 31)), out)
    if rng.random() < 0.3:
        c.mov(9, index)
        index = 9
    if rng.random() < 0.2:
        c.alu(MUL, index, rng.choice((2, 4, 8)))
    if name == "global":
        c.value(1, "global", 0)
    else:
        c.mov(9, index)
        index = 9
        lookup(d, c, 1, name, out, 8 if name == "hash" else 4)
    c.alux(ADD, 1, index)
    width = rng.choice((1, 1, 2, 4, 8))
    if rng.random() < 0.6:
        c.load(width, 0, 1, rng.choice((0, 0, 0, 1, 4)))
    else:
        c.storek(width, 1, 0, 3)


def pointers_piece(d: Draft, c: Code, out: str) -> None:
    """The stack: spills, parts, variable offsets; pointers kept and moved."""
    rng = d.rng
    choice = rng.randrange(9)
    if choice < 2:
        number(d, c, 7)
        slot = -8 * rng.randint(1, 8)
        width = rng.choice((8, 8, 4, 2, 1))
        bound(d, c, 7, rng.choice((8, 40, 56)), out)
        c.store(width, 10, slot + rng.choice((0, 0, 0, 4)), 7)
        if rng.random() < 0.3:
            c.storek(rng.choice((1, 4)), 10, slot + rng.choice((0, 4, 1)), rng.choice((0, 1)))
        c.load(rng.choice((width, width, 8, 4, 1)), 8, 10, slot + rng.choice((0, 0, 0, 4)))
        c.value(1, "global", 0)
        c.alux(ADD, 1, rng.choice((8, 8, 7)))
        c.load(rng.choice((1, 4, 8)), 0, 1, 0)
    elif choice == 2:
        c.store(8, 10, -16, 6)
        if rng.random() < 0.3:
            c.storek(rng.choice((1, 8)), 10, rng.choice((-16, -8, -24, -12)), 0)
        c.load(rng.choice((8, 8, 8, 8, 4)), 7, 10, -16)
        words = _WORDS.get(d.kind, (0,))
        c.load(4 if words else 8, 0, 7, (words or _LONGS[d.kind])[0])
    elif choice == 3:
        lookup(d, c, 0, "array", out)
        c.store(8, 10, -24, 0)
        c.num(0, 0)
        c.load(8, 7, 10, -24)
        if rng.random() < 0.3:
            c.jump(EQ, 7, 0, out)
        memory(d, c, 7, 64, -1, out)
    elif choice == 4:
        for at in range(4):
            if rng.random() < 0.9:
                c.storek(8, 10, -32 + 8 * at, at)
        number(d, c, 7)
        bound(d, c, 7, rng.choice((24, 28, 31)), out)
        c.mov(1, 10)
        c.alux(ADD, 1, 7)
        c.alu(ADD, 1, rng.choice((-32, -32, -32, -40, -24)))
        width = rng.choice((1, 1, 1, 4, 8))
        if width > 1 and rng.random() < 0.7:
            c.alu(AND, 7, -width)
            c.mov(1, 10)
            c.alux(ADD, 1, 7)
            c.alu(ADD, 1, -32)
        if rng.random() < 0.5:
            c.load(width, 0, 1, 0)
        else:
            c.num(2, rng.choice((0, 5)))
            c.store(width, 1, 0, 2)
            c.load(rng.choice((1, 8)), 0, 10, -16)
    elif choice == 5:
        c.mov(7, rng.choice((10, 6, 10)))
        c.alu(rng.choice((ADD, ADD, SUB, AND, OR, LSH)), 7, rng.choice((-8, -16, 8, 0, 4)), rng.random() < 0.8)
        c.load(rng.choice((4, 8)), 0, 7, rng.choice((0, -8, 8)))
    elif choice == 6:
        c.num(7, 0)
        number(d, c, 8)
        skip = c.label("s")
        c.jump(rng.choice((GT, EQ, SLT)), 8, 5, skip)
        c.mov(7, 10)
        c.alu(ADD, 7, -8)
        c.here(skip)
        if rng.random() < 0.6:
            c.jump(EQ, 7, 0, out)
        c.storek(8, 7, 0, 1)
    elif choice == 7:
        c.mov(7, 10)
        c.alu(ADD, 7, -16)
        c.mov(8, 10)
        if rng.random() < 0.5:
            c.alux(SUB, 8, 7)
            if rng.random() < 0.6:
                bound(d, c, 8, 8, out)
                c.value(1, "global", 0)
                c.alux(ADD, 1, 8)
                c.load(1, 0, 1, 0)
        else:
            c.alux(rng.choice((ADD, SUB, XOR)), 8, 7)
        c.storek(8, 7, rng.choice((0, 8, 16, -496, -504)), 0)
    else:
        for at in range(rng.choice((16, 16, 8)) // 8):
            c.storek(8, 10, -16 + 8 * at, 0)
        c.mov(1, 10)
        c.alu(ADD, 1, -16)
        number(d, c, 7) if rng.random() < 0.4 else c.num(7, rng.choice((1, 8, 16, 16, 17, 24)))
        if rng.random() < 0.6:
            bound(d, c, 7, 16, out)
        if rng.random() < 0.4:
            c.jump(EQ, 7, 0, out)
        c.mov(1, 10)
        c.alu(ADD, 1, -16)
        c.mov(2, 7)
        if d.kind in ("tracepoint", "raw_tracepoint", "kprobe", "perf_event"):
            c.num(3, 0)
            c.call(rng.choice((113, 112, 115)))
        else:
            c.mov(3, 1)
            c.mov(4, 2)
            c.alu(AND, 4, -4)
            c.alu(AND, 2, -4)
            c.num(5, 0)
            c.call(28)
