"""The recording build of a program: the same instructions, which also write down what they found in the world.

A run is determined by its context, its packet, the values it loads from memory that is not its own, and the results of
helpers that look at the world; maps are the program's own doing, and user space's, which the recorder notes. So a copy
of the linked program is made, whoever compiled it:

- it becomes a function under a new entry, which opens a record (context, packet), calls it, and sends the record;
- each call of such a helper becomes a call of a function that calls the helper and notes its result. It takes one
  instruction, as before, so nothing moves;
- behind each load from elsewhere a call is inserted that notes the value.

That is less machinery than a second program that walks the same fields at the same hook, and unlike it misses nothing:
the values are those that the program itself saw. Notes go into a slot of memory for each CPU, since a record that was
reserved in a ring could not be handed to functions and callbacks. The verifier sees plain functions, and judges them.
"""
from __future__ import annotations

from struct import pack, unpack_from

from bpfwright._abi.helpers import HELPER_NAMES
from bpfwright._typing import NamedTuple
from bpfwright.errors import NotSupported
from bpfwright.formats.btf.reader import Btf
from bpfwright.formats.isa import Instruction, decode, encode
from bpfwright.recording.helpers import ALONE, GATES, PROGRAM_TYPES, STACK_ID, WORLD, WORLD_FUNCTIONS
from bpfwright.recording.layout import (CONTROL, CUT, FUNCTION, HEADER, LENGTH_AT, LOAD, MOST_OUT, MOST_PACKET,
                                        OVERFLOW, ROOM, SHIFT, SLOT)
from bpfwright.recording.liveness import Liveness
from bpfwright.recording.origins import find_origins, following
from bpfwright.spec.linking import reachable
from bpfwright.userspace.calls import body_of
from bpfwright.spec.objects import Function, LineInfo, MapSpec, ObjectSpec, ProgramSpec, Relocation

__all__ = ["COUNTER", "RING", "Plan", "instrument"]

COUNTER, RING = "bpfwright_runs", "bpfwright_kept"
_ITERATOR = 28  # bpf_attach_type
_ARRAY, _FIRST = 2, CONTROL + HEADER.size
_CPU, _CLOCK, _READ_KERNEL, _SKB_LOAD, _SEND, _GET_STACK = 8, 5, 113, 26, 130, 67
_TEXTS = frozenset((45, 114, 115))
_MOST_STACK, _FRAMES = 512, 127 * 8
_LDX = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
_JUMPS = {"==": 0x15, ">": 0x25, "!=": 0x55, "<": 0xA5, "s<": 0xC5, "s>": 0x65}
_NO_WAKEUP = 1


class Plan(NamedTuple):
    """What a reader of one program's records has to know. `number` is the program's in the recording; `fields` are
    (offset, bytes) of the context, `loads` by function the instructions whose values are noted, `functions` the kernel
    functions whose results are, `reached` all functions of the program."""

    name: str
    number: int
    kind: int
    fields: tuple[tuple[int, int], ...]
    loads: dict[str, tuple[int, ...]]
    functions: tuple[str, ...]
    reached: tuple[str, ...]


def instrument(spec: ObjectSpec, cpus: int, first: int, wanted: list[ProgramSpec]) -> tuple[ObjectSpec, list[Plan]]:
    """A recording build of an object whose CO-RE relocations are applied. `first` is the number of its first program,
    `cpus` how many CPUs there can be. Raises NotSupported for what cannot be recorded."""
    btf, type_id = _with_static_function(spec.btf) if spec.btf else (b"", 0)
    functions = {function.name: function for function in spec.functions}
    made: list[Function] = []
    maps = [*spec.maps]
    programs: list[ProgramSpec] = []
    plans: list[Plan] = []
    for number, program in enumerate(wanted, first):
        build = _Build(program, functions, number, cpus, type_id)
        made += build.functions()
        plans.append(build.plan())
        maps.append(MapSpec(build.scratch, _ARRAY, 4, SLOT * build.slots, 1))
        programs.append(program._replace(function=build.entry))
    maps += [MapSpec(COUNTER, _ARRAY, 4, 8, 1, 1 << 10), MapSpec(RING, 27, 0, 0, 1 << 25)]
    return spec._replace(programs=tuple(programs), functions=tuple(made), maps=tuple(maps), btf=btf), plans


def _with_static_function(btf: bytes) -> tuple[bytes, int]:
    """Types with one more: a static function that takes nothing and gives an int."""
    header, types_at, types, strings_at, strings = unpack_from("<IIIII", btf, 4)
    known = Btf(btf).count
    name = strings
    words = pack("<IIII", name, 1 << 24, 4, 1 << 24 | 32)  # int
    words += pack("<III", 0, 13 << 24, known + 1)  # its prototype
    words += pack("<III", name + 4, 12 << 24, known + 2)  # static
    added = b"int\0recorded\0"
    body = btf[header + types_at:header + types_at + types] + words
    text = btf[header + strings_at:header + strings_at + strings] + added
    head = btf[:4] + pack("<IIIII", 24, 0, len(body), len(body), len(text))
    return head + body + text, known + 3


class _Code:
    """Instructions by name, with labels."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.relocations: list[Relocation] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, int, str]] = []
        self._slots = 0

    def add(self, opcode: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> None:
        self.code.append(Instruction(opcode, dst, src, offset, imm))
        self._slots += self.code[-1].slots

    def move(self, dst: int, src: int) -> None:
        self.add(0xBF, dst, src)

    def number(self, dst: int, value: int) -> None:
        self.add(0xB7, dst, imm=value)

    def plus(self, dst: int, value: int) -> None:
        self.add(0x07, dst, imm=value)

    def plus_register(self, dst: int, src: int) -> None:
        self.add(0x0F, dst, src)

    def load(self, size: int, dst: int, base: int, offset: int) -> None:
        self.add(_LDX[size], dst, base, offset)

    def store(self, size: int, base: int, offset: int, src: int) -> None:
        self.add(_LDX[size] + 2, base, src, offset)

    def store_number(self, size: int, base: int, offset: int, value: int) -> None:
        self.add(_LDX[size] + 1, base, 0, offset, value)

    def fetch_add(self, size: int, base: int, offset: int, src: int) -> None:
        self.add(0xC3 if size == 4 else 0xDB, base, src, offset, 1)

    def call(self, helper: int) -> None:
        self.add(0x85, imm=helper)

    def call_named(self, kind: str, name: str) -> None:
        self.relocations.append(Relocation(self._slots, kind, name))
        self.add(0x85, src=1 if kind == "call" else 2, imm=-1)

    def address(self, dst: int, kind: str, map_name: str) -> None:
        self.relocations.append(Relocation(self._slots, kind, map_name))
        self.add(0x18, dst)

    def jump(self, how: str, register: int, value: int, label: str) -> None:
        self._jumps.append((len(self.code), self._slots, label))
        self.add(_JUMPS[how], register, imm=value)

    def label(self, name: str) -> None:
        self._labels[name] = self._slots

    def leave(self) -> None:
        self.add(0x95)

    def insns(self) -> bytes:
        for place, at, label in self._jumps:
            self.code[place] = self.code[place]._replace(offset=self._labels[label] - at - 1)
        return encode(self.code)


class _Build:
    """One program's recording build."""

    def __init__(self, program: ProgramSpec, functions: dict[str, Function], number: int, cpus: int,
                 type_id: int) -> None:
        if program.type not in PROGRAM_TYPES or program.expected_attach_type == _ITERATOR:
            raise NotSupported(f"runs of {program.name} cannot be recorded",
                               why=f"programs of section {program.section!r} have a context that is not understood")
        self.program = program
        self.number = number
        self.all = functions
        self.names = reachable(program.function, functions)
        self.origins = find_origins(program.function, functions, self.names, program.type)
        self.liveness = Liveness(functions, following)
        self.slots = 1 << (cpus - 1).bit_length()
        self.entry = f"{program.function}@{number}"
        self.scratch = f"bpfwright_slot{number}"
        self.type_id = type_id
        self.calls: dict[str, int] = {}  # functions that note a helper's result, or a load's, and which
        self.kernel_functions: list[str] = []

    def plan(self) -> Plan:
        return Plan(self.program.name, self.number, self.program.type, self.origins.fields,
                    {name: tuple(sorted(loads)) for name, loads in self.origins.loads.items() if loads},
                    tuple(self.kernel_functions), tuple(self.names))

    def functions(self) -> list[Function]:
        """All that the program is made of now."""
        made = [self._copied(self.all[name]) for name in self.names]
        made += [self._note(name, what) for name, what in self.calls.items()]
        return [self._main(), self._open(), self._send(), *made]

    def _own(self, name: str) -> str:
        return f"{name}@{self.number}{'.body' if name == self.program.function else ''}"

    def _function(self, name: str, code: _Code, *, type_id: int | None = None) -> Function:
        lines = self.all[self.program.function].lines[:1]
        at_start = tuple(LineInfo(0, *line[1:]) for line in lines)
        return Function(name, code.insns(), tuple(code.relocations), (), self.type_id if type_id is None else type_id,
                        at_start, False)

    # the program's own functions

    def _copied(self, function: Function) -> Function:
        """A function with its calls turned, and notes behind its loads from elsewhere."""
        loads = self.origins.loads.get(function.name, {})
        relocations = {r.index: r for r in function.relocations}
        depth = -(-self.origins.depth.get(function.name, 0) // 8) * 8
        moved: dict[int, int] = {}
        out: list[Instruction] = []
        slots = 0
        made: list[Relocation] = []
        jumps: list[tuple[int, int, int]] = []  # place in `out`, slot before, slot aimed at before
        for at, i in decode(function.insns):
            moved[at] = slots
            relocation = relocations.get(at)
            if i.opcode == 0x85:
                i, relocation = self._turned(i, relocation)
            if relocation is not None:
                named = relocation.name
                if relocation.kind in ("call", "func") and named in self.names:
                    named = self._own(named)
                made.append(Relocation(slots, relocation.kind, named, relocation.offset))
            target = _jump_target(at, i, relocation)
            if target is not None:
                jumps.append((len(out), slots, target))
            out.append(i)
            slots += i.slots
            if at in loads:
                live = self.liveness.behind(function.name, at)
                held = tuple(number for number in loads[at] if live >> number & 1)
                added, place = self._noting(i, held, depth)
                made.append(Relocation(slots + place, "call", self._helper_name(LOAD | i.row.width // 8)))
                out += added
                slots += len(added)
        for place, at, target in jumps:
            i = out[place]
            step = moved[target] - at - 1
            out[place] = i._replace(imm=step) if i.opcode == 0x06 else i._replace(offset=step)
        lines = tuple(LineInfo(moved[line.index], *line[1:]) for line in function.lines if line.index in moved)
        is_entry = function.name == self.program.function
        return Function(self._own(function.name), encode(out), tuple(made), (),
                        self.type_id if is_entry else function.type_id, lines,
                        False if is_entry else function.is_global)

    def _turned(self, i: Instruction, relocation: Relocation | None) -> tuple[Instruction, Relocation | None]:
        """A call of a helper or kernel function that looks at the world: to the function that notes its result."""
        if relocation is not None and relocation.kind == "kfunc":
            return self._turned_kernel_function(i, relocation)
        if i.src or relocation is not None:
            return i, relocation
        if i.imm in ALONE:
            raise NotSupported(f"runs of {self.program.name} cannot be recorded", why=f"it uses {ALONE[i.imm]}")
        if i.imm in WORLD or i.imm in GATES or i.imm == STACK_ID:
            return i._replace(src=1, imm=-1), Relocation(0, "call", self._helper_name(i.imm))
        try:
            if i.imm in HELPER_NAMES:  # others stand where no run comes: the verifier has seen to it
                body_of(i.imm)
        except NotSupported as error:
            raise NotSupported(f"runs of {self.program.name} cannot be recorded", why=error.what) from None
        return i, None

    def _turned_kernel_function(self, i: Instruction, relocation: Relocation) -> tuple[Instruction, Relocation]:
        from bpfwright.userspace.kernel_functions import NUMBERS
        if relocation.name in WORLD_FUNCTIONS:
            if relocation.name not in self.kernel_functions:
                self.kernel_functions.append(relocation.name)
            what = FUNCTION | self.kernel_functions.index(relocation.name)
            return i._replace(src=1, imm=-1), Relocation(0, "call", self._helper_name(what))
        if relocation.name not in NUMBERS:
            raise NotSupported(f"runs of {self.program.name} cannot be recorded",
                               why=f"it calls {relocation.name}(), whose effect is not known here")
        return i, relocation

    def _helper_name(self, what: int) -> str:
        name = f"note{what}@{self.number}"
        self.calls[name] = what
        return name

    def _noting(self, i: Instruction, held: tuple[int, ...], depth: int) -> tuple[list[Instruction], int]:
        """Behind a load: what r0 to r5 hold goes onto the stack, the value to a function, and back they come."""
        keep = sorted({*held, *([i.dst] if i.dst < 6 else [])})
        if depth + 8 * len(keep) > _MOST_STACK:
            raise NotSupported(f"runs of {self.program.name} cannot be recorded",
                               why="its stack has no room for the registers that a note needs")
        code = _Code()
        for place, register in enumerate(keep, 1):
            code.store(8, 10, -depth - 8 * place, register)
        code.move(1, i.dst)
        at = len(code.code)
        code.add(0x85, src=1, imm=-1)
        for place, register in enumerate(keep, 1):
            code.load(8, register, 10, -depth - 8 * place)
        return code.code, at

    # what is added

    def _main(self) -> Function:
        code = _Code()
        code.move(6, 1)
        code.call_named("call", f"open@{self.number}")
        code.move(1, 6)
        code.call_named("call", self._own(self.program.function))
        code.move(6, 0)
        code.call_named("call", f"send@{self.number}")
        code.move(0, 6)
        code.leave()
        return self._function(self.entry, code, type_id=self.all[self.program.function].type_id)

    def _slot(self, code: _Code) -> None:
        """r9: this CPU's slot; r0: its number."""
        code.call(_CPU)
        code.add(0x57, 0, imm=self.slots - 1)
        code.move(1, 0)
        code.add(0x67, 1, imm=SHIFT)
        code.address(9, "data", self.scratch)
        code.plus_register(9, 1)

    def _open(self) -> Function:
        """Number the run, and keep its context and packet."""
        code = _Code()
        code.move(6, 1)
        self._slot(code)
        code.address(2, "data", COUNTER)
        code.number(3, 1)
        code.fetch_add(8, 2, 0, 3)
        code.number(1, 1)
        code.fetch_add(4, 9, 0, 1)
        code.jump("!=", 1, 0, "inside")
        code.store_number(4, 9, 4, 0)
        code.store(8, 9, CONTROL, 3)
        code.store(4, 9, CONTROL + 24, 0)
        code.store_number(4, 9, CONTROL + 28, self.number)
        for offset in range(36, HEADER.size, 4):
            code.store_number(4, 9, CONTROL + offset, 0)
        code.call(_CLOCK)
        code.store(8, 9, CONTROL + 8, 0)
        for place, (offset, size) in enumerate(self.origins.fields):
            code.load(size, 1, 6, offset)
            code.store(8, 9, _FIRST + 8 * place, 1)
        length = HEADER.size + 8 * len(self.origins.fields)
        code.store_number(4, 9, CONTROL + LENGTH_AT, length)
        if self.program.type in (1, 3, 4, 6, 8):
            self._packet(code, length)
        code.number(0, 0)
        code.leave()
        code.label("inside")  # another run of this program is under way on this CPU: both are lost, and counted
        code.store_number(4, 9, 4, 1)
        code.number(0, 0)
        code.leave()
        return self._function(f"open@{self.number}", code)

    def _packet(self, code: _Code, length: int) -> None:
        at_driver, has_pointers = self.program.type == 6, self.program.type in (3, 4, 6, 8)
        if has_pointers:
            data, end = (0, 4) if at_driver else (76, 80)
            code.load(4, 1, 6, end)
            code.load(4, 2, 6, data)
            code.move(8, 2)
            code.add(0x1F, 1, 2)
            code.move(7, 1)
            code.store(4, 9, CONTROL + 44, 7)
        if not at_driver:
            code.load(4, 7, 6, 0)
        code.store(4, 9, CONTROL + 40, 7)
        code.jump("<", 7, 1, "done")
        code.jump("<", 7, MOST_PACKET + 1, "whole")
        code.store_number(4, 9, CONTROL + 36, CUT)
        code.number(7, MOST_PACKET)
        code.label("whole")
        code.store(4, 9, CONTROL + 48, 7)
        if at_driver:
            code.move(1, 9)
            code.plus(1, CONTROL + length)
            code.move(2, 7)
            code.move(3, 8)
            code.call(_READ_KERNEL)
        else:
            code.move(1, 6)
            code.number(2, 0)
            code.move(3, 9)
            code.plus(3, CONTROL + length)
            code.move(4, 7)
            code.call(_SKB_LOAD)
        code.plus(7, length + 7)
        code.add(0x57, 7, imm=-8)
        code.store(4, 9, CONTROL + LENGTH_AT, 7)
        code.label("done")

    def _send(self) -> Function:
        code = _Code()
        self._slot(code)
        code.load(4, 1, 9, 0)
        code.jump("!=", 1, 1, "lost")
        code.load(4, 1, 9, 4)
        code.jump("!=", 1, 0, "lost")
        code.address(2, "data", COUNTER)
        code.load(8, 1, 2, 0)
        code.store(8, 9, CONTROL + 16, 1)
        code.load(4, 3, 9, CONTROL + LENGTH_AT)
        code.jump(">", 3, SLOT - CONTROL, "lost")
        code.address(1, "map", RING)
        code.move(2, 9)
        code.plus(2, CONTROL)
        code.number(4, _NO_WAKEUP)
        code.call(_SEND)
        code.label("lost")
        code.number(1, -1)
        code.fetch_add(4, 9, 0, 1)
        code.number(0, 0)
        code.leave()
        return self._function(f"send@{self.number}", code)

    def _note(self, name: str, what: int) -> Function:
        """Do what was asked for, and note what came of it."""
        code = _Code()
        room = WORLD.get(what) if what < LOAD else None
        if what & LOAD:
            code.move(8, 1)
        else:
            self._do(code, what, room)
        self._slot(code)
        code.load(4, 1, 9, CONTROL + LENGTH_AT)
        code.jump(">", 1, ROOM, "full")
        code.move(2, 9)
        code.plus_register(2, 1)
        code.store_number(4, 2, CONTROL, what)
        code.store(8, 2, CONTROL + 8, 8)
        if what == STACK_ID:
            self._stack(code)
        elif room is not None:
            self._bytes(code)
        else:
            code.store_number(4, 2, CONTROL + 4, 0)
            code.plus(1, 16)
            code.store(4, 9, CONTROL + LENGTH_AT, 1)
        code.label("end")
        code.move(0, 8)
        code.leave()
        code.label("full")
        code.load(4, 1, 9, CONTROL + 36)
        code.add(0x47, 1, imm=OVERFLOW)
        code.store(4, 9, CONTROL + 36, 1)
        code.move(0, 8)
        code.leave()
        return self._function(name, code)

    def _do(self, code: _Code, what: int, room: tuple[int, int] | None) -> None:
        if room is not None:
            code.move(6, room[0])
            if room[1] > 0:
                code.add(0xBC, 7, room[1])
            else:
                code.number(7, -room[1])
        elif what == STACK_ID:
            code.move(6, 1)
            code.move(7, 3)
        if what & FUNCTION:
            code.call_named("kfunc", self.kernel_functions[what & ~FUNCTION])
        else:
            code.call(what)
        code.move(8, 0)
        if what in _TEXTS:  # so much of the room was written; all of it when the text could not be read
            code.jump("s<", 8, 1, "unread")
            code.move(7, 8)
            code.label("unread")

    def _bytes(self, code: _Code) -> None:
        """The r7 bytes at r6; r2 is the entry, r1 where it stands in the record."""
        code.jump(">", 7, MOST_OUT, "full")
        code.store(4, 2, CONTROL + 4, 7)
        code.move(3, 7)
        code.plus(3, 7 + 16)
        code.add(0x57, 3, imm=-8)
        code.plus_register(1, 3)
        code.store(4, 9, CONTROL + LENGTH_AT, 1)
        code.move(1, 2)
        code.plus(1, CONTROL + 16)
        code.move(2, 7)
        code.move(3, 6)
        code.call(_READ_KERNEL)

    def _stack(self, code: _Code) -> None:
        """The addresses that the stack map holds now, or would."""
        code.move(1, 6)
        code.plus(2, CONTROL + 16)
        code.number(3, _FRAMES)
        code.move(4, 7)
        code.add(0x57, 4, imm=0x1FF)
        code.call(_GET_STACK)
        code.jump("s>", 0, -1, "found")
        code.number(0, 0)
        code.label("found")
        code.jump(">", 0, _FRAMES, "end")
        code.load(4, 1, 9, CONTROL + LENGTH_AT)
        code.jump(">", 1, ROOM, "end")
        code.move(2, 9)
        code.plus_register(2, 1)
        code.store(4, 2, CONTROL + 4, 0)
        code.plus(0, 16)
        code.plus_register(1, 0)
        code.store(4, 9, CONTROL + LENGTH_AT, 1)


def _jump_target(at: int, i: Instruction, relocation: Relocation | None) -> int | None:
    jumps = i.opcode & 7 in (5, 6) and i.row.op not in ("call", "callx", "exit", "gotox")
    if relocation is not None or not jumps:
        return None
    return at + 1 + (i.imm if i.opcode == 0x06 else i.offset)
