"""Variables of a stopped run, by the names of the source: where the object's DWARF says that they are.

Compilers keep a variable only as long as it is needed. Where it is gone, what it was when it was last seen is told, and
said to be that.
"""
from __future__ import annotations

from bpfwright._typing import Iterator, NamedTuple
from bpfwright.formats.dwarf import Type, Variable, read_variables
from bpfwright.userspace.arena import FRAME
from bpfwright.userspace.code import Code
from bpfwright.userspace.debugger import Debugger, Position
from bpfwright.userspace.showing import describe_value

__all__ = ["Shown", "Variables"]

U64 = (1 << 64) - 1
_MOST_FIELDS = 256
_LONGEST_PAST = 100_000  # instructions that are run again to see what a variable was


class Shown(NamedTuple):
    """A variable, or a part of one: `since` is the count of instructions at which it was last seen, -1 for now.
    `part` leads to what is inside: where that lies and of which type it is."""

    name: str
    type: str
    value: str
    since: int = -1
    part: tuple[int, Type] | None = None


class Variables:
    """What the source calls the values of a run. `elf` is the object that the program comes from."""

    def __init__(self, debugger: Debugger, elf: bytes) -> None:
        self._debugger = debugger
        starts = debugger.program.functions
        self._by_start = {starts[name]: _once(found) for name, found in read_variables(elf).items() if name in starts}
        self._frames: dict[int, int] = {}
        self._past: dict[tuple[int, str], tuple[int, int]] = {}
        self._seen = -1

    def shown(self, frame: int = 0) -> list[Shown]:
        """The variables of a frame (0: the innermost) at the present position, those that are inlined here too."""
        position = self._debugger.position
        if position.ended or frame >= len(position.frames):
            return []
        if position.frames[frame].program is not self._debugger.program:
            return []  # a tail call's: another object may have made it
        start = position.frames[frame].function
        slot = position.frames[frame].slot - start
        registers = position.registers if frame == 0 else self._saved(frame)
        found = []
        for variable in self._visible(start, slot, position.frames[frame].slot):
            value = self._value(variable, slot, registers, start)
            if value is not None:
                found.append(self._show(variable.name, variable.type, *value))
            elif (past := self._last(start, variable.name)) is not None:
                number, since = past
                found.append(self._show(variable.name, variable.type, number, False)._replace(since=since))
            else:
                gone = "not here" if variable.places else "optimised away"
                found.append(Shown(variable.name, repr(variable.type), gone))
        return found

    def inside(self, part: tuple[int, Type]) -> list[Shown]:
        """The members of a struct, the elements of an array, or what a pointer points to."""
        address, kind = part
        if kind.kind == "struct":
            found = []
            for field in kind.fields[:_MOST_FIELDS]:
                if field.bits:
                    word = self._read(address + field.offset, field.type.size or 4)
                    number = int.from_bytes(word, "little") >> field.shift & (1 << field.bits) - 1 if word else None
                    found.append(Shown(field.name, f"{field.type!r}:{field.bits}",
                                       "not readable" if number is None else str(number)))
                else:
                    found.append(self._show(field.name, field.type, address + field.offset, True))
            return found
        if kind.kind == "array" and kind.target is not None:
            return [self._show(f"[{index}]", kind.target, address + index * kind.target.size, True)
                    for index in range(min(kind.count, _MOST_FIELDS))]
        return [self._show("*", kind, address, True)]

    # which, and where

    def _visible(self, start: int, slot: int, whole: int) -> Iterator[Variable]:
        """The variables in whose blocks an instruction stands; an inner one hides its namesakes further out.

        Our compiler inlines before LLVM does, into one block: there the variables are those of the function, in the
        source, whose line this is.
        """
        line = self._debugger.position.program.code.line_at(whole)
        inside = [v for v in self._by_start.get(start, ()) if any(first <= slot < end for first, end in v.inside)]
        if line is not None and line.file.endswith(".py"):
            here = [v for v in inside if v.file.endswith(line.file) or line.file.endswith(v.file)]
            first = max((v.line for v in here if v.line <= line.line), default=-1)
            inside = [v for v in here if v.line == first]
        names = {variable.name: variable for variable in inside}
        yield from names.values()

    def _saved(self, frame: int) -> tuple[int | None, ...]:
        """The registers of a function that waits for another: r6 to r10 are what they were."""
        interpreter = self._debugger.position.program.interpreter
        kept = [kept for _, kept in [*reversed(interpreter.frames), *interpreter.outer]]
        if frame > len(kept):
            return (None,) * 11
        return (*[None] * 6, *kept[frame - 1][:5])

    def _value(self, variable: Variable, slot: int, registers: tuple[int | None, ...], start: int,
               ) -> tuple[int, bool] | None:
        """(number, False), or (address, True) when it lies in memory; None where it is nowhere."""
        for place in variable.places:
            if place.first <= slot < place.end:
                return self._evaluate(place.expression, registers, start)
        return None

    def _evaluate(self, expression: tuple[tuple[str, tuple[object, ...]], ...], registers: tuple[int | None, ...],
                  start: int) -> tuple[int, bool] | None:
        stack: list[int] = []
        memory = True
        for name, operands in expression:
            op = name.removeprefix("DW_OP_")
            given = [each for each in operands if isinstance(each, int)]
            if op.startswith("reg") and op[3:].isdigit():
                value = _register(registers, int(op[3:]))
                return None if value is None or len(expression) > 1 else (value, False)
            if op.startswith("breg") and op[4:].isdigit():
                value = _register(registers, int(op[4:]))
                if value is None:
                    return None
                # LLVM counts places on the stack from the frame's low end, though it names its high one, r10.
                below = self._frame_size(start) if op == "breg10" and given[0] >= 0 else 0
                stack.append(value + given[0] - below & U64)
            elif op.startswith("lit") and op[3:].isdigit():
                stack.append(int(op[3:]))
            elif op.startswith("const") and given:
                stack.append(given[0] & U64)
            elif op == "stack_value":
                memory = False
            elif op == "plus_uconst":
                stack.append(stack.pop() + given[0] & U64)
            elif op == "convert":
                size, signed = given
                number = stack.pop() & (1 << 8 * size) - 1
                stack.append((number - (1 << 8 * size) if signed and number >> (8 * size - 1) else number) & U64)
            elif op == "dup":
                stack.append(stack[-1])
            elif op == "swap":
                stack[-1], stack[-2] = stack[-2], stack[-1]
            elif op in ("deref", "deref_size"):
                word = self._read(stack.pop(), given[0] if given else 8)
                if not word:
                    return None
                stack.append(int.from_bytes(word, "little"))
            elif op in ("neg", "not"):
                stack.append((-stack.pop() if op == "neg" else ~stack.pop()) & U64)
            elif op in _TWO and len(stack) > 1:
                right = stack.pop()
                stack.append(_TWO[op](stack.pop(), right) & U64)
            else:
                return None  # pieces, values at the function's entry, thread-local storage
        return (stack[-1], memory) if stack else None

    def _frame_size(self, start: int) -> int:
        """How many bytes of stack a function uses."""
        known = self._frames.get(start)
        if known is None:
            code = self._debugger.program.code
            known = self._frames[start] = _reach(code, start)
        return known

    # the past

    def _last(self, start: int, name: str) -> tuple[int, int] | None:
        """(number, count of instructions) of when a variable was last somewhere, in this call or one before."""
        position = self._debugger.position
        if position.count > _LONGEST_PAST:
            return None
        if self._seen != position.count:
            self._seen = position.count
            self._past.clear()
            self._debugger.look_back(self._note)
        return self._past.get((start, name))

    def _note(self, at: Position) -> None:
        frame = at.frames[0]
        slot = frame.slot - frame.function
        for variable in self._by_start.get(frame.function, ()):
            value = self._value(variable, slot, at.registers, frame.function)
            if value is not None and not value[1]:
                self._past[frame.function, variable.name] = value[0], at.count

    # what it looks like

    def _show(self, name: str, kind: Type, number: int, memory: bool) -> Shown:
        if kind.kind in ("struct", "array", "unknown"):
            address = number
            text = self._read(address, min(kind.size, 64)) or b""
            if kind.kind == "array" and kind.target is not None and kind.target.kind == "char" and text:
                shown = repr(text.split(b"\0")[0].decode("utf-8", "replace"))
            else:
                shown = text.hex(" ") if text else describe_value(self._debugger, self._debugger.position, address)
            return Shown(name, repr(kind), shown, part=(address, kind) if text else None)
        if memory:
            word = self._read(number, kind.size)
            if not word:
                return Shown(name, repr(kind), "not readable")
            number = int.from_bytes(word, "little")
        return Shown(name, repr(kind), self._scalar(kind, number), part=self._target(kind, number))

    def _target(self, kind: Type, number: int) -> tuple[int, Type] | None:
        if kind.kind != "pointer" or kind.target is None or not kind.target.size or not self._read(number, 1):
            return None
        return number, kind.target

    def _scalar(self, kind: Type, number: int) -> str:
        bits = 8 * (kind.size or 8)
        number &= (1 << bits) - 1
        if kind.kind == "bool":
            return "True" if number & 1 else "False"
        if kind.kind == "pointer":
            if not number:
                return "None"
            return f"{number:#x} ({describe_value(self._debugger, self._debugger.position, number)})"
        signed = number - (1 << bits) if number >> (bits - 1) else number
        if kind.kind == "enum":
            return kind.members.get(number, kind.members.get(signed, str(signed)))
        return str(signed if kind.kind in ("int", "char") else number)

    def _read(self, address: int, size: int) -> bytes:
        """Bytes of the machine's memory; empty where there is none."""
        memory = self._debugger.machine.arena.memory
        if address <= 0 or address + size > self._debugger.machine.arena.size or size <= 0:
            return b""
        return bytes(memory[address:address + size])


_TWO = {"plus": lambda a, b: a + b, "minus": lambda a, b: a - b, "mul": lambda a, b: a * b, "and": lambda a, b: a & b,
        "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b, "shl": lambda a, b: a << min(b, 64),
        "shr": lambda a, b: a >> min(b, 64), "shra": lambda a, b: (a - (1 << 64) if a >> 63 else a) >> min(b, 64)}


def _register(registers: tuple[int | None, ...], number: int) -> int | None:
    return registers[number] if number < len(registers) else None


def _once(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Without parameters that our compiler keeps as variables too, under the same name."""
    last = {(v.name, v.line, v.depth): v for v in variables}
    return tuple(v for v in variables if last[v.name, v.line, v.depth] is v)


def _reach(code: Code, start: int) -> int:
    """The deepest byte of its frame that a function names: by a load or store, or by `rX = r10; rX += -N`."""
    end = next((each for each in code.starts if each > start), len(code.slots))
    deepest, copy = 0, -1
    for slot in range(start, end):
        i = code.slots[slot]
        if i is None:
            continue
        kind = i.opcode & 7
        if (kind == 1 and i.src == 10) or (kind in (2, 3) and i.dst == 10):
            deepest = max(deepest, -i.offset)
        if i.opcode == 0x07 and i.dst == copy:
            deepest = max(deepest, -i.imm)
        copy = i.dst if i.opcode == 0xBF and i.src == 10 else -1
    return min(-(-deepest // 8) * 8, FRAME)
