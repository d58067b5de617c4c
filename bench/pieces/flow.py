"""Loops, calls and iterators."""
from __future__ import annotations

from bench.pieces.values import bound, lookup, number
from bench.random_code import ADD, AND, Code, Draft, EQ, EXIT, GE, GT, MUL, NE, RSH, SGE, SGT, SUB, _LONGS, _WORDS


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
