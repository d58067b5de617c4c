"""A program in a replay: its context and packet are the recorded ones, and the world answers as it did."""
from __future__ import annotations

from struct import pack_into, unpack_from

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Mapping
from bpfwright.errors import ReplayError, UsageError
from bpfwright.formats.isa import Instruction
from bpfwright.formats.recording import Recorded, Run
from bpfwright.recording.helpers import GATES, STACK_ID, WORLD, WORLD_FUNCTIONS
from bpfwright.recording.layout import FUNCTION, LOAD
from bpfwright.userspace.interpreter import Interpreter
from bpfwright.userspace.kernel_functions import NAMES
from bpfwright.userspace.program import UserProgram

if TYPE_CHECKING:
    from bpfwright.recording.replay import Replay

__all__ = ["FIRST_FUNCTION", "ReplayProgram", "RunStage"]

FIRST_FUNCTION = 1 << 16  # numbers of kernel functions whose results are recorded
_EFAULT, _SKB_LOAD, _PULL = -14, 26, 39
_DATA, _DATA_END, _LEN, _META = 76, 80, 0, 140  # struct __sk_buff
_PACKETS = {1: 14, 3: 0, 4: 0, 6: 0, 8: 14}
"""Programs (bpf_prog_type) that see packets, and the bytes in front that were not recorded as they do not see them."""
_SKBS = (1, 3, 4, 8)
_WORD = (1 << 64) - 1

Body = Callable[[Any, list[int]], "int | None"]


class RunStage:
    """A recorded run, laid out; see hooks.running._stage. How many of its notes were used stands in the machine's
    memory, so that a debugger that goes back finds them again."""

    def __init__(self, machine: Replay, recorded: Recorded, run: Run) -> None:
        self.run = run
        self._machine = machine
        self._recorded = recorded
        self._arena = machine.arena
        hidden = _PACKETS.get(recorded.kind, -1)
        self.packet = hidden >= 0
        data = bytes(max(hidden, 0)) + run.packet.ljust(min(run.length, 1 << 16), b"\0") if self.packet else b""
        self._inner = machine.plain_stage(recorded.kind, data, b"" if self.packet else self._context())
        self.context: int = self._inner.context
        self._mark = self._arena.allocate(16, owned=False)
        # Nothing is allotted while a run goes on: a debugger that goes back finds the memory as it was.
        most = max((len(entry.data) for entry in run.entries if entry.what == STACK_ID), default=0)
        self.trace = self._arena.allocate(most + 8, owned=False) if most else 0

    def _context(self) -> bytes:
        size = max((offset + width for offset, width in self._recorded.fields), default=8)
        memory = bytearray(-(-size // 8) * 8)
        for (offset, width), value in zip(self._recorded.fields, self.run.context, strict=True):
            memory[offset:offset + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        return bytes(memory)

    def enter(self) -> None:
        self._inner.enter()
        memory = self._arena.memory
        pack_into("<QQ", memory, self._mark, 0, 0)
        self._machine.now_ns = self.run.time_ns
        if not self.packet:
            return
        for (offset, width), value in zip(self._recorded.fields, self.run.context, strict=True):
            if offset + width <= 192:
                at = self.context + offset
                memory[at:at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        if self._recorded.kind not in _SKBS:
            data, _ = unpack_from("<II", memory, self.context)
            self._cut(data + len(self.run.packet), data + self.run.length)
            return
        data, end = unpack_from("<II", memory, self.context + _DATA)
        if self._recorded.kind != 1:
            end = min(end, data + self.run.linear)
            pack_into("<I", memory, self.context + _DATA_END, end)
        self._cut(min(end, data + len(self.run.packet)), data + self.run.length)

    def _cut(self, start: int, end: int) -> None:
        """No direct access to what is not linear, or was not kept."""
        if start < end:
            self._arena.forbid(start, end - start)
            data = unpack_from("<I", self._arena.memory, self.context + (_DATA if self._recorded.kind in _SKBS else 0))
            if start > data[0]:
                self._arena.allow(data[0], start - data[0])

    def take(self, what: int, strict: bool, where: str) -> Any:
        """The next note, which must be about `what`; where programs may have changed, the next one that is. None when
        there is none."""
        memory, entries = self._arena.memory, self.run.entries
        used = unpack_from("<Q", memory, self._mark)[0]
        place = used
        while not strict and place < len(entries) and entries[place].what != what:
            place += 1
        if place < len(entries) and entries[place].what == what:
            pack_into("<Q", memory, self._mark, place + 1)
            return entries[place]
        if not strict:
            return None
        found = name_of(entries[place].what, self._recorded) if place < len(entries) else "ended"
        if self.run.overflowed and place >= len(entries):
            raise ReplayError(f"run {self.run.number} of {self._recorded.name} cannot be replayed",
                              why="it found more than a record has room for")
        raise ReplayError(f"run {self.run.number} of {self._recorded.name} goes another way than it did",
                          why=f"it asks {name_of(what, self._recorded)}{where}, where it had {found}",
                          cure="Replay the program that was recorded, on what it was recorded with, or "
                               "replay with strict=False.")

    @property
    def left(self) -> int:
        """How many notes the program has not asked for."""
        return len(self.run.entries) - int(unpack_from("<Q", self._arena.memory, self._mark)[0])

    def skb_load(self, offset: int, to: int, size: int) -> int:
        """bpf_skb_load_bytes() from all of the packet, linear or not."""
        memory = self._arena.memory
        data = unpack_from("<I", memory, self.context + _DATA)[0]
        if offset + size > self.run.length:
            memory[to:to + size] = bytes(size)
            return _EFAULT
        if offset + size > len(self.run.packet):
            raise ReplayError(f"run {self.run.number} of {self._recorded.name} reads byte {offset + size - 1} of a "
                              "packet", why=f"{len(self.run.packet)} of its {self.run.length} bytes were kept")
        memory[to:to + size] = memory[data + offset:data + offset + size]
        return 0

    def pull(self, size: int) -> int:
        """bpf_skb_pull_data(): more of the packet becomes linear."""
        memory = self._arena.memory
        data, end = unpack_from("<II", memory, self.context + _DATA)
        wanted = min(size or end - data, self.run.length)
        if size > self.run.length:
            return -12
        if wanted > end - data:
            pack_into("<I", memory, self.context + _DATA_END, data + wanted)
            self._arena.allow(data, min(wanted, len(self.run.packet)))
        return 0

    @property
    def untouched(self) -> bool:
        """Whether the packet is as it came, so that its bytes may be read where they were laid."""
        return not self.run.length <= self.run.linear

    def leave(self) -> tuple[bytes, bytes]:
        found: tuple[bytes, bytes] = self._inner.leave()
        return found

    @property
    def bounds(self) -> Callable[[Any], tuple[int, int]] | None:
        """What says where the packet's first byte is and the one behind its last; None where there is no packet."""
        found: Callable[[Any], tuple[int, int]] | None = getattr(self._inner, "bounds", None)
        return found

    def close(self) -> None:
        self._inner.close()
        for place in (self._mark, *[self.trace] * bool(self.trace)):
            self._arena.release(place)


def name_of(what: int, recorded: Recorded) -> str:
    """An entry's kind in words."""
    from bpfwright._abi.helpers import HELPER_NAMES
    if what & LOAD:
        return f"a load of {what & ~LOAD} bytes of the kernel's"
    if what & FUNCTION:
        place = what & ~FUNCTION
        return f"{recorded.functions[place]}()" if place < len(recorded.functions) else "a kernel function"
    return f"bpf_{HELPER_NAMES.get(what, what)}()"


class _Interpreter(Interpreter):
    """Loads from elsewhere find what they found."""

    loads: frozenset[int] = frozenset()

    def _load(self, slot: int, i: Instruction) -> Any:
        if slot not in self.loads:
            return super()._load(slot, i)
        then, d, what, program = slot + 1, i.dst, LOAD | i.row.width // 8, self.host

        def load(r: list[int]) -> int:
            entry = program.ask(what, slot)
            r[d] = entry.result if entry is not None else 0
            return then

        return load


class ReplayProgram(UserProgram):
    """See spec.machine.LoadedProgram. It runs recorded runs, one by one."""

    machine: Replay

    def __init__(self, machine: Replay, spec: Any, code: Any, recorded: Recorded | None,
                 starts: Mapping[str, int]) -> None:
        super().__init__(machine, spec, code, 0)
        self.recorded = recorded
        self.interpreter = made = _Interpreter(code, machine.arena, self)
        if recorded is not None:
            made.loads = frozenset(starts[name] + place for name, places in recorded.loads.items() if name in starts
                                   for place in places)
        if self.counts is not None:
            made.counts = self.counts

    def replay(self, run: Run) -> int:
        """Run it once more as it ran; r0. Raises ReplayError."""
        if self.recorded is None:
            raise UsageError(f"{self.spec.name} is not in this recording")
        from bpfwright._host import now_ns
        machine = self.machine
        machine.arena.bind()
        before = now_ns()
        stage = RunStage(machine, self.recorded, run)
        try:
            stage.enter()
            value = self.run(stage, run.cpu % machine.arena.cpus)
            if machine.strict and stage.left and not run.overflowed:
                raise ReplayError(f"run {run.number} of {self.spec.name} goes another way than it did",
                                  why=f"it ended, where it had {name_of(run.entries[-stage.left].what, self.recorded)}")
        finally:
            stage.close()
        self.runs += 1
        self.run_time_ns += now_ns() - before
        return value

    def ask(self, what: int, slot: int) -> Any:
        """What the run found; None where it is no recorded one."""
        stage = self.stage
        if not isinstance(stage, RunStage):
            return None
        line = self.code.line_at(slot)
        return stage.take(what, self.machine.strict, f" at {line.file}:{line.line}" if line is not None else "")

    def helper(self, number: int, slot: int) -> Any:
        if number in WORLD:
            return self._world(number, slot)
        if number == STACK_ID:
            return self._stack(slot)
        usual = super().helper(number, slot)
        if number in GATES:
            return self._gate(number, slot, usual)
        return self._packet(number, usual) if number in (_SKB_LOAD, _PULL) else usual

    def _world(self, number: int, slot: int) -> Body:
        room = WORLD[number]

        def found(interpreter: Any, r: list[int]) -> int | None:
            entry = self.ask(number, slot)
            if entry is None:  # no recorded run, or a changed program that asks what it did not ask then
                usual: Body = UserProgram.helper(self, number, slot)
                return usual(interpreter, r)
            if room is not None:
                self._write(r[room[0]], entry.data, r[room[1]] & 0xFFFFFFFF if room[1] > 0 else -room[1])
            result: int = entry.result
            return result

        return found

    def _write(self, to: int, data: bytes, room: int) -> None:
        arena = self.machine.arena
        if len(data) > room or to + len(data) > arena.half:
            raise ReplayError(f"a run of {self.spec.name} goes another way than it did",
                              why=f"{len(data)} bytes were found, where there is room for {room}")
        arena.memory[to:to + len(data)] = data

    def _gate(self, number: int, slot: int, usual: Body) -> Body:
        def through(interpreter: Any, r: list[int]) -> int | None:
            entry = self.ask(number, slot)
            if entry is not None and (entry.result == 0) == (number == 131):
                return int(entry.result)  # there was no room
            return usual(interpreter, r)

        return through

    def _stack(self, slot: int) -> Body:
        def capture(interpreter: Any, r: list[int]) -> int:
            entry = self.ask(STACK_ID, slot)
            if entry is None:
                return _EFAULT
            if not entry.result >> 63:
                from bpfwright.userspace.stores import store_of
                keep = getattr(store_of(7), "keep")  # noqa: B009  # of stack traces alone
                data, place = entry.data, self.stage.trace
                self.machine.arena.memory[place:place + len(data)] = data
                keep(r[2], entry.result & 0xFFFFFFFF, place, len(data))
            return int(entry.result)

        return capture

    def _packet(self, number: int, usual: Body) -> Body:
        def packet(interpreter: Any, r: list[int]) -> int | None:
            stage = self.stage
            if not isinstance(stage, RunStage) or not stage.untouched:
                return usual(interpreter, r)
            if number == _PULL:
                return stage.pull(r[2] & 0xFFFFFFFF)
            return stage.skb_load(r[2] & 0xFFFFFFFF, r[3], r[4] & 0xFFFFFFFF)

        return packet

    def kernel_function(self, number: int, slot: int) -> Any:
        if number < FIRST_FUNCTION:
            name = NAMES.get(number, "")
            if name not in WORLD_FUNCTIONS:
                return super().kernel_function(number, slot)
        else:
            name = self.machine.function_names[number - FIRST_FUNCTION]
        functions = self.recorded.functions if self.recorded is not None else ()
        what = FUNCTION | (functions.index(name) if name in functions else 0xFFFF)

        def found(interpreter: Any, r: list[int]) -> int:
            entry = self.ask(what, slot)
            return int(entry.result) if entry is not None else 0

        return found
