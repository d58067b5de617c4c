"""Stops a program anywhere, and goes on in either direction.

A run is reproducible bit by bit, so going back is going again from a checkpoint, up to one instruction less. Positions
are counts of instructions from the beginning of the run.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable, Iterator, NamedTuple
from bpfwright.errors import Fault, UsageError
from bpfwright.formats.isa import text
from bpfwright.spec.objects import LineInfo
from bpfwright.spec.page import CONTEXT
from bpfwright.userspace.arena import FRAME
from bpfwright.userspace.map import UserMap
from bpfwright.userspace.program import UserProgram

__all__ = ["Breakpoint", "Debugger", "Frame", "Position"]

_CALL = 0x85
_EVERY = 512  # instructions between checkpoints
_MOST = 1 << 22  # instructions of a run that is debugged


class _Pause(Exception):
    """The run has come to where it was to stop."""


class Frame(NamedTuple):
    """One function call: where it stands, its frame pointer (r10), and the function's first slot."""

    program: UserProgram
    slot: int
    pointer: int
    function: int


class Position(NamedTuple):
    """Where a run is stopped, before the instruction at `slot`; `fault` says why it ended, if it had to."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses here
    program: UserProgram
    slot: int
    registers: tuple[int, ...]
    frames: tuple[Frame, ...]
    ended: bool = False
    fault: Fault | None = None

    @property
    def line(self) -> LineInfo | None:
        """The source line."""
        return self.program.code.line_at(self.slot)

    @property
    def instruction(self) -> str:
        """The instruction in the kernel's spelling."""
        found = self.program.code.slots[self.slot]
        return text(found) if found is not None else ""


class Breakpoint(NamedTuple):
    """Where to stop: at a source line, at calls of a helper, or when watched bytes have changed.

    `kind` is `line` (file, line), `helper` (number), `map` (the map, key bytes) or `packet` (offset, size).
    """

    kind: str
    first: Any
    second: Any = None

    def __str__(self) -> str:
        if self.kind == "line":
            return f"{self.first}:{self.second}"
        if self.kind == "helper":
            return f"helper {self.first}"
        if self.kind == "map":
            return f"{self.first.spec.name}[{self.second.hex(' ')}]"
        return f"packet bytes {self.first} to {self.first + self.second - 1}"


class _Checkpoint(NamedTuple):
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses here
    slot: int
    registers: tuple[int, ...]
    frames: tuple[tuple[int, tuple[int, ...]], ...]
    rounds: dict[int, int]
    memory: list[tuple[int, bytes]]


class Debugger:
    """A program on one input. It begins stopped before the first instruction; `close` gives its memory back."""

    def __init__(self, program: UserProgram, data: bytes = b"", *, context: bytes = b"", cpu: int = 0) -> None:
        machine = program.machine
        self.program = program
        self.machine = machine
        self.breakpoints: list[Breakpoint] = []
        self._cpu = cpu
        machine.arena.bind()
        self._stage = machine.stage_for(program.spec.type, data, context)
        self._stage.enter()
        self._length = len(data)
        self._checkpoints: list[_Checkpoint] = []
        self._closed = False
        machine.begin(cpu, program.spec)
        machine.set_word(CONTEXT, self._stage.context)
        program.stage = self._stage
        self._first = machine.arena.save()
        self.position = self._go(0)

    # where it is

    @property
    def context(self) -> int:
        """The context's address (r1 at the start)."""
        found: int = self._stage.context
        return found

    def packet(self) -> bytes:
        """The packet, or the record, as it is now."""
        data, context = self._stage.leave()
        return bytes(data or context)

    def places(self) -> Iterator[tuple[str, int, int]]:
        """(name, address, bytes) of what pointers may point to: the packet, the context, maps."""
        memory = self.machine.arena.memory
        bounds = getattr(self._stage, "bounds", None)
        if bounds is not None:
            start, end = bounds(memory)
            yield "packet", start, end - start
        yield "context", self.context, 192
        for thing in self.machine.things():
            if isinstance(thing, UserMap):
                yield f"map {thing.spec.name}", thing.address, thing.room

    def stack(self, frame: int = 0) -> bytes:
        """The 512 bytes of a frame, 0 being the innermost."""
        top = self.position.frames[frame].pointer
        return bytes(self.machine.arena.memory[top - FRAME:top])

    def maps(self) -> Iterator[tuple[str, list[tuple[bytes, bytes]]]]:
        """Each map's entries now, by its name."""
        for thing in self.machine.things():
            if isinstance(thing, UserMap) and thing.key_size:
                yield thing.spec.name, list(thing.items())

    def map_named(self, name: str) -> UserMap:
        """The map of that name. UsageError when there is none."""
        for thing in self.machine.things():
            if isinstance(thing, UserMap) and thing.spec.name == name:
                return thing
        raise UsageError(f"there is no map {name}")

    # going

    def step(self) -> Position:
        """One instruction on."""
        if not self.position.ended:
            self.position = self._go(self.position.count + 1)
        return self.position

    def back(self) -> Position:
        """One instruction back."""
        if self.position.count:
            self.position = self._go(self.position.count - 1)
        return self.position

    def step_line(self, *, over: bool = False) -> Position:
        """To the next source line; with `over`, functions that are called run through."""
        start = self.position
        depth = len(start.frames)

        def there(at: Position) -> bool:
            return _place(at) != _place(start) and at.line is not None and (not over or len(at.frames) <= depth)

        return self._forward(there)

    def back_line(self, *, over: bool = False) -> Position:
        """To the beginning of the line before, in time."""
        start = self.position
        depth = len(start.frames)
        found = self._last_before(start.count, lambda at: _place(at) != _place(start) and at.line is not None
                                  and (not over or len(at.frames) <= depth))
        if found is None:
            self.position = self._go(0)
            return self.position
        place = _place(found)
        first = self._last_before(found.count, lambda at: _place(at) != place)
        self.position = self._go(first.count + 1 if first is not None else 0)
        return self.position

    def finish(self) -> Position:
        """To the caller of the present function."""
        depth = len(self.position.frames)
        return self._forward(lambda at: len(at.frames) < depth)

    def run(self) -> Position:
        """To the next breakpoint, or the end."""
        return self._forward(self._breaks())

    def run_back(self) -> Position:
        """To the breakpoint before, or the beginning."""
        breaks = self._breaks()
        breaks(self._go(0))
        found = self._last_before(self.position.count, breaks)
        self.position = self._go(found.count if found is not None else 0)
        return self.position

    def go(self, count: int) -> Position:
        """To a count of instructions; the end when there are fewer."""
        self.position = self._go(count)
        return self.position

    def close(self) -> None:
        """Undo the run's layout."""
        if not self._closed:
            self._closed = True
            self.program.interpreter.trace = None
            self.program.stage = None
            self._stage.close()

    def __enter__(self) -> Debugger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def look_back(self, visit: Callable[[Position], None]) -> None:
        """Show `visit` each position from the beginning up to the one before the present."""
        here = self.position.count

        def seen(at: Position) -> bool:
            if at.count < here:
                visit(at)
            return at.count >= here

        self._replay(0, seen)

    # the machinery

    def _forward(self, there: Callable[[Position], bool]) -> Position:
        if self.position.ended:
            return self.position
        here = self.position.count
        self.position = self._replay(here, lambda at: at.count > here and there(at))
        return self.position

    def _last_before(self, count: int, holds: Callable[[Position], bool]) -> Position | None:
        found: list[Position] = []

        def look(at: Position) -> bool:
            if at.count >= count:
                return True
            if holds(at):
                found[:] = [at]
            return False

        self._replay(0, look)
        return found[0] if found else None

    def _go(self, count: int) -> Position:
        return self._replay(count, lambda at: at.count >= count)

    def _replay(self, since: int, stop: Callable[[Position], bool]) -> Position:
        """Run from the last checkpoint at or before `since` until `stop` holds, or to the end."""
        arena, interpreter = self.machine.arena, self.program.interpreter
        arena.bind()
        start = next((c for c in reversed(self._checkpoints) if c.count <= since), None)
        paused: list[Position] = []
        counter = [start.count if start is not None else 0]

        def trace(program: UserProgram) -> Callable[[int, list[int]], None]:
            def seen(slot: int, registers: list[int]) -> None:
                at = Position(counter[0], program, slot, tuple(registers), self._frames(program, slot, registers))
                if stop(at):
                    paused.append(at)
                    raise _Pause
                self._keep(at, program)
                counter[0] += 1
                if counter[0] > _MOST:
                    raise Fault("budget", slot)

            return seen

        for thing in self.machine.things():
            if isinstance(thing, UserProgram):
                thing.interpreter.trace = trace(thing)
        try:
            if start is None:
                arena.restore(self._first)
                interpreter.run(0, (self._stage.context,), cpu=self._cpu)
            else:
                arena.restore(start.memory)
                interpreter.registers[:] = start.registers
                interpreter.frames[:] = [(then, list(kept)) for then, kept in start.frames]
                interpreter.rounds = dict(start.rounds)
                interpreter.resume(start.slot)
        except _Pause:
            return paused[0]
        except Fault as fault:
            return self._end(counter[0], fault.instruction, fault)
        finally:
            for thing in self.machine.things():
                if isinstance(thing, UserProgram):
                    thing.interpreter.trace = None
        return self._end(counter[0], self._last_slot(), None)

    def _end(self, count: int, slot: int, fault: Fault | None) -> Position:
        registers = tuple(self.program.interpreter.registers)
        return Position(count, self.program, slot, registers, (), True, fault)

    def _last_slot(self) -> int:
        return max(i for i, each in enumerate(self.program.code.slots) if each is not None)

    def _keep(self, at: Position, program: UserProgram) -> None:
        """A checkpoint now and then, where the run can be taken up again: not inside callbacks."""
        last = self._checkpoints[-1].count if self._checkpoints else 0
        interpreter = self.program.interpreter
        if at.count < last + _EVERY or program is not self.program or interpreter.nested:
            return
        self._checkpoints.append(_Checkpoint(
            at.count, at.slot, at.registers, tuple((then, tuple(kept)) for then, kept in interpreter.frames),
            dict(interpreter.rounds), self.machine.arena.save()))

    def _frames(self, program: UserProgram, slot: int, registers: list[int]) -> tuple[Frame, ...]:
        """The calls, innermost first."""
        interpreter = program.interpreter
        found = [Frame(program, slot, registers[10], _function(program, slot))]
        for then, kept in [*reversed(interpreter.frames), *interpreter.outer]:
            found.append(Frame(program, then - 1, kept[4], _function(program, then - 1)))
        return tuple(found)

    def _breaks(self) -> Callable[[Position], bool]:
        """Whether a position is at a breakpoint; it remembers the position before, for lines and watched bytes."""
        before: list[tuple[Any, ...]] = [()]
        watched = [b for b in self.breakpoints if b.kind in ("map", "packet")]
        values = [self._watched(each) for each in watched]
        lines = {(b.first, b.second) for b in self.breakpoints if b.kind == "line"}
        helpers = {b.first for b in self.breakpoints if b.kind == "helper"}
        before[0] = _place(self.position)

        def holds(at: Position) -> bool:
            place = _place(at)
            entered, before[0] = place != before[0], place
            hit = entered and any(place[1] == line and _matches(place[0], file) for file, line in lines)
            if helpers:
                instruction = at.program.code.slots[at.slot]
                hit |= (instruction is not None and instruction.opcode == _CALL and instruction.src == 0
                        and instruction.imm in helpers)
            for index, each in enumerate(watched):
                now = self._watched(each)
                hit |= now != values[index]
                values[index] = now
            return hit

        return holds

    def _watched(self, each: Breakpoint) -> bytes | None:
        if each.kind == "map":
            found: bytes | None = each.first.lookup(each.second)
            return found
        return self.packet()[each.first:each.first + each.second]


def _place(at: Position) -> tuple[Any, ...]:
    line = at.line
    return (line.file, line.line, len(at.frames)) if line is not None else ("", at.slot, len(at.frames))


def _matches(path: str, asked: str) -> bool:
    """Whether a file's path is, or ends in, the one that was asked for."""
    return path == asked or path.endswith("/" + asked.lstrip("/"))


def _function(program: UserProgram, slot: int) -> int:
    return max(start for start in program.code.starts if start <= slot)
