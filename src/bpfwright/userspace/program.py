"""A program loaded in the userspace machine: relocated code, and its runs by one of the engines."""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Mapping
from bpfwright.errors import Fault, NotSupported
from bpfwright.spec.memory import store32
from bpfwright.maps.stores._guards import guard_map
from bpfwright.spec.objects import ProgramSpec
from bpfwright.spec.page import CONTEXT, TAIL_CALLS
from bpfwright.userspace.calls import body_of
from bpfwright.userspace.code import FUNCTIONS, Code
from bpfwright.userspace.counting import Counts
from bpfwright.userspace.coverage import keep
from bpfwright.userspace.guards import guarded
from bpfwright.userspace.interpreter import Interpreter
from bpfwright.userspace.records import note_redirect

if TYPE_CHECKING:
    from bpfwright.userspace.machine import Userspace
    from bpfwright.userspace.native import NativeProgram

__all__ = ["Run", "UserProgram"]

_OF_KERNEL_OBJECTS = frozenset((17, 26, 28, 29))  # bpf_prog_type: raw tracepoints, tracing, extensions, LSM
_WORTH_COMPILING = 100  # runs; compiling takes tens of milliseconds, interpreting a run some hundredths
_EXIT = 0x95
_TAIL_CALL, _MOST_TAIL_CALLS, _PROG_ARRAY_MISS = 12, 33, -2 & (1 << 64) - 1


class Run:
    """What one test run gave; see spec.machine.TestRun."""

    __slots__ = ("context", "data", "duration_ns", "value")

    def __init__(self, value: int, data: bytes, context: bytes, duration_ns: int) -> None:
        self.value = value
        self.data = data
        self.context = context
        self.duration_ns = duration_ns


class UserProgram:
    """See spec.machine.LoadedProgram; `fd` is the machine's number for it."""

    def __init__(self, machine: Userspace, spec: ProgramSpec, code: Code, number: int, *,
                 judge: Callable[[], tuple[bool, frozenset[int]]] | None = None,
                 helpers: Mapping[int, Callable[..., int]] | None = None) -> None:
        self.machine = machine
        self.spec = spec
        self.code = code
        self.fd = number
        self.functions: dict[str, int] = {}  # the first slot of each
        self.verified = False
        self._judge = judge
        self.stage: Any = None
        self.btf: Callable[[], Any] = lambda: None  # the types of the object that it comes from
        self.runs = 0
        self.run_time_ns = 0
        self.probes: frozenset[int] = frozenset()
        self.helpers = dict(helpers or {})
        if spec.type in _OF_KERNEL_OBJECTS:
            self.judge()
        self.interpreter = Interpreter(code, machine.arena, self, probes=self.probes)
        self.strict = None
        if machine.checks == "strict":
            from bpfwright.userspace.strict import Strict
            self.strict = Strict(self)
            self.interpreter.trace = self.strict.step
        self._native: NativeProgram | None = None
        self.counts: Counts | None = None
        self.faulted = False  # a run was stopped in the middle
        if machine.counts:
            self.counts = self.interpreter.counts = Counts(machine.arena, code)

    def place(self, value: Any) -> int:
        """Where an object stands in the machine's memory; it is laid out there unless it is an address already."""
        return self.machine.place(value, self.btf())

    def written(self) -> bytes:
        """What it wrote for the reader of an iterator since the last time."""
        found = bytes(self.machine.sequence)
        self.machine.sequence.clear()
        return found

    def judge(self) -> None:
        """Ask the verifier, once: native code of what it accepts runs unchecked, and loads of kernel objects where
        nothing is give 0. The interpreter always checks: that costs it little."""
        if self._judge is not None:
            judge, self._judge = self._judge, None
            self.verified, self.probes = judge()

    @property
    def id(self) -> int:
        """The machine's number for it."""
        return self.fd

    def test_run(self, data: bytes = b"", *, context: bytes = b"", repeat: int = 1, flags: int = 0, cpu: int = 0,
                 ) -> Run:
        """Run it on a packet or a context, `repeat` times, each on the same input. Raises Fault."""
        from bpfwright._host import now_ns
        machine = self.machine
        machine.arena.bind()
        stage = machine.stage_for(self.spec.type, data, context)
        value, spent = 0, 0
        try:
            stage.enter()
            native = self._engine(repeat)
            before = now_ns()
            if native is not None:
                value = self._guarded(stage, cpu, lambda: native.run(stage.context, cpu, machine.budget, repeat))
            else:
                for _ in range(max(1, repeat)):
                    value = self.run(stage, cpu)
            spent = now_ns() - before
            note_redirect(machine, value & 0xFFFFFFFF)
            left, after = stage.leave()
        finally:
            stage.close()
        self.runs += max(1, repeat)
        self.run_time_ns += spent
        return Run(value & 0xFFFFFFFF, left, after, spent // max(1, repeat))

    def run(self, stage: Any, cpu: int = 0) -> int:
        """Interpret it once on what is laid out; r0."""
        if self.strict is not None:
            self.interpreter.stack_top = self.machine.arena.stack_top(cpu)
            self.strict.begin(stage.context)
        return self._guarded(stage, cpu, lambda: self.interpreter.run(0, (stage.context,), cpu=cpu,
                                                                      budget=self.machine.budget))

    def walk(self, state: int, table: int, most: int) -> int:
        """The next packets of a capture in memory; see hooks.running.traffic.capture_walk."""
        if self.machine.engine == "interpreter":
            from bpfwright.hooks.running.traffic import capture_walk
            return int(capture_walk(state, table, most))
        return self.machine.library().words("capture_walk", 3)(state, table, most)

    def drive(self, stage: Any, kind: str, table: int, count: int, results: int, out: int) -> int:
        """Run it on every packet of a table of (address, bytes); ns that it took. See captures. Raises Fault."""
        from bpfwright._host import now_ns
        machine = self.machine
        native = self.native() if machine.engine != "interpreter" else None
        before = now_ns()
        if native is not None:
            self._guarded(stage, 0, lambda: native.drive(stage.context, machine.budget, table, count, results, out))
        else:
            self._drive_interpreted(stage, kind, table, count, results, out)
        return now_ns() - before

    def _drive_interpreted(self, stage: Any, kind: str, table: int, count: int, results: int, out: int) -> None:
        from bpfwright.hooks.running import traffic
        lay_out, collect = getattr(traffic, f"{kind}_lay_out"), getattr(traffic, f"{kind}_collect")
        for index in range(count):
            source, size = unpack_from("<II", self.machine.arena.memory, table + 8 * index)
            if size:
                lay_out(stage.context, source, size)
            store32(results + 4 * index, self.run(stage) if size else 0xFFFFFFFF)
            if out and size:
                out = collect(stage.context, out)
            elif out:
                store32(out, 0)
                out += 4

    def call(self, *words: int, cpu: int = 0) -> int:
        """Run it on plain words (r1, r2); r0. Nothing is laid out. Raises Fault."""
        machine = self.machine
        machine.arena.bind()
        native = self.native() if machine.engine == "jit" else None
        first, second = (*words, 0, 0)[:2]
        if native is not None:
            return self._guarded(None, cpu, lambda: native.call(first, second, machine.budget, cpu), first)
        if self.strict is not None:
            self.strict.begin(0, 2)
        return self._guarded(None, cpu, lambda: self.interpreter.run(0, words, cpu=cpu, budget=machine.budget),
                             first)

    def call_back(self, address: int, words: tuple[int, ...], cpu: int = 0) -> int:
        """Run one of its functions by the address that the program gave a helper; r0. Raises Fault."""
        slot = address - FUNCTIONS
        if slot not in self.code.starts:
            raise Fault("call", 0, address)
        if self.strict is not None:
            self.strict.begin(0, len(words))
        return self._guarded(None, cpu, lambda: self.interpreter.run(slot, words, cpu=cpu, budget=self.machine.budget))

    def _engine(self, repeat: int) -> NativeProgram | None:
        """Native code, where the machine wants it for so many runs; None: interpret."""
        engine = self.machine.engine
        if engine == "interpreter" or (engine == "auto" and repeat < _WORTH_COMPILING and self._native is None):
            return None
        return self.native()

    def native(self) -> NativeProgram | None:
        """The program as native code; None for what only the interpreter runs."""
        if self._native is None:
            from bpfwright.userspace.native import NativeProgram
            self.judge()
            try:
                self._native = NativeProgram(self)
            except NotSupported:
                if self.machine.engine == "jit":
                    raise
                return None
        return self._native

    def _guarded(self, stage: Any, cpu: int, run: Callable[[], int], context: int = 0) -> int:
        machine = self.machine
        machine.begin(cpu, self.spec)
        machine.set_word(CONTEXT, stage.context if stage is not None else context)
        self.stage = stage
        try:
            value = run()
            held = machine.held()
            if held:
                raise Fault("held", self._end(), why=f"{' and '.join(held)} is still held, or was given back twice")
            return value
        except Fault as fault:
            self.faulted = True
            if fault.line is None:
                raise Fault(fault.kind, fault.instruction, fault.address, why=fault.why or _place(self.code, fault),
                            line=self.code.line_at(fault.instruction)) from None
            raise
        finally:
            self.stage = None

    def _end(self) -> int:
        """Where the last run ended; native code does not say, and mostly has one exit."""
        slots = self.code.slots
        return self.interpreter.ended or next((at for at, each in enumerate(slots) if each and each.opcode == _EXIT), 0)

    def statistics(self) -> tuple[int, int, int]:
        """(runs, ns in all, 0)."""
        return self.runs, self.run_time_ns, 0

    def close(self) -> None:
        """Nothing of it is left."""
        if self._native is not None:
            self._native.close()
            self._native = None
        if self.counts is not None:
            keep(self, self.machine.kept)
            self.counts.close()
            self.counts = self.interpreter.counts = None
        self.machine.forget(self)

    # what the interpreter asks

    def helper(self, number: int, slot: int) -> Any:
        if number == _TAIL_CALL:
            return self._tail_call
        own = self.helpers.get(number)
        if own is not None:
            return lambda interpreter, r: own(*r[1:6])
        try:
            body = body_of(number)
        except NotSupported as error:
            raise Fault("call", slot, why=error.what) from None
        return body if self.verified else guarded(number, body, slot)

    def kernel_function(self, number: int, slot: int) -> Any:
        body = self.machine.kernel_function(number, slot)
        return body if self.verified else guarded(-number, body, slot)

    def packet_bytes(self, context: int, offset: int, size: int) -> bytes | None:
        """Bytes of a packet for the loads of classic BPF; None behind its end."""
        from bpfwright.helpers.bodies.packets import packet_load
        found = packet_load(context, offset, size)
        return None if found < 0 else found.to_bytes(size, "big")

    def tail_target(self, array: int, index: int) -> UserProgram | None:
        """The program that a tail call goes to, which is counted; None when there is none, or there were too many."""
        machine = self.machine
        if not guard_map(array):
            return None
        target = machine.program_in(array, index)
        done = machine.word(TAIL_CALLS)
        if target is None or done >= _MOST_TAIL_CALLS:
            return None
        machine.set_word(TAIL_CALLS, done + 1)
        return target

    def _tail_call(self, interpreter: Interpreter, r: list[int]) -> int | None:
        machine = self.machine
        target = self.tail_target(r[2], r[3] & 0xFFFFFFFF)
        if target is None:
            return _PROG_ARRAY_MISS
        other = target.interpreter
        target.stage = self.stage
        kept = list(other.registers), other.frames, other.stack_top
        other.frames = []
        other.registers[:] = [0, r[1], *([0] * 8), r[10]]
        other.stack_top = interpreter.stack_top
        if target.strict is not None:
            target.strict.begin(r[1])
        try:
            value = other._go(0, machine.budget)
        finally:
            other.registers[:], other.frames, other.stack_top = kept
        r[0] = value  # after that: a program may go on in itself
        return None


def _place(code: Code, fault: Fault) -> str:
    line = code.line_at(fault.instruction)
    return f"{line.file}:{line.line}: {line.source.strip()}" if line else ""
