"""What random programs are written with: code with labels, the maps and types they share, kinds of programs."""
from __future__ import annotations

from random import Random

from bpfwright._abi import bpf as B
from bpfwright.formats.btf import BtfBuilder
from bpfwright.formats.isa.instructions import Instruction
from bpfwright.spec.objects import MapSpec, Relocation


KINDS: dict[str, tuple[int, int]] = {
    "xdp": (B.BPF_PROG_TYPE_XDP, 0), "sched_cls": (B.BPF_PROG_TYPE_SCHED_CLS, 0),
    "socket_filter": (B.BPF_PROG_TYPE_SOCKET_FILTER, 0), "cgroup_skb": (B.BPF_PROG_TYPE_CGROUP_SKB, 0),
    "tracepoint": (B.BPF_PROG_TYPE_TRACEPOINT, 0), "raw_tracepoint": (B.BPF_PROG_TYPE_RAW_TRACEPOINT, 0),
    "perf_event": (B.BPF_PROG_TYPE_PERF_EVENT, 0), "kprobe": (B.BPF_PROG_TYPE_KPROBE, 0),
    "cgroup_sock_addr": (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_INET4_CONNECT),
    "sk_lookup": (B.BPF_PROG_TYPE_SK_LOOKUP, B.BPF_SK_LOOKUP),
}
FEATURES = ("pointers", "ranges", "loops", "maps", "packets", "calls", "references", "locks", "iterators", "helpers",
            "contexts", "dynptrs", "timers", "kfuncs")
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
    opaque = made.add_struct("bpf_timer", 16, [("opaque", made.add_array(ids["u64"], 2), 0, 0)])
    ids["timed"] = made.add_struct("timed", 32, [("a", ids["u64"], 0, 0), ("timer", opaque, 64, 0),
                                                 ("b", ids["u64"], 192, 0)])
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
KFUNCS = ("bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy", "bpf_task_from_pid", "bpf_task_acquire",
          "bpf_task_release", "bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_preempt_disable", "bpf_preempt_enable")
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
        MapSpec("timed", B.BPF_MAP_TYPE_HASH, 4, 32, 4, key_type_id=TYPES["u32"], value_type_id=TYPES["timed"]),
        MapSpec("locked2", B.BPF_MAP_TYPE_HASH, 4, 24, 4, key_type_id=TYPES["u32"], value_type_id=TYPES["locked"]),
    )


MAPS = maps()
