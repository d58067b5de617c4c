"""Pieces of random programs, by feature: right most of the time, wrong in one of the ways that programs are."""
from __future__ import annotations

from bench.random_code import (
    ADD,
    AND,
    ARSH,
    COMPARISONS,
    Code,
    DIV,
    Draft,
    EQ,
    EXIT,
    GE,
    GT,
    LDXS,
    LE,
    LSH,
    LT,
    MOD,
    MUL,
    NE,
    OR,
    RSH,
    SGE,
    SGT,
    SLT,
    STX,
    SUB,
    XOR,
    _LONGS,
    _PACKET,
    _SOCKETS,
    _WORDS,
)


# Pieces. r6 is the context; r7, r8 and r9 belong to the piece that runs; results go where the piece says.

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


def packet(d: Draft, c: Code, out: str, size: int) -> None:
    """r7 = packet start, r8 = its end, with `size` bytes checked in one of many ways."""
    rng = d.rng
    start, end = _PACKET[d.kind]
    c.load(4, 7, 6, start)
    c.load(4, 8, 6, end)
    c.mov(1, 7)
    size += rng.choice((0, 0, 0, 0, 0, 0, -1, 1, -4))
    c.alu(ADD, 1, size)
    way = rng.randrange(9)
    if way < 4:
        c.jumpx(GT, 1, 8, out)
    elif way == 4:
        c.jumpx(LT, 8, 1, out)
    elif way == 5:
        keep = c.label("k")
        c.jumpx(LE, 1, 8, keep)
        c.goto(out)
        c.here(keep)
    elif way == 6:
        c.jumpx(GE, 1, 8, out)
    elif way == 7:
        keep = c.label("k")
        c.jumpx(rng.choice((GE, GT)), 8, 1, keep)
        c.goto(out)
        c.here(keep)
    else:
        c.jumpx(rng.choice((LT, EQ, NE, SGT, GT)), rng.choice((1, 8)), rng.choice((8, 1)), out)


def packets_piece(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    if d.kind not in _PACKET:
        return no_packets_piece(d, c, out)
    size = rng.choice((14, 34, 42, 54, 8))
    packet(d, c, out, size)
    for _ in range(rng.randint(1, 3)):
        width = rng.choice((1, 2, 4, 8))
        offset = rng.randrange(0, max(1, size - width + 1)) + (rng.choice((1, 3)) if rng.random() < 0.06 else 0)
        if rng.random() < 0.75 or (d.kind == "cgroup_skb" and rng.random() < 0.9):
            c.load(width, 0, 7, offset)
        else:
            c.storek(width, 7, offset, 1)
    choice = rng.randrange(7)
    if choice < 3:
        c.load(1, 9, 7, rng.choice((0, 4)))
        c.alu(AND, 9, rng.choice((15, 15, 63, 0xFF)))
        c.alu(LSH, 9, rng.choice((2, 2, 0, 4)))
        if rng.random() < 0.4:
            c.jump(LT, 9, 20, out)
        c.mov(1, 7)
        c.alux(ADD, 1, 9)
        if rng.random() < 0.5:
            c.alu(ADD, 1, rng.choice((0, 4, 14)))
        c.mov(2, 1)
        need = rng.choice((4, 8, 20))
        c.alu(ADD, 2, need)
        if rng.random() < 0.9:
            c.jumpx(GT, 2, 8, out)
        c.load(rng.choice((1, 2, 4)), 0, 1, rng.choice((0, need - 4, need - 1, 0)))
    elif choice == 3:
        change = {"xdp": (44, 65), "sched_cls": (39, 38), "cgroup_skb": (26,)}[d.kind]
        helper = rng.choice(change)
        if helper == 26:
            c.mov(1, 6)
            c.num(2, 0)
            c.mov(3, 10)
            c.alu(ADD, 3, -16)
            c.num(4, rng.choice((8, 16, 16, 17, 0)))
            c.call(26)
        else:
            c.mov(1, 6)
            c.num(2, rng.choice((0, 4, -4)))
            c.num(3, 0)
            c.call(helper)
        if rng.random() < 0.6:
            packet(d, c, out, size)
        c.load(1, 0, 7, 0)
    elif choice == 4:
        c.num(9, rng.choice((14, 20)))
        number(d, c, 9)
        bound(d, c, 9, rng.choice((8, 100, 1000, 0x7FFF, 0xFFFF, 70000)), out)
        start, end = _PACKET[d.kind]
        c.load(4, 7, 6, start)
        c.load(4, 8, 6, end)
        c.alux(ADD, 7, 9)
        c.mov(1, 7)
        c.alu(ADD, 1, 8)
        c.jumpx(GT, 1, 8, out)
        c.load(rng.choice((4, 8, 1)), 0, 7, rng.choice((0, 0, 1, 4)))
    elif choice == 5:
        c.mov(2, 7)
        c.alu(ADD, 2, rng.choice((0, 2, 4)))
        c.map(1, rng.choice(("array", "hash")))
        c.call(1)
        c.jump(EQ, 0, 0, out)
        c.load(8, 0, 0, 0)
    else:
        c.mov(1, 8)
        c.alux(SUB, 1, 7)
        bound(d, c, 1, 60, out)
        c.value(2, "global", 0)
        c.alux(ADD, 2, 1)
        c.load(1, 0, 2, 0)


def no_packets_piece(d: Draft, c: Code, out: str) -> None:
    """For kinds without packets: records of a ring buffer, as memory of a fixed size."""
    records(d, c, out)


def records(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    size = rng.choice((8, 16, 32))
    c.map(1, "ring")
    c.num(2, size)
    c.num(3, 0)
    c.call(131)
    checked = rng.random() < 0.93
    if checked:
        c.jump(EQ, 0, 0, out)
    c.mov(7, 0)
    index = -1
    giving = c.label("give")
    if rng.random() < 0.3:
        c.num(9, rng.randrange(8))
        index = 9
    memory(d, c, 7, size, index, giving)
    c.here(giving)
    gives = rng.randrange(14)
    if gives < 10:
        c.mov(1, 7)
        c.num(2, 0)
        c.call(rng.choice((132, 133)))
        if rng.random() < 0.1:
            c.load(1, 0, 7, 0)
        if rng.random() < 0.05:
            c.mov(1, 7)
            c.num(2, 0)
            c.call(132)
    elif gives == 10:
        skip, done = c.label("s"), c.label("d")
        c.num(8, 3)
        number(d, c, 8)
        c.jump(GT, 8, 3, skip)
        c.mov(1, 7)
        c.num(2, 0)
        c.call(132)
        c.goto(done)
        c.here(skip)
        if rng.random() < 0.6:
            c.mov(1, 7)
            c.num(2, 0)
            c.call(133)
        c.here(done)
    elif gives == 11:
        c.mov(1, 7)
        c.alu(ADD, 1, rng.choice((0, 8)))
        c.num(2, 0)
        c.call(132)
    elif gives == 12:
        c.store(8, 10, -8, 7)
        c.load(8, 1, 10, -8)
        c.num(2, 0)
        c.call(132)


def references_piece(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    if d.kind not in _SOCKETS or rng.random() < 0.5:
        return records(d, c, out)
    for at in range(-40, 0, 8):
        if rng.random() < 0.98:
            c.storek(8, 10, at, 0)
    c.mov(1, 6)
    c.mov(2, 10)
    c.alu(ADD, 2, -40)
    c.num(3, rng.choice((12, 12, 36, 12, 48)))
    c.num(4, -1)
    c.num(5, 0)
    c.call(rng.choice((84, 85, 99)))
    if rng.random() < 0.92:
        c.jump(EQ, 0, 0, out)
    c.mov(7, 0)
    act = rng.randrange(5)
    if act == 0:
        c.load(rng.choice((4, 4, 2, 1)), 0, 7, rng.choice((4, 8, 12, 44, 48, 0, 80)))
    elif act == 1:
        c.mov(1, 7)
        c.call(rng.choice((95, 96)))
        if rng.random() < 0.8:
            skip = c.label("s")
            c.jump(EQ, 0, 0, skip)
            c.load(4, 8, 0, rng.choice((0, 4, 8)))
            if rng.random() < 0.1:
                c.mov(7, 0)
            c.here(skip)
    elif act == 2:
        c.storek(4, 7, 0, 0) if rng.random() < 0.2 else c.load(4, 0, 7, 4)
    if rng.random() < 0.88:
        c.mov(1, 7)
        c.call(86)
    if rng.random() < 0.08:
        c.load(4, 0, 7, 4)


def locks_piece(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    name = rng.choice(("locked", "locked2"))
    lookup(d, c, 0, name, out)
    c.mov(7, 0)
    if rng.random() < 0.15:
        lookup(d, c, 0, rng.choice(("locked", "locked2")), out)
        c.mov(8, 0)
    else:
        c.mov(8, 7)
    c.mov(1, 7)
    c.alu(ADD, 1, rng.choice((8, 8, 8, 8, 8, 8, 8, 0, 12)))
    if rng.random() < 0.96:
        c.call(93)
    for _ in range(rng.randint(0, 3)):
        act = rng.randrange(8)
        if act < 5:
            width, at = rng.choice(((8, 0), (8, 16), (4, 12), (4, 0), (4, 8) if rng.random() < 0.1 else (8, 0)))
            c.load(width, 0, 7, at)
            c.alu(ADD, 0, 1)
            c.store(width, 7, at, 0)
        elif act == 5 and rng.random() < 0.25:
            c.call(rng.choice((5, 7, 8)))
        elif act == 6 and rng.random() < 0.5:
            c.load(8, 0, 7, 0)
            done = c.label("d")
            c.jump(GT, 0, 100, done)
            c.storek(8, 7, 0, 1)
            c.here(done)
    if rng.random() < 0.1:
        c.load(8, 0, 7, 0)
        c.jump(EQ, 0, 3, out)
    c.mov(1, rng.choice((7, 7, 7, 7, 8)))
    c.alu(ADD, 1, 8)
    if rng.random() < 0.92:
        c.call(94)
    if rng.random() < 0.05:
        c.mov(1, 7)
        c.alu(ADD, 1, 8)
        c.call(94)


def loops_piece(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    choice = rng.randrange(8)
    top, done = c.label("top"), c.label("done")
    if choice < 4:
        limit = rng.choice((1, 2, 5, 8, 16, 30, 60))
        step = rng.choice((1, 1, 1, 2, 3, 4))
        c.num(7, rng.choice((0, 0, 0, 1, -1)))
        c.num(8, 0)
        if rng.random() < 0.4:
            number(d, c, 9)
            if rng.random() < 0.8:
                bound(d, c, 9, limit, out)
            variable = True
        else:
            variable = False
        c.here(top)
        if variable:
            c.jumpx(rng.choice((GE, GE, GE, EQ, SGE)), 7, 9, done, rng.random() < 0.8)
        else:
            c.jump(rng.choice((GE, GE, EQ, SGE, GT)), 7, limit, done, rng.random() < 0.8)
        body = rng.randrange(5)
        if body == 0:
            c.alux(ADD, 8, 7)
        elif body == 1:
            c.value(1, "global", 0)
            c.alux(ADD, 1, 7)
            c.load(1, 0, 1, 0)
            c.alux(ADD, 8, 0)
        elif body == 2:
            c.mov(1, 10)
            c.alu(ADD, 1, -64)
            c.alux(ADD, 1, 7)
            c.storek(1, 1, 0, 0)
        elif body == 3:
            number(d, c, 0)
            if rng.random() < 0.7:
                skip = c.label("s")
                c.jump(rng.choice((EQ, GT)), 0, 5, skip)
                c.alu(ADD, 8, 1)
                c.here(skip)
        else:
            lookup(d, c, 0, "array", rng.choice((done, out)))
            c.load(8, 0, 0, 8)
        if rng.random() < 0.96:
            c.alu(ADD, 7, step, rng.random() < 0.8)
        c.goto(top)
        c.here(done)
        if rng.random() < 0.4:
            c.value(1, "global", 0)
            c.jump(GT, 8, rng.choice((100, 127, 200)), out)
            c.alux(ADD, 1, 8)
            c.load(1, 0, 1, 0)
    elif choice == 4:
        c.num(7, rng.choice((10, 20, 40)))
        c.here(top)
        c.alu(SUB, 7, rng.choice((1, 1, 2, 3, 0)))
        if rng.random() < 0.5:
            number(d, c, 8)
        c.jump(rng.choice((NE, SGT, GT)), 7, 0, top)
    elif choice == 5:
        # A number halves until nothing is left.
        number(d, c, 7)
        if rng.random() < 0.7:
            c.alu(AND, 7, rng.choice((255, 0xFFFF)))
        c.here(top)
        c.jump(EQ, 7, 0, done)
        c.alu(RSH, 7, rng.choice((1, 2, 1, 0)))
        c.goto(top)
        c.here(done)
    elif choice == 6:
        # may_goto
        c.num(7, 0)
        c.here(top)
        c.jumps.append((len(c.insns), c.slots, done))
        c.add(0xE5)
        if rng.random() < 0.7:
            c.value(1, "global", 0)
            c.mov(2, 7)
            c.alu(AND, 2, rng.choice((63, 127, 255)))
            if rng.random() < 0.6:
                c.jump(GT, 2, 100, done)
            c.alux(ADD, 1, 2)
            c.load(1, 0, 1, 0)
        c.alu(ADD, 7, 1)
        c.goto(top)
        c.here(done)
    else:
        callback = Code("callback")
        loop_callback(d, callback)
        d.functions.append(callback)
        if rng.random() < 0.5:
            c.num(1, rng.choice((1, 3, 10, 1000)))
        else:
            number(d, c, 1)
        c.storek(8, 10, -8, rng.choice((0, 3)))
        c.function(2, "callback")
        c.mov(3, 10)
        c.alu(ADD, 3, -8)
        c.num(4, 0)
        c.call(181)
        c.load(8, 7, 10, -8)
        if rng.random() < 0.5:
            c.value(1, "global", 0)
            c.jump(GT, 7, rng.choice((100, 200)), out) if rng.random() < 0.8 else None
            c.alux(ADD, 1, 7)
            c.load(1, 0, 1, 0)


def loop_callback(d: Draft, c: Code) -> None:
    rng = d.rng
    for _ in range(rng.randint(1, 2)):
        act = rng.randrange(5)
        if act == 0:
            c.load(8, 0, 2, 0)
            c.alux(ADD, 0, 1)
            c.store(8, 2, 0, 0)
        elif act == 1:
            c.value(3, "global", 0)
            c.mov(4, 1)
            c.alu(AND, 4, rng.choice((63, 127, 255)))
            c.alux(ADD, 3, 4)
            c.storek(1, 3, 0, 1)
        elif act == 2:
            c.storek(8, 2, rng.choice((0, 0, 8, -8)), 1)
        elif act == 3:
            c.load(8, 0, 2, 0)
            c.alu(ADD, 0, 1)
            c.store(8, 2, 0, 0)
        else:
            c.storek(8, 10, -8, 0)
            c.load(8, 0, 10, rng.choice((-8, -8, -16)))
    last = rng.randrange(8)
    if last < 5:
        c.num(0, rng.choice((0, 0, 1)))
    elif last == 5:
        c.mov(0, 1)
        c.alu(AND, 0, 1)
    elif last == 6:
        c.num(0, 2)
    c.add(EXIT)


def calls_piece(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    choice = rng.randrange(7)
    taken = {one.name for one in d.functions}
    if choice < 3 and not taken & {"one", "two", "three"}:
        depth = rng.choice((1, 1, 2, 3))
        names = ("one", "two", "three")[:depth]
        for position, name in enumerate(names):
            f = Code(name)
            own_function(d, f, names[position + 1] if position + 1 < depth else "")
            d.functions.append(f)
        number(d, c, 7)
        if rng.random() < 0.6:
            bound(d, c, 7, 63, out)
        c.mov(1, 7)
        c.storek(8, 10, -8, 5)
        c.mov(2, 10)
        c.alu(ADD, 2, -8)
        if rng.random() < 0.95:
            c.mov(3, 6)
        c.own("one")
        if rng.random() < 0.6:
            c.value(1, "global", 0)
            if rng.random() < 0.5:
                bound(d, c, 0, 100, out)
            c.alux(ADD, 1, 0)
            c.load(1, 0, 1, 0)
    elif choice == 3 and "global_numbers" not in taken:
        f = Code("global_numbers")
        f.mov(0, 1)
        f.alux(rng.choice((ADD, AND, MUL)), 0, 2)
        if rng.random() < 0.15:
            f.load(8, 0, rng.choice((1, 3)), 0)
        if rng.random() < 0.1:
            f.insns.clear()
            f.slots = 0
        f.add(EXIT)
        d.functions.append(f)
        number(d, c, 1)
        c.num(2, 3)
        if rng.random() < 0.9:
            c.num(3, 4) if rng.random() < 0.9 else c.mov(3, 10)
        c.own("global_numbers")
        if rng.random() < 0.5:
            c.value(1, "global", 0)
            bound(d, c, 0, 100, out)
            c.alux(ADD, 1, 0)
            c.load(1, 0, 1, 0)
    elif choice == 4 and "global_memory" not in taken:
        f = Code("global_memory")
        bad = f.label("bad")
        f.num(0, 0)
        if rng.random() < 0.85:
            f.jump(EQ, 1, 0, bad)
        f.load(8, 0, 1, rng.choice((0, 8, 8, 16)))
        f.here(bad)
        f.add(EXIT)
        d.functions.append(f)
        c.storek(8, 10, -8, 1)
        c.storek(8, 10, -16, 1)
        c.mov(1, 10)
        c.alu(ADD, 1, rng.choice((-16, -16, -8)))
        if rng.random() < 0.1:
            c.num(1, 0)
        c.num(2, 1)
        c.own("global_memory")
    elif choice == 5 and "visit" not in taken:
        f = Code("visit")
        # r1 map, r2 key, r3 value, r4 context
        if rng.random() < 0.7:
            f.load(rng.choice((4, 8)), 0, 3, rng.choice((0, 8, 56, 60)))
        if rng.random() < 0.3:
            f.load(4, 0, 2, rng.choice((0, 0, 4)))
        if rng.random() < 0.3:
            f.storek(8, 4, rng.choice((0, 0, 8)), 3)
        f.num(0, rng.choice((0, 0, 1, 2)))
        f.add(EXIT)
        d.functions.append(f)
        c.storek(8, 10, -8, 0)
        c.map(1, rng.choice(("array", "hash", "array", "queue")))
        c.function(2, "visit")
        c.mov(3, 10)
        c.alu(ADD, 3, -8)
        c.num(4, 0)
        c.call(164)
    elif not taken & {"one", "two", "three", "four"}:
        # Stacks of nested calls.
        names = ("four", "five", "six", "seven", "eight")[:rng.randint(1, 5)]
        for position, name in enumerate(names):
            f = Code(name)
            f.storek(8, 10, -rng.choice((8, 64, 96, 128, 200, 256)), 0)
            if position + 1 < len(names):
                f.own(names[position + 1])
            f.num(0, 0)
            f.add(EXIT)
            d.functions.append(f)
        c.storek(8, 10, -rng.choice((8, 64, 128, 256)), 0)
        c.own("four")


def own_function(d: Draft, c: Code, following: str) -> None:
    """A static function: r1 a number, r2 the caller's stack, r3 the context."""
    rng = d.rng
    end = c.label("end")
    c.num(0, 0)
    act = rng.randrange(6)
    if act == 0:
        c.load(8, 0, 2, rng.choice((0, 0, 0, 8, -8)))
    elif act == 1:
        c.storek(8, 2, 0, rng.randrange(300))
    elif act == 2:
        c.mov(0, 1)
        c.alu(AND, 0, rng.choice((63, 127, 255)))
    elif act == 3:
        c.mov(0, 1)
    elif act == 4:
        words = _WORDS[d.kind]
        c.load(4 if words else 8, 0, 3, (words or _LONGS[d.kind])[0])
    else:
        c.value(4, "global", 0)
        c.jump(GT, 1, rng.choice((100, 127, 128)), end)
        c.alux(ADD, 4, 1)
        c.load(1, 0, 4, 0)
    if rng.random() < 0.1:
        c.mov(0, 10)
    if following:
        c.storek(8, 10, -16, 3)
        c.mov(7, 0)
        if rng.random() < 0.3:
            c.mov(2, 10)
            c.alu(ADD, 2, -16)
        c.own(following)
        if rng.random() < 0.7:
            c.mov(0, 7)
    c.here(end)
    if rng.random() < 0.03:
        c.load(8, 0, 8, 0)
    c.add(EXIT)


def iterators_piece(d: Draft, c: Code, out: str) -> None:
    rng = d.rng
    slot = -8 * rng.randint(1, 3)
    c.mov(1, 10)
    c.alu(ADD, 1, slot)
    c.num(2, 0)
    c.num(3, rng.choice((1, 10, 1000)))
    if rng.random() < 0.97:
        c.kfunc("bpf_iter_num_new")
    c.num(7, 0)
    c.num(8, 0)
    top, done = c.label("top"), c.label("done")
    c.here(top)
    c.mov(1, 10)
    c.alu(ADD, 1, slot if rng.random() < 0.97 else slot - 8)
    c.kfunc("bpf_iter_num_next")
    if rng.random() < 0.95:
        c.jump(EQ, 0, 0, done)
    for _ in range(rng.randint(0, 2)):
        act = rng.randrange(8)
        if act == 0:
            c.load(4, 1, 0, rng.choice((0, 0, 0, 4)))
            c.alux(ADD, 7, 1)
        elif act == 1:
            c.load(4, 9, 0, 0)
            bound(d, c, 9, 100, done)
            c.value(1, "global", 0)
            c.alux(ADD, 1, 9)
            c.load(1, 1, 1, 0)
            c.num(0, 0)
        elif act == 2:
            c.alu(ADD, 8, 1)
            c.value(1, "global", 0)
            c.mov(2, 8)
            c.alu(AND, 2, 63)
            c.alux(ADD, 1, 2)
            c.load(1, 1, 1, 0)
        elif act == 3:
            number(d, c, 9)
            c.jump(EQ, 9, 3, done)
        elif act == 4 and rng.random() < 0.3:
            c.storek(8, 10, slot, 0)
        elif act == 5:
            c.store(8, 10, -40, 8)
            c.load(8, 8, 10, -40)
        elif act == 6:
            lookup(d, c, 0, "array", done if rng.random() < 0.9 else out)
            c.load(8, 1, 0, 0)
    if rng.random() < 0.3:
        c.value(1, "global", 0)
        c.jump(GT, 8, 100, done)
        c.alux(ADD, 1, 8)
        c.load(1, 1, 1, 0)
        c.alu(ADD, 8, 1)
    c.goto(top)
    c.here(done)
    if rng.random() < 0.93:
        c.mov(1, 10)
        c.alu(ADD, 1, slot)
        c.kfunc("bpf_iter_num_destroy")
    if rng.random() < 0.3:
        c.value(1, "global", 0)
        c.jump(GT, 8, rng.choice((100, 127, 130)), out)
        c.alux(ADD, 1, 8)
        c.load(1, 1, 1, 0)


def helpers_piece(d: Draft, c: Code, out: str) -> None:
    """A call of some helper with arguments that may be right."""
    rng = d.rng
    for at in range(-64, 0, 8):
        c.storek(8, 10, at, rng.choice((0, 1, 4)))
    helper = rng.choice((1, 2, 3, 4, 5, 6, 8, 14, 15, 16, 17, 25, 26, 27, 28, 31, 35, 45, 46, 47, 49, 51, 57, 67, 69,
                         80,
                         84, 87, 88, 89, 105, 106, 112, 113, 120, 130, 131, 158, 163, 165, 177, 181, 182, 188, 189, 190,
                         195, 197, 201, 202, 203, 206, rng.randint(1, 211)))
    layout = _LIKELY.get(helper, "".join(rng.choice("cmsnfz") for _ in range(5)))
    for position, kind in enumerate(layout[:5]):
        register = position + 1
        if rng.random() < 0.06:
            kind = rng.choice("cmsnfz")
        if kind == "c":
            c.mov(register, 6)
        elif kind == "m":
            c.map(register, rng.choice(("array", "hash", "percpu", "queue", "ring", "events", "lru")))
        elif kind in "ah":
            c.map(register, "array" if kind == "a" else "hash")
        elif kind in "qrep":
            c.map(register, {"q": "queue", "r": "ring", "e": "events", "p": "percpu"}[kind])
        elif kind == "s":
            c.mov(register, 10)
            c.alu(ADD, register, rng.choice((-64, -64, -64, -32, -16, -8)))
        elif kind == "n":
            c.num(register, rng.choice((1, 4, 8, 8, 16, 32, 64)))
        elif kind == "g":
            c.value(register, "global", rng.choice((0, 8, 64)))
        elif kind == "k":
            c.value(register, "constant", rng.choice((0, 8)))
        elif kind == "z":
            c.num(register, 0)
        else:
            number(d, c, 0)
            if rng.random() < 0.7:
                c.alu(AND, 0, rng.choice((7, 15, 63)))
            c.mov(register, 0)
    c.call(helper)
    after = rng.randrange(6)
    if after == 0:
        c.jump(EQ, 0, 0, out)
        c.load(rng.choice((1, 4, 8)), 0, 0, 0)
    elif after == 1:
        c.load(8, 0, 10, -64)
    elif after == 2:
        bound(d, c, 0, 64, out)
        c.value(1, "global", 0)
        c.alux(ADD, 1, 0)
        c.load(1, 0, 1, 0)


# What helpers may take, by a letter an argument; see helpers_piece.
_LIKELY = {1: "ms", 2: "ssgz", 3: "ms", 4: "snf", 6: "sn", 16: "sn", 25: "cezsn", 26: "cfsn", 27: "cmz", 28: "snsnz",
           45: "snf", 46: "c", 47: "c", 49: "cnnsn", 57: "cnnsn", 67: "csnz", 69: "csnz", 84: "csnzz", 87: "qsz",
           88: "qs", 89: "qs", 105: "snzs", 106: "snzs", 112: "snf", 113: "snf", 120: "zzsn", 130: "rsnz", 131: "rnz",
           163: "cnszz", 165: "snksn", 177: "snsn", 182: "snk", 188: "c", 189: "cnsn", 190: "cnsn", 195: "psz",
           197: "gnzs", 201: "snszz", 202: "szsnz", 203: "szn", 51: "mnz", 17: "c", 31: "cnz", 181: "nfsz"}


def contexts_piece(d: Draft, c: Code, out: str) -> None:
    """Loads and stores of the context, and of what it points to."""
    rng = d.rng
    for _ in range(rng.randint(1, 4)):
        size = rng.choice((1, 2, 4, 4, 4, 8))
        reach = rng.choice((32, 64, 96, 192, 256))
        offset = rng.randrange(0, reach) // size * size if rng.random() < 0.93 else rng.randrange(-8, 260)
        act = rng.randrange(8)
        if act < 5:
            c.load(size, 0, 6, offset)
        elif act == 5:
            c.load(size, 7, 6, offset)
            if rng.random() < 0.7:
                c.jump(EQ, 7, 0, out)
            c.load(rng.choice((1, 2, 4)), 0, 7, rng.randrange(0, 80, 4))
        elif act == 6:
            c.storek(size, 6, offset, 1)
        else:
            c.num(1, 1)
            c.store(size, 6, offset, 1)
    if rng.random() < 0.1:
        c.add(rng.choice((0x20, 0x28, 0x30, 0x40)), 0, rng.choice((0, 0, 7)), 0, rng.choice((0, 12, 100)))


def dynptrs_piece(d: Draft, c: Code, out: str) -> None:
    """Records of a ring buffer, and values of maps, behind dynptrs."""
    rng = d.rng
    slot = -16 * rng.randint(1, 3)
    wrong = rng.random()
    ring = rng.random() < 0.6
    if ring:
        c.map(1, "ring")
        c.num(2, rng.choice((8, 16, 64)))
        c.num(3, 0)
        c.mov(4, 10)
        c.alu(ADD, 4, slot if wrong > 0.04 else slot + 4)
        c.call(198)
    else:
        c.value(1, "global", 0)
        c.num(2, rng.choice((8, 64, 128, 200)))
        c.num(3, 0)
        c.mov(4, 10)
        c.alu(ADD, 4, slot)
        c.call(197)
    for _ in range(rng.randint(0, 3)):
        act = rng.randrange(5)
        if act == 0:
            c.storek(8, 10, -72, 1)
            c.mov(1, 10)
            c.alu(ADD, 1, slot if rng.random() < 0.95 else slot + 8)
            c.num(2, 0)
            c.mov(3, 10)
            c.alu(ADD, 3, -72)
            c.num(4, rng.choice((8, 8, 4, 80)))
            c.num(5, 0)
            c.call(202)
        elif act == 1:
            c.mov(1, 10)
            c.alu(ADD, 1, -72)
            c.num(2, rng.choice((8, 4, 16)))
            c.mov(3, 10)
            c.alu(ADD, 3, slot)
            c.num(4, 0)
            c.num(5, 0)
            c.call(201)
        elif act == 2:
            c.mov(1, 10)
            c.alu(ADD, 1, slot)
            c.num(2, 0)
            c.num(3, 8)
            c.call(203)
            skip = c.label("s")
            if rng.random() < 0.9:
                c.jump(EQ, 0, 0, skip)
            c.storek(rng.choice((4, 8)), 0, rng.choice((0, 0, 4)), 1)
            c.mov(9, 0)
            c.here(skip)
        elif act == 3 and rng.random() < 0.2:
            c.storek(8, 10, slot, 0)
        elif act == 4 and rng.random() < 0.2:
            c.load(8, 0, 10, slot)
    if rng.random() < (0.9 if ring else 0.05):
        c.mov(1, 10)
        c.alu(ADD, 1, slot)
        c.num(2, 0)
        c.call(rng.choice((199, 200)))
    if rng.random() < 0.08:
        c.mov(1, 10)
        c.alu(ADD, 1, slot)
        c.num(2, 0)
        c.num(3, 8)
        c.call(203)


def timers_piece(d: Draft, c: Code, out: str) -> None:
    """A timer in a map's value, and what it calls."""
    rng = d.rng
    name = rng.choice(("timed", "timed", "timed", "array"))
    lookup(d, c, 0, name, out)
    c.mov(7, 0)
    at = rng.choice((8, 8, 8, 8, 8, 0, 16))
    if rng.random() < 0.9:
        c.mov(1, 7)
        c.alu(ADD, 1, at)
        c.map(2, "timed" if rng.random() < 0.93 else "hash")
        c.num(3, rng.choice((1, 0, 7)))
        c.call(169)
    if not any(one.name == "callback" for one in d.functions):
        f = Code("callback")
        act = rng.randrange(5)
        if act == 0:
            f.load(4, 0, 2, rng.choice((0, 0, 4)))
        elif act == 1:
            f.load(8, 0, 3, rng.choice((0, 0, 24, 8)))
        elif act == 2:
            f.mov(1, 3)
            f.alu(ADD, 1, 8)
            f.num(2, 100)
            f.num(3, 0)
            f.call(171)
        elif act == 3:
            f.storek(8, 3, 0, 4)
        f.num(0, 0 if rng.random() < 0.9 else 1)
        f.add(EXIT)
        d.functions.append(f)
    c.mov(1, 7)
    c.alu(ADD, 1, 8)
    c.function(2, "callback")
    c.call(170)
    c.mov(1, 7)
    c.alu(ADD, 1, 8)
    c.num(2, 1000)
    c.num(3, 0)
    c.call(rng.choice((171, 171, 172)))
    if rng.random() < 0.1:
        c.load(8, 0, 7, 8)


def kfuncs_piece(d: Draft, c: Code, out: str) -> None:
    """Tasks that are acquired and released; sections of RCU and without preemption."""
    rng = d.rng
    section = rng.randrange(6)
    names = {0: ("bpf_rcu_read_lock", "bpf_rcu_read_unlock"),
             1: ("bpf_preempt_disable", "bpf_preempt_enable")}.get(section)
    if names:
        c.kfunc(names[0])
        if rng.random() < 0.1:
            c.kfunc(names[0])
    done = c.label("done")
    if rng.random() < 0.75:
        c.num(1, rng.choice((1, 7)))
        c.kfunc("bpf_task_from_pid")
        if rng.random() < 0.9:
            c.jump(EQ, 0, 0, done)
        c.mov(7, 0)
        for _ in range(rng.randint(0, 2)):
            act = rng.randrange(6)
            if act == 0:
                c.load(rng.choice((4, 8, 1)), 0, 7, rng.choice((0, 8, 16, 24, 64, 1200, 20000)))
            elif act == 1:
                c.mov(1, 7)
                c.kfunc("bpf_task_acquire")
                skip = c.label("s")
                if rng.random() < 0.9:
                    c.jump(EQ, 0, 0, skip)
                c.mov(1, 0)
                if rng.random() < 0.9:
                    c.kfunc("bpf_task_release")
                c.here(skip)
            elif act == 2:
                number(d, c, 0)
            elif act == 3 and rng.random() < 0.2:
                c.storek(8, 7, 16, 0)
            elif act == 4 and rng.random() < 0.3:
                c.mov(1, 7)
                c.alu(ADD, 1, 8)
                c.kfunc("bpf_task_release")
        if rng.random() < 0.92:
            c.mov(1, 7)
            c.kfunc("bpf_task_release")
        if rng.random() < 0.08:
            c.load(8, 0, 7, 16)
    else:
        lookup(d, c, 0, "array", done)
        c.load(8, 0, 0, 8)
    c.here(done)
    if names and rng.random() < 0.9:
        c.kfunc(names[1])


PIECES = {"calls": calls_piece, "contexts": contexts_piece, "dynptrs": dynptrs_piece, "helpers": helpers_piece,
          "iterators": iterators_piece, "kfuncs": kfuncs_piece, "locks": locks_piece, "loops": loops_piece,
          "maps": maps_piece, "packets": packets_piece, "pointers": pointers_piece, "ranges": ranges_piece,
          "references": references_piece, "timers": timers_piece}
