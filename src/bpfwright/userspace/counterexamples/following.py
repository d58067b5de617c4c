"""Follows the input through a run: which decisions hang on which of its bytes, and how.

A second rider on the interpreter's trace, behind the strict checks. It keeps an expression beside each register and
each byte of memory that comes from the input, and writes down decisions (branches, look-ups, reservations, accesses
whose address or whose packet's end is not fixed) as events.
"""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import TYPE_CHECKING, Callable, NamedTuple
from bpfwright.formats.isa.instructions import Instruction
from bpfwright.formats.isa.semantics import COMPARISONS
from bpfwright.spec.page import (ATTACH_COOKIE, CGROUP, CLOCK, COMM, PID_TGID, RETVAL, SOCKET_COOKIE, SOCKET_UID, TASK,
                                 UID_GID)
from bpfwright.userspace.code import KFUNC
from bpfwright.userspace.counterexamples.expressions import (Expression, Term, Variable, byte_of, joined, operation)
from bpfwright.userspace.counterexamples.inputs import BLOCK, PACKETS, Input
from bpfwright.userspace.counterexamples.solving import Condition
from bpfwright.userspace.kernel_functions import NAMES
from bpfwright.userspace.map import UserMap
from bpfwright.userspace.strict import Region, Strict
from bpfwright.userspace.verifier.helpers import PROTOTYPES

if TYPE_CHECKING:
    from bpfwright.userspace.program import UserProgram

__all__ = ["Event", "Follower"]

_WORD = (1 << 64) - 1
_MOST_EVENTS, _LONGEST_VALUE = 3000, 4096
_PLAIN, _TASK_SIZE = frozenset(("data", "context", "memory", "task")), 16384
_QUEUES, _UPDATED, _STORAGE = (22, 23), frozenset((1, 5, 11, 22, 23)), frozenset((107, 145, 156, 210))
_LOOKUPS, _ARRAYS = (1, 195), (2, 6)
_SOCKETS, _RESERVE, _RESERVE_DYNPTR, _LOOP, _FOR_EACH = (84, 85, 99), 131, 198, 181, 164
_PACKET_LOADS = {26: (2, 3, 4), 189: (2, 3, 4), 68: (2, 3, 4)}
_PROBES, _TEXTS = (4, 112, 113, 148), (45, 114, 115)
_WORDS = {14: PID_TGID, 15: UID_GID, 80: CGROUP, 46: SOCKET_COOKIE, 47: SOCKET_UID, 174: ATTACH_COOKIE, 186: RETVAL}
_CLOCKS, _RANDOM, _COMM, _CPU = (5, 125, 160, 208), 7, 16, 8


class Event(NamedTuple):
    """One decision at instruction `at`. `kind` is `condition`, `lookup` (of `key` in map `name`), `full` (whether
    there was room in map `name`; `room` is what was used of it before), `socket`, `task`, or `access`, whose
    `condition` would have to be turned for it to fault. `place` is where the other way leads."""

    kind: str
    at: int
    condition: Condition | None = None
    name: str = ""
    key: bytes = b""
    held: bool = True
    place: int = -1
    room: int = 0


class Follower:
    """Follows one run of one program. `values` are the variables seen, `bases` the map values that were read, `went`
    the jumps that were made."""

    def __init__(self, program: UserProgram, strict: Strict, free: frozenset[int], block: int) -> None:
        self.program = program
        self.strict = strict
        self.memory = program.machine.arena.memory
        self.free = free
        self.block = block
        self.kind = program.spec.type
        self._steps: list[Callable[[list[int]], None] | None] = [None] * len(program.code.slots)

    def begin(self, given: Input) -> None:
        """A run on this input begins."""
        self.given = given
        self.events: list[Event] = []
        self.values: dict[Variable, int] = {("length",): len(given.data)}
        self.bases: dict[tuple[str, bytes], bytes] = {}
        self.terms: list[Expression | None] = [None] * 11
        self.bytes: dict[int, Term | None] = {}
        self.frames: list[list[Expression | None]] = []
        self.outer: list[tuple[list[Expression | None], list[list[Expression | None]],
                               Callable[[list[int]], None] | None]] = []
        self.pending: Callable[[list[int]], None] | None = None
        self.looping: tuple[int, Term, int] | None = None
        self.ranges: list[tuple[int, int, str, bytes]] = []
        self.ends: dict[int, Term] = {}
        self.length = Expression("var", ("length",), None, 64)
        self.randoms = self.clocks = 0
        self.used: dict[str, int] = {}
        self.started = False

    def step(self, at: int, r: list[int]) -> None:
        """Follow the instruction that comes next."""
        if not self.started:
            self._start()
        if self.pending is not None:
            if self.program.interpreter.nested > len(self.outer):
                self.outer.append((self.terms, self.frames, self.pending))
                self.terms, self.frames, self.pending = [None] * 11, [], None
                if self.looping is not None:
                    slot, count, done = self.looping
                    self._condition(slot, "jgt", count, done, 32, True)
                    self.looping = slot, count, done + 1
            else:
                pending, self.pending = self.pending, None
                pending(r)
        step = self._steps[at]
        if step is None:
            step = self._steps[at] = self._made(at)
        step(r)

    def _start(self) -> None:
        self.started = True
        context = self.strict.context
        if self.free:
            self.ranges.append((context, context + max(self.free) + 1, "context", b""))
        self.ranges.append((self.block, self.block + BLOCK, "memory", b""))
        task = unpack_from("<Q", self.memory, TASK)[0]
        self.ranges.append((task, task + _TASK_SIZE, "task", b""))
        if self.kind in PACKETS and self.program.stage is not None:
            end = (self.strict.packet() if self.strict.fields.get(0) == "pkt" else self._linear(context))[1]
            self.first = end - len(self.given.data)
            self.ranges.append((self.first, end, "data", b""))

    def _linear(self, context: int) -> tuple[int, int]:
        start, end = unpack_from("<II", self.memory, context + 76)
        return start, end

    # what a byte or a word in memory is

    def _byte(self, address: int) -> Term | None:
        found = self.bytes.get(address, -1)
        if not isinstance(found, int):
            return found
        if address in self.bytes:
            return None
        for start, end, name, key in self.ranges:
            if start <= address < end:
                at = address - start
                if name == "context" and at not in self.free:
                    return None
                variable: Variable = (name, at) if name in _PLAIN else ("map", name, key, at)
                self.values[variable] = self.memory[address]
                made = self.bytes[address] = Expression("var", variable, None, 8)
                return made
        return None

    def _word(self, address: int, size: int) -> Expression | None:
        parts: list[Term] = []
        followed = False
        for at in range(address, address + size):
            term = self._byte(at)
            if term is None:
                parts.append(self.memory[at])
            else:
                parts.append(term)
                followed = followed or isinstance(term, Expression)
        return joined(tuple(parts)) if followed else None

    def _put(self, address: int, size: int, term: Expression | None) -> None:
        for index in range(size):
            self.bytes[address + index] = None if term is None else _kept(byte_of(term, index))

    def _variable(self, variable: Variable, bits: int, value: int) -> Expression:
        self.values.setdefault(variable, value)
        return Expression("var", variable, None, bits)

    # events

    def _condition(self, at: int, op: str, a: Term, b: Term, bits: int, held: bool, place: int = -1) -> None:
        if len(self.events) < _MOST_EVENTS and (isinstance(a, Expression) or isinstance(b, Expression)):
            self.events.append(Event("condition", at, Condition(op, a, b, bits, held), place=place))

    def _access(self, at: int, region: Region | None, term: Term, size: Term) -> None:
        if region is None or region.kind in ("kernel", "context", "map", "null", "packet end") or len(
                self.events) >= _MOST_EVENTS:
            return
        end: Term = region.end
        low = region.start
        if region.kind == "packet":
            low, high = self.strict.packet()
            end = operation("add", high - len(self.given.data), self.length, 64) or high
        behind = _sum(term, size)
        if isinstance(end, Expression) or isinstance(behind, Expression):
            self.events.append(Event("access", at, Condition("jgt", behind, end, 64, False), place=at))
        if isinstance(term, Expression):
            self.events.append(Event("access", at, Condition("jlt", term, low, 64, False), place=at))

    # one family of instructions each

    def _made(self, at: int) -> Callable[[list[int]], None]:
        i = self.program.code.slots[at]
        assert i is not None
        op = i.row.op
        if op in ("ldx", "ldxs"):
            return self._load(at, i)
        if op in ("st", "stx"):
            return self._store(at, i)
        if op == "atomic":
            return self._atomic(at, i)
        if op == "ldimm64":
            return self._wide(i)
        if op in ("call", "callx"):
            return self._call(at, i)
        if op == "exit":
            return self._exit
        if op in ("ldabs", "ldind"):
            return self._classic(at, i)
        if op in COMPARISONS:
            return self._branch(at, i)
        if op in ("ja", "may_goto"):
            return lambda r: None
        return self._arithmetic(i)

    def _arithmetic(self, i: Instruction) -> Callable[[list[int]], None]:
        op, meaning, d, s, bits, number = i.row.op, i.meaning, i.dst, i.src, i.row.width, i.imm
        of_register = i.row.operand == "x"
        mask = (1 << bits) - 1

        def arithmetic(r: list[int]) -> None:
            terms = self.terms
            if op == "mov":
                term = terms[s] if of_register else None
                if term is None:
                    terms[d] = None
                elif meaning == "movsx":
                    terms[d] = Expression("sign", term, i.offset, bits, term.size + 1)
                else:
                    terms[d] = term if bits >= term.bits else operation("and", term, mask, 64)
                return
            mine = terms[d]
            if op in ("to_le", "to_be", "bswap", "neg"):
                if mine is not None:
                    terms[d] = operation("and", mine, (1 << number) - 1, 64) if op == "to_le" else Expression(
                        "neg" if op == "neg" else "swap", mine, None, bits if op == "neg" else number, mine.size + 1)
                return
            other: Term | None = terms[s] if of_register else None
            if mine is None and other is None:
                return
            terms[d] = operation(meaning, mine if mine is not None else r[d] & mask,
                                 other if other is not None else (r[s] if of_register else number) & mask, bits)

        return arithmetic

    def _branch(self, at: int, i: Instruction) -> Callable[[list[int]], None]:
        op, d, s, bits = i.row.op, i.dst, i.src, i.row.width
        of_register, mask, holds = i.row.operand == "x", (1 << i.row.width) - 1, COMPARISONS[i.row.op].holds
        target = self.program.code.target(at)

        def branch(r: list[int]) -> None:
            one, other = self.terms[d], self.terms[s] if of_register else None
            if one is None and other is None:
                return
            b = (r[s] if of_register else i.imm) & mask
            held = holds(r[d] & mask, b, bits)
            self._condition(at, op, one if one is not None else r[d] & mask, other if other is not None else b, bits,
                            held, at + 1 if held else target)

        return branch

    def _wide(self, i: Instruction) -> Callable[[list[int]], None]:
        found = self._data_map(i.wide) if not i.src else None

        def wide(r: list[int]) -> None:
            self.terms[i.dst] = None
            if found is not None:
                self._value(found[0], found[1], found[2], found[3])

        return wide

    def _data_map(self, address: int) -> tuple[int, int, str, bytes] | None:
        """The value of an array that an address of plain data stands in."""
        for thing in self.program.machine.things():
            if isinstance(thing, UserMap) and thing.spec.type == 2 and not thing.spec.frozen:
                stride = thing.value_stride + 7 & ~7
                index, at = divmod(address - thing.values_at, stride) if stride else (-1, 0)
                if 0 <= index < thing.spec.max_entries and address >= thing.values_at:
                    return address - at, thing.spec.value_size, thing.spec.name, index.to_bytes(4, "little")
        return None

    def _value(self, address: int, size: int, name: str, key: bytes) -> None:
        if (name, key) not in self.bases:
            self.bases[name, key] = bytes(self.memory[address:address + size])
            if size <= _LONGEST_VALUE:
                self.ranges.append((address, address + size, name, key))

    def _load(self, at: int, i: Instruction) -> Callable[[list[int]], None]:
        d, s, size, signs = i.dst, i.src, i.row.width // 8, i.row.op == "ldxs"

        def load(r: list[int]) -> None:
            address = r[s] + i.offset & _WORD
            region, base = self.strict_before(s), self.terms[s]
            if base is not None or (region is not None and region.kind == "packet"):
                self._access(at, region, _sum(base if base is not None else r[s], i.offset & _WORD), size)
            if base is not None and region is not None and region.kind == "kernel":
                self._condition(at, "jeq", base, self.block, 64, r[s] == self.block, at + 1)
            if region is not None and region.kind == "context":
                term = self._of_context(address - self.strict.context, address, size)
            elif address + size < len(self.memory):
                term = self._word(address, size)
            else:
                term = None
            if term is not None and signs:
                term = Expression("sign", term, 8 * size, 64, term.size + 1)
            self.terms[d] = term

        return load

    def strict_before(self, register: int) -> Region | None:
        """What a register pointed into before this instruction."""
        return self.strict.before[register]

    def _of_context(self, offset: int, address: int, size: int) -> Expression | None:
        kind = self.strict.fields.get(offset)
        if self.kind in PACKETS:
            value = int.from_bytes(self.memory[address:address + size], "little")
            visible = offset == 0 and size == 4 and self.kind not in (6, 22)
            if kind == "pkt_end" or visible:
                return operation("add", value - len(self.given.data) & _WORD, self.length, 64)
            if offset == 16 and self.kind not in (6, 22) and size == 4 and len(self.given.data) >= 14:
                first, second = self._byte(self.first + 12), self._byte(self.first + 13)
                if first is not None and second is not None:
                    return joined((first, second, 0, 0))
        return None if kind is not None else self._word(address, size)

    def _store(self, at: int, i: Instruction) -> Callable[[list[int]], None]:
        d, s, size, of_register = i.dst, i.src, i.row.width // 8, i.row.op == "stx"

        def store(r: list[int]) -> None:
            base, region = self.terms[d], self.strict_before(d)
            if base is not None or (region is not None and region.kind == "packet"):
                self._access(at, region, _sum(base if base is not None else r[d], i.offset & _WORD), size)
            self._put(r[d] + i.offset & _WORD, size, self.terms[s] if of_register else None)

        return store

    def _atomic(self, at: int, i: Instruction) -> Callable[[list[int]], None]:
        d, s, size, meaning = i.dst, i.src, i.row.width // 8, i.meaning

        def atomic(r: list[int]) -> None:
            loads = meaning == "atomic_load_acquire"
            base = s if loads else d
            address = r[base] + i.offset & _WORD
            if self.terms[base] is not None:
                self._access(at, self.strict_before(base), _sum(self.terms[base] or 0, i.offset & _WORD), size)
            before = self._word(address, size) if address + size < len(self.memory) else None
            if loads:
                self.terms[d] = before
                return
            name = meaning.removeprefix("atomic_").removeprefix("fetch_")
            mine, was = self.terms[s], int.from_bytes(self.memory[address:address + size], "little")
            after = None
            if name in ("add", "or", "and", "xor") and (before is not None or mine is not None):
                after = operation(name, before if before is not None else was, mine if mine is not None else r[s],
                                  8 * size)
            elif name == "xchg":
                after = mine
            self._put(address, size, after)
            if "cmpxchg" in meaning:
                self.terms[0] = before
            elif "fetch" in meaning or name == "xchg":
                self.terms[s] = before

        return atomic

    def _classic(self, at: int, i: Instruction) -> Callable[[list[int]], None]:
        size = i.row.width // 8

        def classic(r: list[int]) -> None:
            context = self.strict.context
            start, end = self._linear(context)
            offset = i.imm + (r[i.src] if i.row.op == "ldind" else 0) & 0xFFFFFFFF
            visible = operation("add", end - start - len(self.given.data) & _WORD, self.length, 64)
            if visible is not None:
                self._condition(at, "jle", offset + size, visible, 64, start + offset + size <= end)
            term = self._word(start + offset, size) if start + offset + size <= end else None
            self.terms[0:6] = [None] * 6
            if term is not None and size > 1:
                term = Expression("swap", term, None, 8 * size, term.size + 1)
            self.terms[0] = term

        return classic

    # calls

    def _exit(self, r: list[int]) -> None:
        result = self.terms[0]
        if self.frames:
            kept = self.frames.pop()
            self.terms = [result, None, None, None, None, None, *kept[6:11]]
        elif self.outer:
            self.terms, self.frames, self.pending = self.outer.pop()

    def _call(self, at: int, i: Instruction) -> Callable[[list[int]], None]:
        if i.src == 1 and i.row.op == "call":
            def enter(r: list[int]) -> None:
                self.frames.append(self.terms)
                self.terms = [*self.terms[:6], None, None, None, None, None]

            return enter
        if i.row.op == "callx":
            return lambda r: self._after(lambda now: None)
        if i.src == KFUNC:
            return lambda r: self._kernel_function(at, NAMES.get(i.imm, ""), r)
        return lambda r: self._helper(at, i.imm, r)

    def _after(self, then: Callable[[list[int]], Expression | None]) -> None:
        def pending(r: list[int]) -> None:
            self.terms[0:6] = [None] * 6
            self.terms[0] = then(r)

        self.pending = pending

    def _argument(self, register: int, r: list[int]) -> Term:
        term = self.terms[register]
        return term if term is not None else r[register]

    def _helper(self, at: int, number: int, r: list[int]) -> None:
        prototype = PROTOTYPES.get(number)
        arguments = prototype.arguments if prototype is not None else ()
        for register, text in enumerate(arguments, 1):
            what = text.rstrip("?")
            if what in ("r", "w", "W") and register < len(arguments) and arguments[register][:1] in ("s", "z"):
                self._access(at, self.strict_before(register), self._argument(register, r),
                             self._argument(register + 1, r))
                size = self.terms[register + 1]
                if size is not None and arguments[register] == "s":
                    self.events.append(Event("access", at, Condition("jeq", size, 0, 32, False), place=at))
            elif self.terms[register] is not None and what[:1] in ("k", "v", "V", "f", "l") and what != "f":
                self._access(at, self.strict_before(register), self._argument(register, r), self.strict._size(
                    what, arguments, register, r))
        given, terms = list(r), self.terms[:]
        writes = [(given[register], given[register + 1]) for register, text in enumerate(arguments, 1)
                  if text.rstrip("?") in ("w", "W") and register < len(arguments)]
        if number in _LOOKUPS:
            self._lookup(at, r)
        elif number in (_RESERVE, _RESERVE_DYNPTR):
            ring, whole = self.strict.map_at(r[1]), (r[2] & 0xFFFFFFFF) + 15 & ~7
            self._after(lambda now: self._took(at, ring, whole, (now[0] != 0) == (number == _RESERVE)))
        elif number in (2, 87) or number in _STORAGE:
            self._update(at, number, r)
        elif number in (88, 89):
            self._take(at, r)
        elif number in _SOCKETS:
            self._after(lambda now: self._note(Event("socket", at, held=now[0] != 0, place=at + 1)))
        elif number in _PACKET_LOADS:
            self._packet_load(at, number, given, terms)
        elif number in _PROBES or number in _TEXTS:
            def copied(now: list[int]) -> None:
                failed = now[0] >> 63 or (number in _PROBES and now[0])
                if terms[3] is not None and given[3] != self.block and failed:
                    self._condition(at, "jeq", terms[3], self.block, 64, False, at + 1)
                done = given[2] & 0xFFFFFFFF if number in _PROBES and not now[0] else now[0] if number in _TEXTS else 0
                self._copy(given[1], given[3], min(done, 4096) if done < 1 << 31 else 0)
                if number in _TEXTS and 0 < now[0] < 4096:
                    last = self._byte(given[3] + now[0] - 1)
                    if last is not None:
                        self._condition(at, "jeq", last, 0, 8, True, at + 1)

            self._after(copied)
        elif number == _FOR_EACH:
            walked = self.strict.map_at(r[1])
            self._after(lambda now: self._walked(at, walked, now[0]))
        elif number == _LOOP:
            count = terms[1]
            if count is not None:
                self.looping = at, count, 0

            def looped(now: list[int]) -> None:
                if self.looping is not None:
                    slot, rounds, done = self.looping
                    if now[0] == done:
                        self._condition(slot, "jgt", rounds, done, 32, False)
                    self.looping = None

            self._after(looped)
        else:
            def plain(now: list[int]) -> Expression | None:
                for start, size in writes:
                    self._put(start, min(size & 0xFFFFFFFF, 4096), None)
                if number == _COMM and not now[0]:
                    for index in range(min(given[2] & 0xFFFFFFFF, 15)):
                        self.bytes[given[1] + index] = self._variable(("byte", COMM + index), 8,
                                                                      self.memory[given[1] + index])
                return self._found(number, now[0])

            self._after(plain)

    def _note(self, event: Event) -> None:
        self.events.append(event)

    def _walked(self, at: int, map_: UserMap | None, count: int) -> None:
        """There may be nothing to walk over."""
        if map_ is not None and not count and map_.key_size:
            self.events.append(Event("lookup", at, name=map_.spec.name, key=bytes(map_.key_size), held=False, place=at))

    def _found(self, number: int, value: int) -> Expression | None:
        """What a helper that asks the machine gave, as a variable."""
        if number in _WORDS:
            return self._variable(("word", _WORDS[number]), 64, value)
        if number in _CLOCKS:
            self.clocks += 1
            clock = self._variable(("word", CLOCK), 64, value)
            return clock if self.clocks == 1 else operation("add", clock, value - self.values["word", CLOCK], 64)
        if number == _CPU:
            return self._variable(("cpu",), 32, value)
        if number == _RANDOM:
            self.randoms += 1
            return self._variable(("random",), 32, value) if self.randoms == 1 else None
        return None

    def _lookup(self, at: int, r: list[int]) -> None:
        map_ = self.strict.map_at(r[1])
        if map_ is None:
            self._after(lambda now: None)
            return
        key = bytes(self.memory[r[2]:r[2] + map_.key_size])
        term = self._word(r[2], map_.key_size) if map_.key_size <= 8 else None
        name, size, indexed = map_.spec.name, map_.spec.value_size, map_.spec.type in _ARRAYS

        def after(now: list[int]) -> None:
            if now[0] and map_.spec.type not in (12, 13):
                self._value(now[0], size, name, key)
            if indexed:
                if term is not None:
                    self._condition(at, "jlt", term, map_.spec.max_entries, 32, now[0] != 0, at + 1)
            else:
                self.events.append(Event("lookup", at, name=name, key=key, held=now[0] != 0, place=at + 1))

        self._after(after)

    def _update(self, at: int, number: int, r: list[int]) -> None:
        """There may be no room."""
        map_ = self.strict.map_at(r[1])
        if map_ is None or (map_.spec.type not in _UPDATED and number not in _STORAGE):
            self._after(lambda now: None)
            return
        self._after(lambda now: self._took(at, map_, 1, (now[0] == 0) == (number in (2, 87))))

    def _took(self, at: int, map_: UserMap | None, size: int, held: bool) -> None:
        """A map gave room, or had none."""
        if map_ is None:
            return
        name = map_.spec.name
        before = self.used.get(name, 0)
        self.events.append(Event("full", at, name=name, held=held, place=at + 1, room=before))
        if held:
            self.used[name] = before + size

    def _take(self, at: int, r: list[int]) -> None:
        """A queue or stack may have nothing."""
        map_ = self.strict.map_at(r[1])
        to = r[2]

        def after(now: list[int]) -> None:
            if map_ is not None and map_.spec.type in _QUEUES:
                self.events.append(Event("lookup", at, name=map_.spec.name, held=now[0] == 0, place=at + 1))
                self._put(to, map_.spec.value_size, None)

        self._after(after)

    def _packet_load(self, at: int, number: int, given: list[int], terms: list[Expression | None]) -> None:
        offset, to, size = (given[each] & 0xFFFFFFFF for each in _PACKET_LOADS[number])
        context = self.strict.context
        start, end = unpack_from("<II", self.memory, context) if number == 189 else self._linear(context)
        if number == 68:
            start = unpack_from("<I", self.memory, context + (200 if given[5] & 0xFFFFFFFF == 0 else 204))[0]
        visible = operation("add", end - start - len(self.given.data) & _WORD, self.length, 64)

        def after(now: list[int]) -> None:
            if visible is not None:
                self._condition(at, "jle", _sum(terms[2] if terms[2] is not None else offset,
                                                terms[4] if terms[4] is not None else size), visible, 64,
                                now[0] == 0, at + 1)
            if now[0] == 0:
                self._copy(to, start + offset, size)
            else:
                self._put(to, min(size, 4096), None)

        self._after(after)

    def _copy(self, to: int, source: int, size: int) -> None:
        found = [self._byte(source + index) for index in range(min(size, 4096))]
        for index, term in enumerate(found):
            self.bytes[to + index] = _kept(term)

    def _kernel_function(self, at: int, name: str, r: list[int]) -> None:
        if name == "bpf_iter_num_new":
            self.ends[r[1]] = self._argument(3, r)
        if name in ("bpf_task_from_pid", "bpf_task_from_vpid"):
            self._after(lambda now: self._note(Event("task", at, held=now[0] != 0, place=at + 1)))
            return
        if name == "bpf_iter_num_next":
            state = r[1]
            end = self.ends.get(state)
            current = unpack_from("<I", self.memory, state)[0] + 1 & 0xFFFFFFFF

            def after(now: list[int]) -> None:
                if isinstance(end, Expression):
                    self._condition(at, "jslt", current, end, 32, now[0] != 0, at + 1)
                self._put(state, 8, None)

            self._after(after)
            return
        self._after(lambda now: None)


def _sum(a: Term, b: Term) -> Term:
    if isinstance(a, int) and isinstance(b, int):
        return a + b & _WORD
    return operation("add", a, b, 64) or 0


def _kept(term: Term | None) -> Term | None:
    """A byte that is a plain number needs no keeping."""
    return term if isinstance(term, Expression) else None
