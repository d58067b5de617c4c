"""Packets, and what must be given back: records, sockets, locks."""
from __future__ import annotations

from bench.pieces.values import bound, lookup, memory, number
from bench.random_code import ADD, AND, Code, Draft, EQ, GE, GT, LE, LSH, LT, NE, SGT, SUB, _PACKET, _SOCKETS


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
