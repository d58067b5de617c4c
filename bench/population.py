"""Random programs for measuring a verifier: templates by feature, then mutations; knows nothing of any checker.

Every program is an ObjectSpec that a kernel can be shown. A stratum is a kind of program and a feature.
"""
from __future__ import annotations

from random import Random

from bpfwright._abi import bpf as B
from bpfwright.formats.btf import BtfBuilder
from bpfwright.formats.isa.instructions import Instruction, encode
from bpfwright.spec.objects import Extern, Function, MapSpec, ObjectSpec, ProgramSpec, Relocation

__all__ = ["FEATURES", "KINDS", "generate", "mutate"]

KINDS: dict[str, tuple[int, int]] = {
    "xdp": (B.BPF_PROG_TYPE_XDP, 0), "sched_cls": (B.BPF_PROG_TYPE_SCHED_CLS, 0),
    "socket_filter": (B.BPF_PROG_TYPE_SOCKET_FILTER, 0), "cgroup_skb": (B.BPF_PROG_TYPE_CGROUP_SKB, 0),
    "tracepoint": (B.BPF_PROG_TYPE_TRACEPOINT, 0), "raw_tracepoint": (B.BPF_PROG_TYPE_RAW_TRACEPOINT, 0),
    "perf_event": (B.BPF_PROG_TYPE_PERF_EVENT, 0), "kprobe": (B.BPF_PROG_TYPE_KPROBE, 0),
    "cgroup_sock_addr": (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_INET4_CONNECT),
    "sk_lookup": (B.BPF_PROG_TYPE_SK_LOOKUP, B.BPF_SK_LOOKUP),
}
FEATURES = ("pointers", "ranges", "loops", "maps", "packets", "calls", "references", "locks", "iterators", "helpers",
            "contexts")
# Kinds that are drawn for contexts and helpers only.
MORE_KINDS: dict[str, tuple[int, int]] = {
    "cgroup_sock": (B.BPF_PROG_TYPE_CGROUP_SOCK, B.BPF_CGROUP_INET_SOCK_CREATE),
    "sock_ops": (B.BPF_PROG_TYPE_SOCK_OPS, B.BPF_CGROUP_SOCK_OPS), "sk_skb": (B.BPF_PROG_TYPE_SK_SKB, 0),
    "sk_msg": (B.BPF_PROG_TYPE_SK_MSG, 0), "lwt_xmit": (B.BPF_PROG_TYPE_LWT_XMIT, 0),
    "lwt_in": (B.BPF_PROG_TYPE_LWT_IN, 0), "cgroup_device": (B.BPF_PROG_TYPE_CGROUP_DEVICE, B.BPF_CGROUP_DEVICE),
    "flow_dissector": (B.BPF_PROG_TYPE_FLOW_DISSECTOR, 0),
    "cgroup_sysctl": (B.BPF_PROG_TYPE_CGROUP_SYSCTL, B.BPF_CGROUP_SYSCTL),
    "cgroup_sockopt": (B.BPF_PROG_TYPE_CGROUP_SOCKOPT, B.BPF_CGROUP_SETSOCKOPT),
    "sk_reuseport": (B.BPF_PROG_TYPE_SK_REUSEPORT, B.BPF_SK_REUSEPORT_SELECT),
    "cgroup_connect6": (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_INET6_CONNECT),
    "cgroup_recvmsg4": (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_UDP4_RECVMSG),
    "netfilter": (B.BPF_PROG_TYPE_NETFILTER, B.BPF_NETFILTER),
}
ALL_KINDS = KINDS | MORE_KINDS
# Where a kind's context holds the packet's start and end; offsets of plain words in it.
_PACKET = {"xdp": (0, 4), "sched_cls": (76, 80), "cgroup_skb": (76, 80)}
_WORDS = {"xdp": (12, 16), "sched_cls": (0, 4, 8, 16, 40, 48), "socket_filter": (0, 4, 16, 40), "perf_event": (),
          "cgroup_skb": (0, 4, 16, 40), "tracepoint": (8, 12, 16, 24), "raw_tracepoint": (), "kprobe": (),
          "cgroup_sock_addr": (0, 4, 24), "sk_lookup": (8, 12, 16)}
_LONGS = {"raw_tracepoint": (0, 8, 16), "kprobe": (0, 8, 40, 112), "tracepoint": (8, 16), "perf_event": (0, 40, 168)}
_LOCKING = ("xdp", "sched_cls", "cgroup_skb", "cgroup_sock_addr")
_SOCKETS = ("xdp", "sched_cls", "cgroup_sock_addr")

MOVK, MOVX, MOVK32, MOVX32, CALL, EXIT, JA = 0xB7, 0xBF, 0xB4, 0xBC, 0x85, 0x95, 0x05
LDX = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
LDXS = {1: 0x91, 2: 0x89, 4: 0x81}
STX = {1: 0x73, 2: 0x6B, 4: 0x63, 8: 0x7B}
ST = {1: 0x72, 2: 0x6A, 4: 0x62, 8: 0x7A}
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, MOD, XOR, ARSH = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xA0, 0xC0
EQ, GT, GE, SET, NE, SGT, SGE, LT, LE, SLT, SLE = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)
COMPARISONS = (EQ, GT, GE, SET, NE, SGT, SGE, LT, LE, SLT, SLE)


class Code:
    """One function being written: instructions, relocations, labels."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.insns: list[Instruction] = []
        self.slots = 0
        self.relocations: list[Relocation] = []
        self.labels: dict[str, int] = {}
        self.jumps: list[tuple[int, int, str]] = []
        self.fresh = 0

    def add(self, opcode: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0, high: int = 0) -> None:
        self.insns.append(Instruction(opcode, dst, src, off, imm, high))
        self.slots += 2 if opcode == 0x18 else 1

    def mov(self, dst: int, src: int) -> None:
        self.add(MOVX, dst, src)

    def num(self, dst: int, value: int) -> None:
        self.add(MOVK, dst, imm=value)

    def alu(self, op: int, dst: int, value: int, wide: bool = True) -> None:
        self.add((7 if wide else 4) | op, dst, imm=value)

    def alux(self, op: int, dst: int, src: int, wide: bool = True) -> None:
        self.add((0xF if wide else 0xC) | op, dst, src)

    def load(self, size: int, dst: int, src: int, off: int) -> None:
        self.add(LDX[size], dst, src, off)

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        self.add(STX[size], dst, src, off)

    def storek(self, size: int, dst: int, off: int, value: int) -> None:
        self.add(ST[size], dst, 0, off, value)

    def label(self, name: str = "") -> str:
        """A new label's name."""
        self.fresh += 1
        return f"{name}{self.fresh}"

    def here(self, label: str) -> None:
        self.labels[label] = self.slots

    def jump(self, op: int, dst: int, value: int, label: str, wide: bool = True) -> None:
        self.jumps.append((len(self.insns), self.slots, label))
        self.add((5 if wide else 6) | op, dst, imm=value)

    def jumpx(self, op: int, dst: int, src: int, label: str, wide: bool = True) -> None:
        self.jumps.append((len(self.insns), self.slots, label))
        self.add((0xD if wide else 0xE) | op, dst, src)

    def goto(self, label: str) -> None:
        self.jumps.append((len(self.insns), self.slots, label))
        self.add(JA)

    def call(self, helper: int) -> None:
        self.add(CALL, imm=helper)

    def map(self, dst: int, name: str) -> None:
        self.relocations.append(Relocation(self.slots, "map", name))
        self.add(0x18, dst)

    def value(self, dst: int, name: str, offset: int) -> None:
        self.relocations.append(Relocation(self.slots, "data", name, offset))
        self.add(0x18, dst)

    def own(self, name: str) -> None:
        self.relocations.append(Relocation(self.slots, "call", name))
        self.add(CALL, src=1)

    def function(self, dst: int, name: str) -> None:
        self.relocations.append(Relocation(self.slots, "func", name))
        self.add(0x18, dst)

    def kfunc(self, name: str) -> None:
        self.relocations.append(Relocation(self.slots, "kfunc", name))
        self.add(CALL, src=2)

    def done(self) -> list[Instruction]:
        for index, slot, label in self.jumps:
            self.insns[index] = self.insns[index]._replace(offset=self.labels[label] - slot - 1)
        return self.insns


class Draft:
    """A program being written: its functions, what it uses."""

    def __init__(self, rng: Random, kind: str) -> None:
        self.rng, self.kind = rng, kind
        self.main = Code("main")
        self.functions: list[Code] = []
        self.kfuncs: set[str] = set()


def _types() -> tuple[bytes, dict[str, int]]:
    """BTF of functions that take numbers, and of values with a lock."""
    made = BtfBuilder()
    ids = {"u64": made.add_int("u64", 8), "u32": made.add_int("u32", 4), "int": made.add_int("int", 4, signed=True)}
    word = made.add_int("unsigned int", 4)
    lock = made.add_struct("bpf_spin_lock", 4, [("val", word, 0, 0)])
    ids["locked"] = made.add_struct("locked", 24, [("a", ids["u64"], 0, 0), ("lock", lock, 64, 0),
                                                   ("b", ids["u32"], 96, 0), ("c", ids["u64"], 128, 0)])
    record = made.add_struct("record", 16, [("a", ids["u64"], 0, 0), ("b", ids["u64"], 64, 0)])
    pointer = made.add_pointer(record)
    numbers = made.add_prototype(ids["int"], [(name, ids["u64"]) for name in "abc"])
    memory = made.add_prototype(ids["int"], [("record", pointer), ("n", ids["u64"])])
    void = made.add_prototype(0, [("n", ids["u64"])])
    for name in FUNCTIONS:
        ids[name] = made.add_function(name, numbers, linkage=0)
    ids["global_numbers"] = made.add_function("global_numbers", numbers, linkage=1)
    ids["global_memory"] = made.add_function("global_memory", memory, linkage=1)
    kernel = {name: made.add_function(name, void) for name in KFUNCS}
    return made.build(), ids | kernel


FUNCTIONS = ("main", "one", "two", "three", "four", "five", "six", "seven", "eight", "callback", "visit")
KFUNCS = ("bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy")
BTF, TYPES = _types()


def maps() -> tuple[MapSpec, ...]:
    """The maps that programs choose from."""
    return (
        MapSpec("array", B.BPF_MAP_TYPE_ARRAY, 4, 64, 16), MapSpec("hash", B.BPF_MAP_TYPE_HASH, 8, 48, 64),
        MapSpec("percpu", B.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 4), MapSpec("lru", B.BPF_MAP_TYPE_LRU_HASH, 4, 8, 64),
        MapSpec("queue", B.BPF_MAP_TYPE_QUEUE, 0, 16, 8), MapSpec("ring", B.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),
        MapSpec("global", B.BPF_MAP_TYPE_ARRAY, 4, 128, 1),
        MapSpec("constant", B.BPF_MAP_TYPE_ARRAY, 4, 32, 1, flags=B.BPF_F_RDONLY_PROG,
                contents=bytes(range(3, 35)), frozen=True),
        MapSpec("outer", B.BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4, inner=MapSpec("inner", B.BPF_MAP_TYPE_ARRAY, 4, 24, 4)),
        MapSpec("events", B.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2),
        MapSpec("tails", B.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4),
        MapSpec("locked", B.BPF_MAP_TYPE_ARRAY, 4, 24, 4, key_type_id=TYPES["u32"], value_type_id=TYPES["locked"]),
        MapSpec("locked2", B.BPF_MAP_TYPE_HASH, 4, 24, 4, key_type_id=TYPES["u32"], value_type_id=TYPES["locked"]),
    )


MAPS = maps()


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
    helper = rng.choice((1, 2, 3, 4, 5, 6, 8, 14, 15, 16, 17, 25, 26, 27, 28, 31, 35, 45, 46, 47, 49, 51, 57, 67, 69, 80,
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


PIECES = {"helpers": helpers_piece, "contexts": contexts_piece, "pointers": pointers_piece, "ranges": ranges_piece, "loops": loops_piece, "maps": maps_piece,
          "packets": packets_piece, "calls": calls_piece, "references": references_piece, "locks": locks_piece,
          "iterators": iterators_piece}


def strata() -> list[tuple[str, str]]:
    """Every kind of program with every feature that it can have."""
    more = [(kind, feature) for kind in MORE_KINDS for feature in ("helpers", "contexts")]
    return more + [(kind, feature) for kind in KINDS for feature in FEATURES
            if not (feature == "locks" and kind not in _LOCKING) and not (
                feature == "packets" and kind not in _PACKET)
            and not (feature == "iterators" and kind in ("socket_filter", "sk_lookup"))]


def generate(rng: Random, kind: str, feature: str) -> ObjectSpec:
    """One program of a stratum."""
    d = Draft(rng, kind)
    c = d.main
    out = "out"
    c.mov(6, 1)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        others = ("maps", "pointers") if kind in MORE_KINDS else ("ranges", "maps", "pointers")
        piece = PIECES[feature if rng.random() < 0.85 else rng.choice(others)]
        piece(d, c, out)
    if rng.random() < 0.02:
        c.map(2, "tails")
        c.mov(1, 6)
        c.num(3, 1)
        c.call(12)
    if rng.random() < 0.97:
        c.num(0, rng.choice((0, 1, 1, 1)))
    last = c.label("last")
    c.goto(last)
    c.here(out)
    c.num(0, 1)
    c.here(last)
    c.add(EXIT)
    return assemble(d)


def assemble(d: Draft) -> ObjectSpec:
    functions = tuple(Function(code.name, encode(code.done()), tuple(code.relocations), type_id=TYPES[code.name],
                               is_global=code.name.startswith("global"))
                      for code in (d.main, *d.functions))
    return spec_of(functions, d.kind)


def spec_of(functions: tuple[Function, ...], kind: str) -> ObjectSpec:
    number, attach = ALL_KINDS[kind]
    wanted = {one.name for function in functions for one in function.relocations if one.kind == "kfunc"}
    externs = tuple(Extern(name, "kfunc", TYPES[name], False) for name in sorted(wanted))
    return ObjectSpec((ProgramSpec("main", "main", kind, number, attach),), functions, MAPS, externs, BTF)


# Mutations: what goes wrong in hand-written and compiled programs

def mutate(rng: Random, spec: ObjectSpec) -> ObjectSpec:
    """One to three changes of instructions."""
    functions = list(spec.functions)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        which = rng.randrange(len(functions))
        functions[which] = _changed(rng, functions[which])
    return spec._replace(functions=tuple(functions))


def _changed(rng: Random, function: Function) -> Function:
    code = bytearray(function.insns)
    count = len(code) // 8
    fixed = {one.index for one in function.relocations}
    wide = {at + 1 for at in range(count) if code[8 * at] == 0x18 and (at + 1) not in fixed}
    places = [at for at in range(count) if at not in fixed and at not in wide and code[8 * at] != 0x18]
    if not places:
        return function
    at = rng.choice(places)
    opcode, registers = code[8 * at], code[8 * at + 1]
    offset = int.from_bytes(code[8 * at + 2:8 * at + 4], "little", signed=True)
    imm = int.from_bytes(code[8 * at + 4:8 * at + 8], "little", signed=True)
    kind = opcode & 7
    jump = kind in (5, 6) and opcode not in (0x85, 0x95)
    way = rng.randrange(8)
    if jump:
        if way < 3 and opcode & 0xF0 not in (0x00, 0xE0):
            opcode = opcode & 0x0F | rng.choice(COMPARISONS)
        elif way == 3:
            offset += rng.choice((1, -1, 2))
        elif way == 4 and opcode not in (0x05, 0x06, 0xE5):
            opcode, registers, offset, imm = 0x05, 0, 0, 0       # the check is dropped
        elif way == 5 and opcode not in (0x05, 0x06, 0xE5) and not opcode & 8:
            imm += rng.choice((1, -1, 8, -8, 100))
        elif way == 6 and opcode not in (0x05, 0x06, 0xE5):
            opcode ^= 3                                           # the other width
        else:
            registers = _other_register(rng, registers)
    elif kind in (1, 2, 3):
        if way < 3:
            offset += rng.choice((1, -1, 4, -4, 8, -8, 64, -64))
        elif way < 5:
            opcode = opcode & ~0x18 | rng.choice((0, 8, 0x10, 0x18))
        else:
            registers = _other_register(rng, registers)
    elif opcode == 0x85:
        if way < 4:
            opcode, registers, imm = 0xB7, 0, 0                   # the call (a release, say) is dropped
        elif registers >> 4 == 0:
            imm = rng.choice((1, 2, 3, 5, 7, 8, 14, 25, 44, 86, 93, 94, 112, 131, 132, 133, imm + 1, imm - 1))
    elif kind in (4, 7):
        if way < 3 and not opcode & 8:
            imm += rng.choice((1, -1, 8, -8, 16, -imm, 1 << 16))
        elif way == 3:
            opcode ^= 3
        elif way < 6 and opcode & 0xF0 not in (0x80, 0xB0, 0xD0):
            opcode = opcode & 0x0F | rng.choice((ADD, SUB, MUL, OR, AND, LSH, RSH, MOD, XOR, ARSH))
        else:
            registers = _other_register(rng, registers)
    else:
        registers = _other_register(rng, registers)
    code[8 * at:8 * at + 8] = (bytes((opcode & 0xFF, registers)) + (offset & 0xFFFF).to_bytes(2, "little")
                               + (imm & 0xFFFFFFFF).to_bytes(4, "little"))
    return function._replace(insns=bytes(code))


def _other_register(rng: Random, registers: int) -> int:
    if rng.random() < 0.5:
        return registers & 0xF0 | rng.randrange(11)
    return registers & 0x0F | rng.randrange(11) << 4
