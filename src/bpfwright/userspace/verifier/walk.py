"""The walk: every path of a program, instruction by instruction, until it ends, repeats what is known or is refused."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.userspace.verifier import alu, calls, cfg, contexts, jumps, memory, prune
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.liveness import StackLiveness
from bpfwright.userspace.verifier.precision import mark_chain
from bpfwright.userspace.verifier.profile import Profile
from bpfwright.userspace.verifier.program import Insn, Program, Subprogram
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import UNINIT, Frame, State
from bpfwright.userspace.verifier.values import SCALAR, Reg, known, unknown, zero_offset

__all__ = ["Walk"]

MAX_WAITING = 8192
_LD_IMM64, _CALL, _EXIT, _JA, _JA32 = 0x18, 0x85, 0x95, 0x05, 0x06


class Walk:
    """One verification; what it has seen stands in its fields."""

    __slots__ = ("aux", "calls_callback", "explored", "flow", "id", "insn", "insns", "jumps", "last_insns",
                 "last_jumps", "limit", "previous", "processed", "profile", "program", "state",
                 "subprogram", "trace", "waiting", "scc_visits", "stack_use", "types")

    def __init__(self, program: Program, profile: Profile, trace: Callable[[int, State], None] | None = None
                 ) -> None:
        self.program, self.profile, self.trace, self.limit = program, profile, trace, profile.limit
        self.insns: list[Insn] = program.insns
        self.id = 0
        self.processed = 0
        self.jumps = self.last_jumps = self.last_insns = 0
        self.insn = 0
        self.previous = -1
        self.explored: dict[int, list[State]] = {}
        self.waiting: list[tuple[int, int, State]] = []
        self.state = State()
        self.subprogram = program.subprograms[0]
        self.aux: dict[int, Any] = {}
        self.flow: cfg.Flow
        self.scc_visits: dict[Any, Any] = {}
        self.stack_use = StackLiveness(program.insns, program.subprograms)
        self.types: dict[Any, Any] = {}

    def new_id(self) -> int:
        self.id += 1
        return self.id

    # The whole

    def run(self) -> None:
        """Verify; Rejected when the program is refused."""
        program = self.program
        cfg.check_subprograms(program, self.profile)
        calls.resolve(self)
        self.flow = cfg.check(program, self.profile)
        contexts.check_target(program, self.profile)
        self._main()
        for subprogram in _called_globals(program):
            self._global(subprogram)
        cfg.check_stack(program, self.profile)

    def _main(self) -> None:
        state = self._entry(program_start := self.program.subprograms[0])
        state.frames[0].regs[1] = zero_offset(K.CTX)
        if self.program.kind == contexts.TRACING_FREPLACE:
            calls.arguments_by_btf(self, program_start, state)
        self._explore(state)

    def _global(self, subprogram: Subprogram) -> None:
        state = self._entry(subprogram)
        calls.arguments_by_btf(self, subprogram, state)
        self._explore(state)

    def _entry(self, subprogram: Subprogram) -> State:
        state = State()
        frame = Frame(0, -1, subprogram.index)
        frame.regs[10] = _frame_pointer(0)
        state.frames.append(frame)
        state.branches = 1
        state.sleepable = self.program.sleepable
        state.first = state.insn = subprogram.start
        self.explored = {}
        self.waiting = []
        self.last_jumps, self.last_insns = self.jumps, self.processed
        self.subprogram = subprogram
        self.scc_visits = {}
        frame.chain = (-1 - subprogram.index,)
        return state

    # Paths

    def push(self, target: int, state: State | None = None) -> State:
        """Keep another branch for later: a copy of the state that goes on at `target`."""
        other = state or self.state.copy()
        self.waiting.append((target, self.insn, other))
        if other.parent is not None:
            other.parent.branches += 1
        if len(self.waiting) > MAX_WAITING:
            raise Rejected(R.TOO_COMPLEX, f"more than {MAX_WAITING} branches wait to be followed at once",
                           "fewer paths: bound loops by small constants, or split the program into functions")
        return other

    def _explore(self, state: State) -> None:
        self.state = state
        self.insn, self.previous = state.insn, -1
        while True:
            self._path()
            prune.finish(self, self.state)
            if not self.waiting:
                return
            target, previous, self.state = self.waiting.pop()
            self.insn, self.previous = target, previous

    def _path(self) -> None:
        """Follow one path to its end."""
        insns, flow, trace = self.insns, self.flow, self.trace
        count = len(insns)
        prune_points, handlers, jump_points = flow.prune_points, _HANDLERS, flow.jump_points
        while True:
            index = self.insn
            if not 0 <= index < count:
                raise Rejected(R.STRUCTURE, f"instruction {index} is none of the program's")
            insn = insns[index]
            self.processed += 1
            if self.processed > self.limit:
                raise Rejected(R.TOO_COMPLEX, f"the verifier stops after {self.limit:,} instructions",
                               "fewer steps: bound loops more tightly, or call bpf_loop or a function of one's own")
            state = self.state
            state.insn = index
            if index in prune_points and prune.visited(self, index):
                return
            state = self.state
            if trace is not None:
                trace(index, state)
            state.history.append((index, None))
            if index in jump_points:
                state.jumps += 1
            handler = handlers.get(insn.code)
            if handler is None:
                raise Rejected(R.STRUCTURE, f"opcode {insn.code:#04x} is unknown")
            following = handler(self, insn)
            if following < 0:
                return
            self.previous = index
            self.insn = following

    # What handlers use

    def read(self, number: int) -> Reg:
        """A register that an instruction reads."""
        if number > 10:
            raise Rejected(R.STRUCTURE, f"there is no register r{number}")
        reg = self.state.frames[-1].regs[number]
        if not reg.type:
            raise Rejected(R.UNINITIALISED, f"r{number} is read before anything was stored in it",
                           f"a value in r{number} on every path that comes here", (number,))
        return reg

    def check_written(self, number: int) -> None:
        """A register that an instruction writes."""
        if number >= 10:
            if number > 10:
                raise Rejected(R.STRUCTURE, f"there is no register r{number}")
            raise Rejected(R.STACK, "the frame pointer r10 cannot be written")

    def precise(self, number: int) -> None:
        """The verdict rests on the exact range of this register."""
        mark_chain(self, number)

    def note(self, what: Any) -> None:
        """Say what the instruction that runs did, for tracing values back."""
        history = self.state.history
        index, old = history[-1]
        if old is None:
            history[-1] = (index, (what,))
            if index not in self.flow.jump_points:
                self.state.jumps += 1
        else:
            history[-1] = (index, (*old, what))

    def name_scalar(self, number: int) -> Reg:
        """Give the number in a register an id before it is copied, so that both learn what either does."""
        regs = self.state.frames[-1].regs
        reg = regs[number]
        named = self.named(reg)
        if named is not reg:
            regs[number] = named
        return named

    def named(self, reg: Reg) -> Reg:
        if reg.type != SCALAR:
            return reg
        if reg.id & K.ADD_CONST:
            reg = reg.copy()
            reg.id = reg.off = 0
        if not reg.id and reg.mask:
            reg = reg.copy()
            reg.id = self.new_id()
        return reg

    def kind_of(self, number: int) -> str:
        return K.name(self.state.frames[-1].regs[number].type)


def _frame_pointer(frame: int) -> Reg:
    reg = zero_offset(K.STACK)
    reg.frame = frame
    return reg


def _called_globals(program: Program) -> Any:
    """Global functions that verified code calls, as they come up."""
    done: set[int] = set()
    while True:
        following = next((one for one in program.subprograms[1:]
                          if one.is_global and one.used and one.index not in done), None)
        if following is None:
            return
        done.add(following.index)
        yield following


# Instructions that are neither arithmetic, jumps, memory nor calls

def _load_imm64(w: Walk, insn: Insn) -> int:
    regs = w.state.frames[-1].regs
    w.check_written(insn.dst)
    if insn.off:
        raise Rejected(R.STRUCTURE, "a 64-bit load with a field set that means nothing there")
    if insn.src == 0:
        regs[insn.dst] = known(insn.wide)
    else:
        regs[insn.dst] = memory.address_of(w, insn)
    return w.insn + 2


def _legacy_load(w: Walk, insn: Insn) -> int:
    """ldabs and ldind: a load from the packet that ends the program beyond its end."""
    if w.program.kind not in contexts.LEGACY_LOADS:
        raise Rejected(R.STRUCTURE, "programs of this kind cannot use the old packet loads (ldabs, ldind)")
    if insn.dst or insn.off or insn.code in (0x38, 0x58) or (insn.code & 0xE0 == 0x20 and insn.src):
        raise Rejected(R.STRUCTURE, "an old packet load with a field set that means nothing there")
    state = w.state
    regs = state.frames[-1].regs
    if state.refs or state.locks:
        calls.check_held(w, "an old packet load may end the program")
    if state.preempt or state.rcu or state.irq:
        calls.check_sections(w, "an old packet load may end the program")
    if regs[6].type == 0:
        w.read(6)
    memory.check_offset_is_plain(w, 6)
    if regs[6].type != K.CTX:
        raise Rejected(R.TYPE, "an old packet load takes the context from r6", "the context in r6", (6,))
    if insn.code & 0xE0 == 0x40:
        w.read(insn.src)
    for number in range(6):
        regs[number] = UNINIT
    regs[0] = unknown()
    return w.insn + 1


_HANDLERS: dict[int, Callable[[Walk, Insn], int]] = {}
_HANDLERS.update(alu.HANDLERS)
_HANDLERS.update(jumps.HANDLERS)
_HANDLERS.update(memory.HANDLERS)
_HANDLERS.update(calls.HANDLERS)
_HANDLERS[_LD_IMM64] = _load_imm64
for _size in (0x00, 0x08, 0x10):
    _HANDLERS[0x20 | _size] = _HANDLERS[0x40 | _size] = _legacy_load
