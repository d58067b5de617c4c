"""The strictest of checked runs: every pointer is held to the one object that it came from.

The machine's own checks ask whether an address is any of the program's memory; here the next value of an array, another
frame of the stack, a released socket and a packet that has moved since are faults too, and so are registers that
nothing was stored in, and calls that break what the helper asks for. It rides on the interpreter's trace.
"""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import TYPE_CHECKING, Any, Callable, NamedTuple
from bpfwright.errors import Fault
from bpfwright.formats.isa.instructions import Instruction
from bpfwright.spec.page import HELD_LOCKS
from bpfwright.userspace.arena import FRAME
from bpfwright.userspace.code import KFUNC
from bpfwright.userspace.kernel_functions import NAMES
from bpfwright.userspace.map import UserMap
from bpfwright.userspace.verifier.helpers import PROTOTYPES

if TYPE_CHECKING:
    from bpfwright.userspace.program import UserProgram

__all__ = ["Region", "Strict"]

_OF_MAPS, _TYPED = (12, 13), (26, 29)  # bpf_map_type, bpf_prog_type whose context holds kernel pointers
_LOOP, _FOR_EACH, _LOCK, _UNLOCK, _XCHG = 181, 164, 93, 94, 194
_SLICES = frozenset(("bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"))
_OBJECTS = frozenset(("bpf_task_from_pid", "bpf_task_from_vpid", "bpf_cpumask_create"))
_TAKING = frozenset(("bpf_task_release", "bpf_task_acquire", "bpf_cpumask_release", "bpf_cgroup_release"))
_NEAR_NULL = 0x1000  # where no memory is, on any machine
_LONG = 1 << 29  # BPF_MAX_VAR_SIZ: no helper takes more


class Region(NamedTuple):
    """What a pointer points into: bytes from `start` up to `end`. `kind` is `context`, `packet`, `packet end`, `stack`,
    `map`, `map value`, `record`, `memory`, `socket`, `null`, or `kernel` for what this machine only has a shadow of;
    of a packet `moment` counts how often it may have moved before."""

    kind: str
    start: int = 0
    end: int = 0
    moment: int = 0


_KERNEL, _NULL, _MAP, _END = Region("kernel"), Region("null"), Region("map"), Region("packet end")
_UNJUDGED = frozenset(("kernel", "context", "map"))
Check = Callable[[list[int]], None]


class Strict:
    """One program's strict checks: `begin` with each run, `step` before each instruction. Raises Fault."""

    def __init__(self, program: UserProgram) -> None:
        from bpfwright.userspace.verifier.profile import Profile
        self.program = program
        self.memory = program.machine.arena.memory
        spec = program.spec
        found = Profile().context(spec.type, spec.expected_attach_type)
        self.fields = found[2] if found else {}
        self._checks: list[Check | None] = [None] * len(program.code.slots)
        self.begin(0)

    def begin(self, context: int, arguments: int = 1) -> None:
        """A run begins, with so many registers set from r1 on."""
        interpreter = getattr(self.program, "interpreter", None)
        top = interpreter.stack_top if interpreter is not None else 0
        self.context = context
        self.regions: list[Region | None] = [None] * 11
        self.regions[10] = Region("stack", top - FRAME, top)
        if context:
            self.regions[1] = Region("context", context, context + 4096)
        self.before = self.regions  # as they stood in front of the instruction that is judged
        self.set = 1 << 10 | (1 << arguments + 1) - 2
        self.frames: list[tuple[list[Region | None], int]] = []
        self.iterators: set[int] = set()
        self.spills: dict[int, tuple[Region, int]] = {}
        self.dead: set[int] = set()
        self.moment = 0
        self.left = self.program.machine.budget
        self.pending: Callable[[list[int]], None] | None = None
        self.callback: Callable[[list[int]], list[Region | None]] | None = None
        self.outer: list[tuple[list[Region | None], int, list[tuple[list[Region | None], int]], Any, Any]] = []
        self.said: Fault | None = None

    def step(self, at: int, r: list[int]) -> None:
        """Judge the instruction that comes next."""
        self.left -= 1
        if self.left < 0:  # callbacks are counted too
            raise self._fault("budget", at, 0, "it was given so many instructions and went on")
        if self.pending is not None:
            if self.program.interpreter.nested > len(self.outer):
                self._enter_callback(r)
            else:
                pending, self.pending = self.pending, None
                pending(r)
        self.before = self.regions[:]
        check = self._checks[at]
        if check is None:
            check = self._checks[at] = self._made(at)
        check(r)

    def explains(self, fault: Fault) -> bool:
        """Whether a fault is surely the program's: not the lack of kernel memory behind a number that it was given."""
        if self.said is not None or fault.kind not in ("read", "write", "call"):
            return True
        instruction = self.program.code.slots[fault.instruction]
        if instruction is None or instruction.row.op not in ("ldx", "ldxs", "st", "stx", "atomic"):
            return False
        base = self.before[instruction.src if instruction.row.op in ("ldx", "ldxs") else instruction.dst]
        return fault.address < _NEAR_NULL if base is None else base.kind != "kernel"

    def _fault(self, kind: str, at: int, address: int, why: str) -> Fault:
        self.said = Fault(kind, at, address, why=why)
        return self.said

    # what an access may reach

    def reach(self, at: int, region: Region | None, address: int, size: int, write: bool) -> None:
        """Raises Fault when these bytes are not of the region."""
        if region is None or region.kind in _UNJUDGED:
            return
        kind = "write" if write else "read"
        if region.kind == "null":
            raise self._fault(kind, at, address, "the pointer is null")
        if region.kind == "packet end":
            raise self._fault(kind, at, address, "the pointer is that behind the packet's last byte")
        low, high = region.start, region.end
        if region.kind == "packet":
            if region.moment != self.moment:
                raise self._fault(kind, at, address, "the packet may have moved since this pointer was taken")
            low, high = self.packet()
        if region.start in self.dead and region.kind in ("record", "socket"):
            raise self._fault(kind, at, address, f"the {region.kind} was given back before")
        if address < low or address + size > high:
            raise self._fault(kind, at, address, _outside(region.kind, address, size, low, high))

    def packet(self) -> tuple[int, int]:
        """The packet's first byte, metadata included, and the one behind its last."""
        at = {kind: unpack_from("<I", self.memory, self.context + offset)[0] for offset, kind in self.fields.items()}
        return min(at["pkt"], at.get("pkt_meta", at["pkt"])), at["pkt_end"]

    def _use(self, at: int, *registers: int) -> None:
        for register in registers:
            if not self.set >> register & 1:
                raise self._fault("unset", at, 0, f"nothing was stored in r{register} on this way")

    # one family of instructions each

    def _made(self, at: int) -> Check:
        instruction = self.program.code.slots[at]
        assert instruction is not None
        op = instruction.row.op
        makers = {"ldx": self._load, "ldxs": self._load, "st": self._store, "stx": self._store,
                  "atomic": self._atomic, "ldimm64": self._wide, "call": self._call, "callx": self._call,
                  "exit": self._exit, "ldabs": self._classic, "ldind": self._classic, "ja": self._nothing,
                  "may_goto": self._nothing}
        maker = makers.get(op) or (self._jump if instruction.opcode & 7 in (5, 6) else self._arithmetic)
        return maker(at, instruction)

    def _nothing(self, at: int, i: Instruction) -> Check:
        return lambda r: None

    def _jump(self, at: int, i: Instruction) -> Check:
        registers = (i.dst, i.src) if i.row.operand == "x" else (i.dst,)
        return lambda r: self._use(at, *registers)

    def _arithmetic(self, at: int, i: Instruction) -> Check:
        op, d, s, wide = i.row.op, i.dst, i.src, i.row.width == 64
        of_register = i.row.operand == "x"
        registers = ((s,) if of_register else ()) if op == "mov" else (d, s) if of_register else (d,)
        keeps = wide and op in ("add", "sub")
        copies = wide and op == "mov" and of_register and not i.offset

        def arithmetic(r: list[int]) -> None:
            self._use(at, *registers)
            regions = self.regions
            if copies:
                regions[d] = regions[s]
            elif keeps and of_register:
                one, other = regions[d], regions[s]
                regions[d] = (one or other if op == "add" else one) if one is None or other is None else None
            elif not keeps:
                regions[d] = None
            self.set |= 1 << d

        return arithmetic

    def _wide(self, at: int, i: Instruction) -> Check:
        region = None if i.src else self._of_map(i.wide)

        def wide(r: list[int]) -> None:
            self.regions[i.dst] = region
            self.set |= 1 << i.dst

        return wide

    def _of_map(self, address: int) -> Region | None:
        for thing in self.program.machine.things():
            if not isinstance(thing, UserMap):
                continue
            if address == thing.address:
                return _MAP
            stride = thing.value_stride + 7 & ~7
            at = address - thing.values_at
            if thing.spec.type == 2 and 0 <= at < stride * thing.spec.max_entries:
                start = address - at % stride
                return Region("map value", start, start + thing.spec.value_size)
        return None

    def _load(self, at: int, i: Instruction) -> Check:
        d, s, size = i.dst, i.src, i.row.width // 8

        def load(r: list[int]) -> None:
            self._use(at, s)
            base = self.regions[s]
            address = r[s] + i.offset & 0xFFFFFFFFFFFFFFFF
            if base is not None and base.kind == "kernel":
                self._probe(at)
                self.regions[d] = _KERNEL if size == 8 else None
            else:
                self.reach(at, base, address, size, False)
                self.regions[d] = self._loaded(base, address, size)
            self.set |= 1 << d

        return load

    def _probe(self, at: int) -> None:
        """Kernel memory that this machine does not have reads as zeros."""
        interpreter = self.program.interpreter
        if at not in interpreter.probes:
            interpreter.probe(at)

    def _loaded(self, base: Region | None, address: int, size: int) -> Region | None:
        if base is not None and base.kind == "context":
            offset = address - self.context
            kind = self.fields.get(offset)
            if kind in ("pkt", "pkt_meta"):
                return Region("packet", moment=self.moment)
            if kind == "pkt_end":
                return _END
            if kind is not None:
                null = kind.endswith("_or_null") and not any(self.memory[address:address + size])
                return _NULL if null else _KERNEL
            if size == 8 and self.program.spec.type in _TYPED:
                return _KERNEL
        spilled = self.spills.get(address) if size == 8 else None
        if spilled is not None and unpack_from("<Q", self.memory, address)[0] == spilled[1]:
            return spilled[0]
        return None

    def _store(self, at: int, i: Instruction) -> Check:
        d, s, size, of_register = i.dst, i.src, i.row.width // 8, i.row.op == "stx"

        def store(r: list[int]) -> None:
            self._use(at, d, *((s,) if of_register else ()))
            address = r[d] + i.offset & 0xFFFFFFFFFFFFFFFF
            self.reach(at, self.regions[d], address, size, True)
            region = self.regions[s] if of_register and size == 8 else None
            if region is not None:
                self.spills[address] = region, r[s]
            else:
                self.spills.pop(address, None)

        return store

    def _atomic(self, at: int, i: Instruction) -> Check:
        d, s, size = i.dst, i.src, i.row.width // 8
        meaning = i.meaning
        loads = meaning == "atomic_load_acquire"

        def atomic(r: list[int]) -> None:
            self._use(at, d, s)
            base = s if loads else d
            self.reach(at, self.regions[base], r[base] + i.offset & 0xFFFFFFFFFFFFFFFF, size, not loads)
            target = d if loads else 0 if "cmpxchg" in meaning else s if "fetch" in meaning or "xchg" in meaning else -1
            if target >= 0:
                self.regions[target] = None
                self.set |= 1 << target

        return atomic

    def _classic(self, at: int, i: Instruction) -> Check:
        def classic(r: list[int]) -> None:
            self._use(at, 6)
            self.regions[0:6] = [None] * 6
            self.set = self.set & ~0x3F | 1

        return classic

    # calls

    def _call(self, at: int, i: Instruction) -> Check:
        if i.row.op == "callx":
            return self._nothing(at, i)
        if i.src == 1:
            def enter(r: list[int]) -> None:
                self.frames.append((self.regions[:], self.set))
                self.regions[6:10] = [None] * 4
                self.regions[10] = Region("stack", r[10] - 2 * FRAME, r[10] - FRAME)
                self.set = self.set & 0x3E | 1 << 10

            return enter
        if i.src == KFUNC:
            return lambda r: self._kernel_function(at, NAMES.get(i.imm, ""), r)
        return lambda r: self._helper(at, i.imm, r)

    def _exit(self, at: int, i: Instruction) -> Check:
        def leave(r: list[int]) -> None:
            if self.frames:
                self._use(at, *((0,) if self.set & 1 else ()))
                result, known = self.regions[0], self.set & 1
                self.regions, self.set = self.frames.pop()
                self.regions[0:6] = [result] + [None] * 5
                self.set = self.set & ~0x3F | known
                return
            self._use(at, 0)
            if self.outer:
                self.regions, self.set, self.frames, self.pending, self.callback = self.outer.pop()

        return leave

    def _enter_callback(self, r: list[int]) -> None:
        assert self.callback is not None
        regions = self.callback(r)
        self.outer.append((self.regions, self.set, self.frames, self.pending, self.callback))
        self.regions, self.frames, self.pending = regions, [], None
        self.regions[10] = Region("stack", r[10] - FRAME, r[10])
        self.set = 1 << 10 | 0x3E

    def _helper(self, at: int, number: int, r: list[int]) -> None:
        prototype = PROTOTYPES.get(number)
        if prototype is None or number in self.program.helpers:
            self.pending = self._result(None)
            return
        arguments = prototype.arguments
        self._use(at, *range(1, len(arguments) + 1))
        self._locks(at, number, prototype.name)
        for register, text in enumerate(arguments, 1):
            self._argument(at, number, arguments, register, text, r)
        if "release" in prototype.flags and self.regions[1] is not None:
            self.dead.add(self.regions[1].start)
        if "packet" in prototype.flags:
            self.moment += 1
        given, held = list(r), self.regions[:]
        if number in (_LOOP, _FOR_EACH):
            self.callback = lambda now: self._callback_regions(number, given, held, now)
        self.pending = self._result(lambda value: self._gives(number, prototype.result, value, given))

    def _locks(self, at: int, number: int, name: str) -> None:
        if number != _UNLOCK and unpack_from("<Q", self.memory, HELD_LOCKS)[0]:
            raise self._fault("call", at, 0, "a second lock is taken while one is held: that never ends"
                              if number == _LOCK else f"bpf_{name}() is called while a lock is held")

    def _argument(self, at: int, number: int, arguments: tuple[str, ...], register: int, text: str, r: list[int],
                  ) -> None:
        region, value = self.regions[register], r[register]
        what, null = text.rstrip("?"), text.endswith("?")
        if what in ("s", "n") and not value & 0xFFFFFFFF and number not in (_XCHG, 203):
            if what == "s":
                raise self._fault("call", at, 0, f"a size of 0 in r{register}, where at least 1 is asked for")
            return
        if region is not None and region.kind == "null" and not null and what not in ("s", "z", "n", "a"):
            raise self._fault("call", at, value, f"r{register} is null")
        if what in ("s", "z", "n", "a", "m", "c", "f", "str"):
            return
        size = self._size(what, arguments, register, r)
        if size and region is not None and not (null and not value):
            self.reach(at, region, value, size, what in ("w", "W", "V") or what[:1] == "l")
        elif what in ("rec", "bsk", "skc") and region is not None and region.start in self.dead:
            raise self._fault("call", at, value, f"the {region.kind} in r{register} was given back before")

    def _size(self, what: str, arguments: tuple[str, ...], register: int, r: list[int]) -> int:
        if what in ("r", "w", "W"):
            following = arguments[register] if register < len(arguments) else ""
            return min(r[register + 1], _LONG << 4) if following[:1] in ("s", "z") else 0
        if what in ("k", "v", "V"):
            number = next((at for at, text in enumerate(arguments, 1) if text == "m"), 0)
            map_ = self.map_at(r[number]) if number else None
            return 0 if map_ is None else map_.key_size if what == "k" else map_.spec.value_size
        return int(what[1:]) if what[:1] in ("f", "l") and what[1:].isdigit() else 0

    def map_at(self, address: int) -> UserMap | None:
        """The map at an address."""
        return next((thing for thing in self.program.machine.things()
                     if isinstance(thing, UserMap) and thing.address == address), None)

    def _result(self, gives: Callable[[int], Region | None] | None) -> Callable[[list[int]], None]:
        def after(r: list[int]) -> None:
            self.regions[0:6] = [gives(r[0]) if gives is not None else None] + [None] * 5
            self.set = self.set & ~0x3F | 1

        return after

    def _gives(self, number: int, result: str, value: int, given: list[int]) -> Region | None:
        what, null = result.rstrip("?"), result.endswith("?")
        if what in ("int", "void"):
            return None
        if null and not value:
            return _NULL
        if what == "map_value":
            map_ = self.map_at(given[1])
            if map_ is None or map_.spec.type in _OF_MAPS:
                return _MAP if map_ is not None else None
            return Region("map value", value, value + map_.spec.value_size)
        sizes = {"rec": given[2], "slice": given[3], "sock": 80, "sock_common": 80, "tcp_sock": 96}
        if what not in sizes:
            return _KERNEL
        self.dead.discard(value)
        kind = "record" if what == "rec" else "memory" if what == "slice" else "socket"
        return Region(kind, value, value + sizes[what])

    def _callback_regions(self, number: int, given: list[int], held: list[Region | None], now: list[int],
                          ) -> list[Region | None]:
        regions: list[Region | None] = [None] * 11
        if number == _LOOP:
            regions[2] = held[3]
            return regions
        regions[1], regions[4] = held[1], held[3]
        map_ = self.map_at(given[1])
        if map_ is not None:
            regions[2] = Region("memory", now[2], now[2] + map_.key_size)
            regions[3] = Region("map value", now[3], now[3] + map_.spec.value_size)
        return regions

    def _kernel_function(self, at: int, name: str, r: list[int]) -> None:
        first = self.regions[1]
        if name in _TAKING and first is not None and first.kind == "null":
            raise self._fault("call", at, r[1], "r1 is null")
        if name.startswith("bpf_iter_num_"):
            self._iterate(at, name, r[1])
        given = list(r)

        def gives(value: int) -> Region | None:
            if name in _OBJECTS or name in _SLICES or name == "bpf_iter_num_next":
                if not value:
                    return _NULL
                return _KERNEL if name in _OBJECTS else Region("memory", value, value + (given[4] if name in _SLICES
                                                                                         else 4))
            return _KERNEL if name.endswith("_acquire") else None

        self.pending = self._result(gives)

    def _iterate(self, at: int, name: str, state: int) -> None:
        """An iterator is begun once, and used where it was begun."""
        begins = name.endswith("_new")
        if (state in self.iterators) == begins:
            raise self._fault("call", at, state, "an iterator is already there" if begins else "no iterator is there")
        if not name.endswith("_next"):
            self.iterators ^= {state}


def _outside(kind: str, address: int, size: int, low: int, high: int) -> str:
    what = f"{size} byte{'s' if size != 1 else ''}"
    if address < low:
        return f"{what} from {low - address} before the {kind}, which has {high - low}"
    return f"{what} at offset {address - low} of the {kind}, which has {high - low}"
