"""The abstract machine: frames with registers and stack, held references and locks, and where it stands on its path."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.userspace.verifier.kinds import ADD_CONST, BASE, MARKS, S_SPILL, SCALAR
from bpfwright.userspace.verifier.values import NOT_INIT, Reg, known

__all__ = ["Frame", "Reference", "Slot", "State", "UNINIT"]

UNINIT = known(0)
UNINIT.type = NOT_INIT


class Slot(NamedTuple):
    """Eight bytes of the stack; never changed in place. `kinds` are those of its bytes, the highest address first;
    `reg` is what was spilled there, or what a dynptr or iterator in it is."""

    kinds: bytes
    reg: Reg | None = None

    @property
    def spilled(self) -> bool:
        return self.kinds[7] == S_SPILL


class Reference(NamedTuple):
    """Something acquired and not yet released: `kind` is `ref`, `lock`, `irq`."""

    kind: str
    id: int
    insn: int
    obj: Any = None


class Frame:
    """A function's registers and stack (8-byte slots, slot 0 on top: fp-8)."""

    __slots__ = ("callback", "callback_depth", "callsite", "chain", "depth", "is_async", "number", "regs", "returns",
                 "stack", "subprog")

    def __init__(self, number: int, callsite: int, subprog: int) -> None:
        self.number, self.callsite, self.subprog = number, callsite, subprog
        self.regs: list[Reg] = [UNINIT] * 11
        self.stack: dict[int, Slot] = {}
        self.chain: tuple[int, ...] = (callsite,)     # of the calls that led here
        self.depth = 0                          # bytes of stack in use
        self.callback = False
        self.is_async = False
        self.callback_depth = 0
        self.returns: tuple[int, int] | None = None     # what a callback may return

    def copy(self) -> Frame:
        new = Frame.__new__(Frame)
        new.number, new.callsite, new.subprog = self.number, self.callsite, self.subprog
        new.regs = self.regs[:]
        new.stack = self.stack.copy()
        new.chain = self.chain
        new.depth = self.depth
        new.callback, new.is_async, new.callback_depth = self.callback, self.is_async, self.callback_depth
        new.returns = self.returns
        return new


class State:
    """Everything known at one point of one path.

    `history` lists (instruction, flags) since the checkpoint `parent`; `precise` pairs, by frame, masks of registers
    and stack slots whose exact ranges the verdict of this checkpoint rests on.
    """

    __slots__ = ("branches", "callback_unroll", "first", "frames", "history", "in_async", "insn", "irq", "jumps",
                 "locks", "may_goto", "parent", "precise", "preempt", "rcu", "refs", "scc", "sleepable", "cleaned",
                 "misses", "hits")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.insn = 0
        self.first = 0
        self.refs: tuple[Reference, ...] = ()
        self.locks = self.rcu = self.preempt = self.irq = 0
        self.sleepable = False
        self.parent: State | None = None
        self.branches = 0
        self.history: list[tuple[int, Any]] = []
        self.jumps = 0
        self.precise: list[list[int]] = []
        self.may_goto = self.callback_unroll = 0
        self.in_async = 0
        self.scc: Any = None
        self.cleaned = False
        self.misses = self.hits = 0

    def copy(self) -> State:
        new = State.__new__(State)
        new.frames = [frame.copy() for frame in self.frames]
        new.insn, new.first, new.refs = self.insn, self.first, self.refs
        new.locks, new.rcu, new.preempt, new.irq = self.locks, self.rcu, self.preempt, self.irq
        new.sleepable = self.sleepable
        new.parent = self.parent
        new.branches = 0
        new.history = self.history[:]
        new.jumps = self.jumps
        new.precise = []
        new.may_goto, new.callback_unroll, new.in_async = self.may_goto, self.callback_unroll, self.in_async
        new.scc = None
        new.cleaned = False
        new.misses = new.hits = 0
        return new

    @property
    def frame(self) -> Frame:
        """The function that runs."""
        return self.frames[-1]

    @property
    def regs(self) -> list[Reg]:
        return self.frames[-1].regs


def replace_all(state: State, wanted: Any, change: Any) -> None:
    """Replace every register and spilled register for which `wanted(reg)` by `change(reg)`."""
    for frame in state.frames:
        regs = frame.regs
        for number in range(10):
            if wanted(regs[number]):
                regs[number] = change(regs[number])
        for index, slot in frame.stack.items():
            if slot.reg is not None and slot.kinds[7] == S_SPILL and wanted(slot.reg):
                frame.stack[index] = Slot(slot.kinds, change(slot.reg))


def text(reg: Reg) -> str:
    """A register as the kernel's log prints it."""
    from bpfwright.userspace.verifier.kinds import CTX, MAP_KEY, MAP_PTR, MAP_VALUE, MEM, PACKET, PACKET_META, name
    from bpfwright.userspace.verifier.values import HIGH, S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32, U64, s64
    if reg.type == SCALAR and not reg.mask:
        return str(s64(reg.value))
    parts = []
    if reg.id:
        parts.append(f"id={reg.id & ~ADD_CONST}" + (f"+{reg.off}" if reg.id & ADD_CONST else ""))
    if reg.ref:
        parts.append(f"ref_obj_id={reg.ref}")
    if reg.type != SCALAR and reg.off:
        parts.append(f"off={reg.off}")
    base = reg.type & BASE
    if base in (PACKET, PACKET_META):
        parts.append(f"r={reg.range}")
    if base in (MAP_VALUE, MAP_KEY, MAP_PTR) and reg.obj is not None:
        parts.append(f"map={reg.obj.name}")
        if base == MAP_VALUE:
            parts.append(f"vs={reg.obj.value_size}")
    if base == MEM:
        parts.append(f"sz={reg.range}")
    if reg.mask:
        for label, low, high, least, most in (("", reg.smin, reg.smax, S64_MIN, S64_MAX),
                                              ("32", reg.s32min, reg.s32max, S32_MIN, S32_MAX)):
            if low != least:
                parts.append(f"smin{label}={low}")
            if high != most:
                parts.append(f"smax{label}={high}")
        if reg.umin:
            parts.append(f"umin={reg.umin}")
        if reg.umax != U64:
            parts.append(f"umax={reg.umax:#x}" if reg.umax > 65535 else f"umax={reg.umax}")
        if reg.u32min and reg.u32min != reg.umin:
            parts.append(f"umin32={reg.u32min}")
        if reg.u32max not in (U32, reg.umax):
            parts.append(f"umax32={reg.u32max}")
        if reg.mask != U64 and not (reg.mask & HIGH == HIGH and reg.mask & U32 == U32):
            parts.append(f"var_off=({reg.value:#x}; {reg.mask:#x})")
    return f"{name(reg.type)}({','.join(parts)})" if parts or reg.type != CTX else name(reg.type)


def slot_text(slot: Slot) -> str:
    """A stack slot as the log prints it: the kinds of its bytes, or what is spilled in it."""
    if slot.spilled and slot.reg is not None:
        return text(slot.reg)
    return "".join(MARKS[kind] for kind in slot.kinds)
