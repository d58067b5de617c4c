"""Runs programs one instruction at a time: each becomes a closure, made from the instruction table, that gives the slot
of the next. Every access is checked unless the program was verified."""
from __future__ import annotations

from struct import Struct, error

from bpfwright._typing import Any, Callable
from bpfwright.errors import Fault
from bpfwright.formats.isa.instructions import Instruction
from bpfwright.formats.isa.semantics import ARITHMETIC, COMPARISONS, signed, swap
from bpfwright.maps.stores._guards import guard_context
from bpfwright.userspace.arena import FRAME, STACK_SIZE, Arena
from bpfwright.userspace.code import FUNCTIONS, KFUNC, Code, means_nothing
from bpfwright.userspace.counting import Counts, is_branch

__all__ = ["END", "Interpreter"]

END = -1
_WORD, _HALF = (1 << 64) - 1, (1 << 32) - 1
_FORMS = {8: Struct("<B"), 16: Struct("<H"), 32: Struct("<I"), 64: Struct("<Q")}
_SIGNED = {8: Struct("<b"), 16: Struct("<h"), 32: Struct("<i"), 64: Struct("<q")}
_MOST_FRAMES = 64  # of one run; what no verifier saw may call deeper than 8, and stays inside its stack
_MAY_GOTO = 8_388_608
_ATOMICS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b, "or": lambda a, b: a | b, "and": lambda a, b: a & b, "xor": lambda a, b: a ^ b}

Step = Callable[[list[int]], int]


class Interpreter:
    """One program on one machine. `registers` are r0 to r10 as unsigned numbers, `count` the instructions run.

    `host` answers calls: `host.helper(number)` and `host.kernel_function(number)` give what a call runs, which takes
    the interpreter. `probes` are slots of loads from kernel objects, which give 0 where nothing is.
    """

    def __init__(self, code: Code, arena: Arena, host: Any, *, checked: bool = True,
                 probes: frozenset[int] = frozenset()) -> None:
        self.code = code
        self.arena = arena
        self.host = host
        self.checked = checked
        self.probes = probes
        self.registers = [0] * 11
        self.frames: list[tuple[int, list[int]]] = []
        self.outer: list[tuple[int, list[int]]] = []  # frames that callbacks interrupt, innermost first
        self.nested = 0
        self.count = 0
        self.rounds: dict[int, int] = {}
        self.trace: Callable[[int, list[int]], None] | None = None
        self.counts: Counts | None = None
        self.stack_top = 0
        self.ended = 0  # the slot that ended the last run
        self._at = 0
        self._steps: list[Step | None] = [None] * len(code.slots)

    # running

    def run(self, slot: int, arguments: tuple[int, ...], *, cpu: int = 0, budget: int = 1 << 32) -> int:
        """Run the function at `slot` to its end; r0. Raises Fault."""
        self.stack_top = self.arena.stack_top(cpu)
        self.registers[:] = [0] * 11
        self.registers[10] = self.stack_top
        self.registers[1:1 + len(arguments)] = [a & _WORD for a in arguments]
        self.frames.clear()
        self.outer.clear()
        self.nested = 0
        self.rounds.clear()
        self.count = 0
        if self.checked:
            self.arena.forbid(self.stack_top - STACK_SIZE, STACK_SIZE)
        self._frame(self.stack_top)
        return self._go(slot, budget)

    def probe(self, slot: int) -> None:
        """From now on a load at this slot gives 0 where nothing is."""
        self.probes |= {slot}
        self._steps[slot] = None

    def _frame(self, top: int) -> None:
        """A new frame ends at `top`: zeroed, and the program's own."""
        if self.checked:
            self.arena.memory[top - FRAME:top] = bytes(FRAME)
            self.arena.allow(top - FRAME, FRAME)

    def resume(self, slot: int, budget: int = 1 << 32) -> int:
        """Go on from a slot with registers and frames as they stand; r0."""
        return self._go(slot, budget)

    def call(self, address: int, *arguments: int) -> int:
        """A helper calls back: run the function whose address a program passed, on a frame below the present one."""
        slot = address - FUNCTIONS
        if not 0 <= slot < len(self.code.slots) or slot not in self.code.starts:
            raise Fault("call", slot, address)
        kept = list(self.registers)
        frames, self.frames = self.frames, []
        outer, self.outer = self.outer, [(self._at + 1, kept[6:11]), *reversed(frames), *self.outer]
        self.nested += 1
        registers = self.registers
        registers[1:6] = [a & _WORD for a in arguments] + [0] * (5 - len(arguments))
        registers[10] = kept[10] - FRAME
        try:
            if registers[10] < self.stack_top - STACK_SIZE + FRAME:
                raise Fault("depth", slot)
            self._frame(registers[10])
            return self._go(slot, 1 << 32)
        finally:
            if self.checked:
                self.arena.forbid(registers[10] - FRAME, FRAME)
            self.frames, self.outer = frames, outer
            self.nested -= 1
            registers[:] = kept

    def _go(self, slot: int, budget: int) -> int:
        registers, steps, trace = self.registers, self._steps, self.trace
        count = self.count
        counts = self.counts
        limit = count + budget
        at = slot
        try:
            while at >= 0:
                if trace is not None:
                    self.count = count
                    self._at = at
                    trace(at, registers)
                step = steps[at] or self._made(at)
                count += 1
                if count > limit:
                    raise Fault("budget", at)
                if counts is not None:
                    at = self._counted(counts, at, step)
                    continue
                at = step(registers)
        except error:
            raise self._access_fault(at) from None
        finally:
            self.count = max(self.count, count)
        return registers[0]

    def _counted(self, counts: Counts, at: int, step: Step) -> int:
        counts.ran[at] += 1  # also when it faults
        following = step(self.registers)
        instruction = self.code.slots[at]
        assert instruction is not None
        if following != at + instruction.slots and is_branch(instruction.opcode):
            counts.taken[at] += 1
        return following

    def _access_fault(self, slot: int) -> Fault:
        instruction = self.code.slots[slot]
        assert instruction is not None
        write = instruction.row.op in ("st", "stx", "atomic")
        base = self.registers[instruction.dst if write else instruction.src]
        return Fault("write" if write else "read", slot, base + instruction.offset & _WORD)

    def _made(self, slot: int) -> Step:
        instruction = self.code.slots[slot]
        if instruction is None or means_nothing(instruction):
            raise Fault("instruction", slot)
        made: Step = getattr(self, "_" + _FAMILIES[instruction.row.op])(slot, instruction)
        self._steps[slot] = made
        return made

    # one family of instructions each: what to do is decided here, once

    def _arithmetic(self, slot: int, i: Instruction) -> Step:
        row, then, d, s = i.row, slot + 1, i.dst, i.src
        bits = row.width
        mask = (1 << bits) - 1
        if i.meaning == "movsx":
            width = i.offset

            def movsx(r: list[int]) -> int:
                r[d] = signed(r[s] & (1 << width) - 1, width) & mask
                return then

            return movsx
        if row.op == "neg":
            def neg(r: list[int]) -> int:
                r[d] = -r[d] & mask
                return then

            return neg
        compute = ARITHMETIC[i.meaning].compute
        if row.operand == "k":
            number = i.imm & mask
            if row.op == "mov":
                def set_number(r: list[int]) -> int:
                    r[d] = number
                    return then

                return set_number

            def with_number(r: list[int]) -> int:
                r[d] = compute(r[d] & mask, number, bits) & mask
                return then

            return with_number

        def with_register(r: list[int]) -> int:
            r[d] = compute(r[d] & mask, r[s] & mask, bits) & mask
            return then

        return with_register

    def _swap(self, slot: int, i: Instruction) -> Step:
        then, d, bits = slot + 1, i.dst, i.imm
        if bits not in (16, 32, 64):
            raise Fault("instruction", slot)
        mask = (1 << bits) - 1
        if i.row.op == "to_le":
            def cut(r: list[int]) -> int:
                r[d] &= mask
                return then

            return cut

        def turn(r: list[int]) -> int:
            r[d] = swap(r[d], bits)
            return then

        return turn

    def _jump(self, slot: int, i: Instruction) -> Step:
        to = self.code.target(slot)
        return lambda r: to

    def _branch(self, slot: int, i: Instruction) -> Step:
        row, then, to, d, s = i.row, slot + 1, self.code.target(slot), i.dst, i.src
        holds, bits = COMPARISONS[row.op].holds, row.width
        mask = (1 << bits) - 1
        if row.operand == "k":
            number = i.imm & mask
            return lambda r: to if holds(r[d] & mask, number, bits) else then
        return lambda r: to if holds(r[d] & mask, r[s] & mask, bits) else then

    def _may_goto(self, slot: int, i: Instruction) -> Step:
        then, to = slot + 1, self.code.target(slot)

        def maybe(r: list[int]) -> int:
            left = self.rounds.get(r[10], _MAY_GOTO)  # one budget a frame, as the kernel keeps it
            self.rounds[r[10]] = left - 1 if left else 0
            return then if left else to

        return maybe

    def _wide(self, slot: int, i: Instruction) -> Step:
        d, value, then = i.dst, i.wide, slot + 2
        if i.src == 4:
            value = FUNCTIONS + slot + 1 + i.imm
        elif i.src:
            raise Fault("instruction", slot)

        def load(r: list[int]) -> int:
            r[d] = value
            return then

        return load

    def _load(self, slot: int, i: Instruction) -> Step:
        row, then, d, s, offset = i.row, slot + 1, i.dst, i.src, i.offset
        size, memory = row.width // 8, self.arena.memory
        unpack = (_SIGNED if row.op == "ldxs" else _FORMS)[row.width].unpack_from
        may = self.arena.may
        if slot in self.probes:
            def probe(r: list[int]) -> int:
                at = r[s] + offset & _WORD
                r[d] = unpack(memory, at)[0] & _WORD if may(at, size, write=False) else 0
                return then

            return probe
        if self.checked:
            def load_checked(r: list[int]) -> int:
                at = r[s] + offset & _WORD
                if not may(at, size, write=False):
                    raise Fault("read", slot, at)
                r[d] = unpack(memory, at)[0] & _WORD
                return then

            return load_checked

        def load(r: list[int]) -> int:
            r[d] = unpack(memory, r[s] + offset & _WORD)[0] & _WORD
            return then

        return load

    def _store(self, slot: int, i: Instruction) -> Step:
        row, then, d, s, offset = i.row, slot + 1, i.dst, i.src, i.offset
        size, memory, mask = row.width // 8, self.arena.memory, (1 << row.width) - 1
        pack, may, checked = _FORMS[row.width].pack_into, self.arena.may, self.checked
        number = i.imm & mask
        of_number = row.op == "st"

        def store(r: list[int]) -> int:
            at = r[d] + offset & _WORD
            if checked and not may(at, size, write=True):
                raise Fault("write", slot, at)
            pack(memory, at, number if of_number else r[s] & mask)
            return then

        return store

    def _atomic(self, slot: int, i: Instruction) -> Step:
        row, then, d, s, offset = i.row, slot + 1, i.dst, i.src, i.offset
        size, memory, mask = row.width // 8, self.arena.memory, (1 << row.width) - 1
        form, may, checked = _FORMS[row.width], self.arena.may, self.checked
        kind = i.meaning.removeprefix("atomic_")
        if kind == "load_acquire":
            return self._load(slot, i._replace(opcode=0x61 | row.code & 0x18, imm=0))
        if kind == "store_release":
            return self._store(slot, i._replace(opcode=0x63 | row.code & 0x18, imm=0))
        if row.width < 32:
            raise Fault("instruction", slot)
        fetch = kind.startswith("fetch_")
        compute = _ATOMICS.get(kind.removeprefix("fetch_"))

        def atomic(r: list[int]) -> int:
            at = r[d] + offset & _WORD
            if checked and not may(at, size, write=True):
                raise Fault("write", slot, at)
            old = form.unpack_from(memory, at)[0]
            if compute is not None:
                form.pack_into(memory, at, compute(old, r[s] & mask) & mask)
                if fetch:
                    r[s] = old
            elif kind == "xchg":
                form.pack_into(memory, at, r[s] & mask)
                r[s] = old
            else:
                if old == r[0] & mask:
                    form.pack_into(memory, at, r[s] & mask)
                r[0] = old
            return then

        return atomic

    def _packet(self, slot: int, i: Instruction) -> Step:
        """Loads of a packet's bytes by offset, from classic BPF: they end the program where there is no such byte."""
        then, s, imm, size = slot + 1, i.src, i.imm, i.row.width // 8
        indirect = i.row.op == "ldind"

        def read(r: list[int]) -> int:
            if not guard_context(r[6]):
                raise Fault("call", slot, r[6])
            offset = imm + (signed(r[s] & _HALF, 32) if indirect else 0)
            data = self.host.packet_bytes(r[6], offset, size)
            if data is None:
                r[0] = 0
                return self._leave(r)
            r[0] = int.from_bytes(data, "big")
            return then

        return read

    def _call(self, slot: int, i: Instruction) -> Step:
        then = slot + 1
        if i.row.op == "callx":
            d = i.dst

            def call_register(r: list[int]) -> int:
                to = r[d] - FUNCTIONS
                if to < 0:  # the number of a helper
                    found = self.host.helper(r[d], slot)(self, r)
                    if found is None:
                        return self._leave(r)
                    r[0] = found & _WORD
                    return then
                if to >= len(self.code.slots) or self.code.slots[to] is None:
                    raise Fault("call", slot, r[d])
                return self._enter(r, slot, then, to)

            return call_register
        if i.src == 1:
            to = self.code.target(slot)
            return lambda r: self._enter(r, slot, then, to)
        body = self.host.kernel_function(i.imm, slot) if i.src == KFUNC else self.host.helper(i.imm, slot)

        def call(r: list[int]) -> int:
            found = body(self, r)
            if found is None:  # it chose the next instruction itself
                return self._leave(r)
            r[0] = found & _WORD
            return then

        return call

    def _enter(self, r: list[int], slot: int, then: int, to: int) -> int:
        if len(self.frames) >= _MOST_FRAMES:
            raise Fault("depth", slot)
        self.frames.append((then, r[6:11]))
        r[10] -= FRAME
        self.rounds.pop(r[10], None)
        self._frame(r[10])
        return to

    def _leave(self, r: list[int]) -> int:
        if not self.frames:
            return END
        if self.checked:
            self.arena.forbid(r[10] - FRAME, FRAME)
        then, r[6:11] = self.frames.pop()
        return then

    def _exit(self, slot: int, i: Instruction) -> Step:
        def leave(r: list[int]) -> int:
            self.ended = slot
            return self._leave(r)

        return leave

    def _nothing(self, slot: int, i: Instruction) -> Step:
        raise Fault("instruction", slot)


_FAMILIES = {**dict.fromkeys((op for op in ARITHMETIC if op not in ("sdiv", "smod")), "arithmetic"),
             **dict.fromkeys(COMPARISONS, "branch"), "neg": "arithmetic", "to_le": "swap",
             "to_be": "swap", "bswap": "swap", "ja": "jump",
             "gotox": "nothing", "call": "call", "callx": "call", "exit": "exit", "may_goto": "may_goto",
             "ldimm64": "wide", "ldabs": "packet", "ldind": "packet", "ldx": "load", "ldxs": "load", "st": "store",
             "stx": "store", "atomic": "atomic"}
"""The family of each operation of the opcode table; a test holds the two against each other."""
