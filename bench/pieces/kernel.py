"""Helpers, contexts, dynptrs, timers and kernel functions."""
from __future__ import annotations

from bench.pieces.values import bound, lookup, number
from bench.random_code import ADD, AND, Code, Draft, EQ, EXIT


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
