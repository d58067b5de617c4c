"""Bytecode to LLVM's text to native code of this process.

A verified program runs as it is. Any other has each access checked against the arena's shadow, its depth against the
stack and its loops against a budget: it stops at the first fault, and cannot reach this process's memory.
Registers are allocas, which LLVM turns into registers; each basic block of the bytecode is one of LLVM's.
"""
from __future__ import annotations

from bpfwright._typing import Callable
from bpfwright.errors import NotSupported
from bpfwright.formats.isa.instructions import Instruction
from bpfwright.formats.isa.semantics import ARITHMETIC, COMPARISONS
from bpfwright.maps.stores._header import KIND
from bpfwright.spec import page as P
from bpfwright.userspace.arena import FRAME
from bpfwright.userspace.calls import STORE_CALLS
from bpfwright.userspace.code import FUNCTIONS, KFUNC, Code, means_nothing
from bpfwright.userspace.jit_function import BUDGET, CALL, DEPTH, NONSENSE, READ, WRITE, FunctionText
from bpfwright.userspace.jit_texts import CALL_BY_REGISTER, DRIVE, FOR_EACH, LOOP, RUNNING, WORDS

__all__ = ["KINDS", "MapAt", "translate"]

KINDS = {READ: "read", WRITE: "write", BUDGET: "budget", DEPTH: "depth", NONSENSE: "instruction", CALL: "call"}
"""What the number in the machine's page means after a run: a Fault's kind."""
_ATOMICS = {"add": "add", "or": "or", "and": "and", "xor": "xor"}

MapAt = Callable[[int], str]
"""The file of the store of the map at an address; empty when there is none."""


def translate(code: Code, *, checked: bool, map_at: MapAt, arguments: Callable[[str], int],
              helper: Callable[[int], str], probes: frozenset[int] = frozenset(), arena_bits: int = 30,
              stores: dict[int, str] | None = None, stage: str = "", counters: int = 0) -> tuple[str, frozenset[str]]:
    """The module's text, and the functions that it needs.

    It defines `enter_with(a1, a2, sp, budget)` and `repeat(ctx, sp, budget, times)`.

    `helper` gives the native name of helper or (negative) kernel function numbers, empty for what Python answers;
    `arguments` how many words a native name takes. Whoever loads the module sets its word `arena`. Raises NotSupported
    for what only the interpreter runs. With `stage` (`xdp`, `skb`) it defines `drive` too, the loop over packets.
    `counters` is the address of two 64-bit words a slot: how often the straight run that begins there was entered, and
    how often the branch there was taken; 0: nothing is counted.
    """
    module = _Module(code, checked, map_at, arguments, helper, probes, arena_bits, stores or {}, stage, counters)
    return module.text(), frozenset(module.declared)


class _Module:
    def __init__(self, code: Code, checked: bool, map_at: MapAt, arguments: Callable[[str], int],
                 helper: Callable[[int], str], probes: frozenset[int], arena_bits: int, stores: dict[int, str],
                 stage: str, counters: int) -> None:
        self.code = code
        self.checked = checked
        self.map_at = map_at
        self.arguments = arguments
        self.helper = helper
        self.probes = probes
        self.arena_bits = arena_bits
        self.stores = stores
        self.stage = stage
        self.counters = counters
        self.declared: dict[str, int] = {}
        self.dispatched: dict[str, tuple[str, int]] = {}
        self.total = 0
        self.by_register = False
        self.walks = False
        self.loops = False

    def text(self) -> str:
        functions = [_Function(self, start).text() for start in self.code.starts]
        if self.walks:
            for operation in ("each", "key_of", "value_of"):
                self.dispatch(operation, 2)
        parts = [WORDS, *functions, RUNNING]
        # Only what is called: every line is optimised anew for every program.
        callers = [text for used, text in ((self.by_register, CALL_BY_REGISTER), (self.walks, FOR_EACH),
                                           (self.loops, LOOP)) if used]
        if callers:
            parts += [self._indirect(), *callers]
        if self.stage:
            parts.append(DRIVE.format(stage=self.stage, FAULT=P.FAULT))
            self.declared |= {f"{self.stage}_lay_out": 3, f"{self.stage}_collect": 2}
        parts += [self._dispatch(name, operation, count) for name, (operation, count) in self.dispatched.items()]
        parts += [f"declare i64 @{name}({', '.join(['i64'] * count)})" for name, count in self.declared.items()]
        return "\n".join(parts)

    def name(self, wanted: str) -> str:
        """A native function, declared."""
        self.declared.setdefault(wanted, self.arguments(wanted))
        return wanted

    def dispatch(self, operation: str, count: int) -> str:
        """A function that looks up the map's type first."""
        name = f"any_{operation}"
        self.dispatched[name] = operation, count
        return name

    def _dispatch(self, name: str, operation: str, count: int) -> str:
        names = [f"%a{i}" for i in range(count)]
        shown = ", ".join(f"i64 {n}" for n in names)
        cases, blocks = [], []
        for kind, file in self.stores.items():
            target = f"{file}_{operation}"
            if self.arguments(target):
                self.name(target)
                cases.append(f"i32 {kind}, label %k{kind}")
                blocks.append(f"k{kind}:\n  %r{kind} = call i64 @{target}({shown})\n  ret i64 %r{kind}")
        return (f"define internal i64 @{name}({shown}) {{\n  %base = load ptr, ptr @arena\n"
                f"  %m = and i64 %a0, {(1 << self.arena_bits) - 1}\n"
                f"  %at = getelementptr i8, ptr %base, i64 %m\n  %p = getelementptr i8, ptr %at, i64 {KIND}\n"
                f"  %kind = load i32, ptr %p, align 1\n"
                f"  switch i32 %kind, label %none [{' '.join(cases)}]\n"
                + "\n".join(blocks) + "\nnone:\n  ret i64 -22\n}")

    def _indirect(self) -> str:
        """Calls by a function's address: of callbacks, and of callx."""
        cases = " ".join(f"i64 {FUNCTIONS + start}, label %f{start}" for start in self.code.starts)
        words = ", ".join(f"i64 %a{i}" for i in range(1, 6))
        blocks = "\n".join(f"f{start}:\n  %r{start} = call i64 @f{start}({words}, i64 %sp)\n  ret i64 %r{start}"
                           for start in self.code.starts)
        return (f"define internal i64 @indirect(i64 %address, {words}, i64 %sp) {{\n"
                f"  switch i64 %address, label %none [{cases}]\n{blocks}\nnone:\n"
                f"  call void @fault(i32 {CALL}, i32 0, i64 %address)\n  ret i64 0\n}}")


class _Function(FunctionText):
    """What its instructions become."""

    def _one(self, slot: int, i: Instruction) -> None:
        op = i.row.op
        if means_nothing(i):
            self._fault(NONSENSE, slot)
            self.count += 1  # what stands behind it is reached by no path, and LLVM wants a block for it
            self.lines.append(f"behind{self.count}:")
        elif op in ARITHMETIC or op == "neg":
            self._arithmetic(i)
        elif op in COMPARISONS:
            self._branch(slot, i)
        elif op in _PLAIN:
            _PLAIN[op](self, slot, i)
        else:
            raise NotSupported(f"the JIT does not run `{op}`", cure="The interpreter does.")

    def _arithmetic(self, i: Instruction) -> None:
        bits, d = i.row.width, i.dst
        if i.meaning == "movsx":
            narrow, wide = self.get(i.src, i.offset), self.fresh()
            self.out(f"{wide} = sext i{i.offset} {narrow} to i{bits}")
            self.put(d, wide, bits)
            return
        if i.row.op == "neg":
            value, result = self.get(d, bits), self.fresh()
            self.out(f"{result} = sub i{bits} 0, {value}")
            self.put(d, result, bits)
            return
        b = str(i.imm) if i.row.operand == "k" else self.get(i.src, bits)
        if i.row.op == "mov":
            known = self.maps.get(i.src, "") if i.row.operand == "x" and bits == 64 else ""
            if i.row.operand == "k":
                b = str(i.imm & (1 << bits) - 1)
                if bits == 32:
                    self.out(f"store i64 {b}, ptr %R{d}")
                    self.maps.pop(d, None)
                    return
            self.put(d, b, bits)
            if known:
                self.maps[d] = known
            return
        a, result = self.get(d, bits), self.fresh()
        names = {"a": a, "b": b, "type": f"i{bits}", "bits": bits, "mask": bits - 1, "out": result, "t": self.fresh()}
        for line in ARITHMETIC[i.meaning].llvm:
            self.out(line.format_map(names))
        self.put(d, result, bits)

    def _swap(self, slot: int, i: Instruction) -> None:
        bits = i.imm
        if bits not in (16, 32, 64):
            self._fault(NONSENSE, slot)
            return
        value = self.get(i.dst, bits)
        if i.row.op != "to_le":
            turned = self.fresh()
            self.out(f"{turned} = call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
            value = turned
        self.put(i.dst, value, bits)

    def _jump(self, slot: int, i: Instruction) -> None:
        self.out(f"br label %L{self.code.target(slot)}")

    def _branch(self, slot: int, i: Instruction) -> None:
        bits, test = i.row.width, self.fresh()
        a = self.get(i.dst, bits)
        b = str(i.imm) if i.row.operand == "k" else self.get(i.src, bits)
        predicate = COMPARISONS[i.row.op].llvm
        if not predicate:
            both = self.fresh()
            self.out(f"{both} = and i{bits} {a}, {b}")
            a, b, predicate = both, "0", "ne"
        self.out(f"{test} = icmp {predicate} i{bits} {a}, {b}")
        self._fork(test, slot, i)

    def _fork(self, test: str, slot: int, i: Instruction) -> None:
        then, to = slot + i.slots, f"L{self.code.target(slot)}"
        if self.module.counters:
            taken, on = f"taken{slot}", f"not{slot}"
            self.out(f"br i1 {test}, label %{taken}, label %{on}")
            self.lines.append(f"{taken}:")
            self._tally(slot, 1)
            self.out(f"br label %{to}")
            self.lines.append(f"{on}:")
            test, to = "false", taken
        if then >= len(self.code.slots) or self.code.slots[then] is None:
            self.out(f"br i1 {test}, label %{to}, label %end{slot}")
            self.lines.append(f"end{slot}:")
            self._fault(NONSENSE, slot)
            return
        self.out(f"br i1 {test}, label %{to}, label %L{then}")

    def _may_goto(self, slot: int, i: Instruction) -> None:
        self.counts_rounds = True
        left, less, over = self.fresh(), self.fresh(), self.fresh()
        self.out(f"{left} = load i64, ptr %rounds")
        self.out(f"{over} = icmp eq i64 {left}, 0")
        self.out(f"{less} = sub i64 {left}, 1")
        kept = self.fresh()
        self.out(f"{kept} = select i1 {over}, i64 0, i64 {less}")
        self.out(f"store i64 {kept}, ptr %rounds")
        self._fork(over, slot, i)

    def _wide(self, slot: int, i: Instruction) -> None:
        value = FUNCTIONS + slot + 1 + i.imm if i.src == 4 else i.wide
        if i.src not in (0, 4):
            self._fault(NONSENSE, slot)
            return
        self.out(f"store i64 {value - (1 << 64) if value >> 63 else value}, ptr %R{i.dst}")
        file = self.module.map_at(value)
        self.maps.pop(i.dst, None)
        if file:
            self.maps[i.dst] = file

    def _load(self, slot: int, i: Instruction) -> None:
        bits = i.row.width
        place = self.address(slot, i.src, i.offset, bits // 8, write=False)
        if slot in self.module.probes:
            self._probe(place, i)
            return
        value = self.fresh()
        self.out(f"{value} = load i{bits}, ptr {place}, align 1")
        self._loaded(value, i)

    def _loaded(self, value: str, i: Instruction) -> None:
        bits = i.row.width
        if i.row.op == "ldxs":
            wide = self.fresh()
            self.out(f"{wide} = sext i{bits} {value} to i64")
            self.put(i.dst, wide)
        else:
            self.put(i.dst, value, bits)

    def _probe(self, at: str, i: Instruction) -> None:
        """A load from a kernel object, which gives 0 where nothing is."""
        bits = i.row.width
        good = self._allowed(at, bits // 8)
        safe, pointer, value, found = (self.fresh() for _ in range(4))
        self.out(f"{safe} = select i1 {good}, i64 {at}, i64 {P.PAGE}")
        self.out(f"{pointer} = getelementptr i8, ptr %base, i64 {safe}")
        self.out(f"{value} = load i{bits}, ptr {pointer}, align 1")
        self.out(f"{found} = select i1 {good}, i{bits} {value}, i{bits} 0")
        self._loaded(found, i)

    def _store(self, slot: int, i: Instruction) -> None:
        bits = i.row.width
        place = self.address(slot, i.dst, i.offset, bits // 8, write=True)
        value = str(i.imm) if i.row.op == "st" else self.get(i.src, bits)
        if i.row.op == "st":
            number = i.imm & (1 << bits) - 1
            value = str(number - (1 << bits) if number >> (bits - 1) else number)
        self.out(f"store i{bits} {value}, ptr {place}, align 1")

    def _atomic(self, slot: int, i: Instruction) -> None:
        bits = i.row.width
        kind = i.meaning.removeprefix("atomic_")
        if kind == "load_acquire":
            self._load(slot, i._replace(opcode=0x61 | i.row.code & 0x18, imm=0))
            return
        if kind == "store_release":
            self._store(slot, i._replace(opcode=0x63 | i.row.code & 0x18, imm=0))
            return
        if bits < 32:
            self._fault(NONSENSE, slot)
            return
        place = self.address(slot, i.dst, i.offset, bits // 8, write=True)
        old = self.fresh()
        self.out(f"{old} = load i{bits}, ptr {place}, align 1")
        given = self.get(i.src, bits)
        operation = _ATOMICS.get(kind.removeprefix("fetch_"))
        if operation:
            result = self.fresh()
            self.out(f"{result} = {operation} i{bits} {old}, {given}")
            self.out(f"store i{bits} {result}, ptr {place}, align 1")
            if kind.startswith("fetch_"):
                self.put(i.src, old, bits)
        elif kind == "xchg":
            self.out(f"store i{bits} {given}, ptr {place}, align 1")
            self.put(i.src, old, bits)
        else:
            expected, same, result = self.get(0, bits), self.fresh(), self.fresh()
            self.out(f"{same} = icmp eq i{bits} {old}, {expected}")
            self.out(f"{result} = select i1 {same}, i{bits} {given}, i{bits} {old}")
            self.out(f"store i{bits} {result}, ptr {place}, align 1")
            self.put(0, old, bits)

    def _packet(self, slot: int, i: Instruction) -> None:
        """A load of classic BPF: where the packet has no such byte, the function ends with 0."""
        self.module.name("packet_load")
        if self.module.checked:
            self.module.name("guard_context")
            known, right = self.fresh(), self.fresh()
            self.out(f"{known} = call i64 @guard_context(i64 {self.get(6)})")
            self.out(f"{right} = icmp ne i64 {known}, 0")
            self._unless(right, CALL, slot, self.get(6))
        offset, found, missing = self.fresh(), self.fresh(), self.fresh()
        given = self.get(i.src, 32) if i.row.op == "ldind" else "0"
        self.out(f"{offset} = add i32 {given}, {i.imm}")
        wide = self.fresh()
        self.out(f"{wide} = sext i32 {offset} to i64")
        self.out(f"{found} = call i64 @packet_load(i64 {self.get(6)}, i64 {wide}, i64 {i.row.width // 8})")
        self.out(f"{missing} = icmp slt i64 {found}, 0")
        self.count += 1
        self.out(f"br i1 {missing}, label %short{self.count}, label %long{self.count}")
        self.lines.append(f"short{self.count}:")
        if self.module.checked:
            self.out("call void @unframe(i64 %sp)")
        self.out("ret i64 0")
        self.lines.append(f"long{self.count}:")
        self.put(0, found)

    def _exit(self, slot: int, i: Instruction) -> None:
        value = self.get(0)
        if self.module.checked:
            self.out("call void @unframe(i64 %sp)")
        self.out(f"ret i64 {value}")

    def _words(self, count: int) -> str:
        return ", ".join(f"i64 {self.get(n)}" for n in range(1, 1 + count))

    def _call(self, slot: int, i: Instruction) -> None:
        result, below = self.fresh(), self.fresh()
        if i.row.op == "callx":
            self.module.declared["python"] = 8
            self.module.by_register = True
            self.out(f"{below} = sub i64 %sp, {FRAME}")
            self.out(f"{result} = call i64 @callx(i64 {self.get(i.dst)}, i64 {slot}, {self._words(5)}, i64 {below})")
            self._answered(result, True)
            return
        if i.src == 1:
            self.out(f"{below} = sub i64 %sp, {FRAME}")
            self.out(f"{result} = call i64 @f{self.code.target(slot)}({self._words(5)}, i64 {below})")
            self._answered(result, self.module.checked)
            return
        number = -i.imm if i.src == KFUNC else i.imm
        if number == 12:
            self._tail_call(slot)
            return
        if number == 181:
            self.module.loops = True
            self.out(f"{below} = sub i64 %sp, {FRAME}")
            self.out(f"{result} = call i64 @loop({self._words(4)}, i64 {below})")
            self._answered(result, True)
            return
        if self.module.checked:
            self._guard(slot, number)
        if number == 164:
            self.module.walks = True
            self.out(f"{below} = sub i64 %sp, {FRAME}")
            self.out(f"{result} = call i64 @for_each({self._words(4)}, i64 {below})")
            self._answered(result, True)
            return
        if number in STORE_CALLS:
            operation, count = STORE_CALLS[number]
            file = self.maps.get(1, "")
            name = f"{file}_{operation}"
            if file and self.module.arguments(name):
                self.module.name(name)
            else:
                name = self.module.dispatch(operation, count)
            self.out(f"{result} = call i64 @{name}({self._words(count)})")
            self._answered(result, False)
            return
        name = self.module.helper(number)
        if name:
            self.module.name(name)
            self.out(f"{result} = call i64 @{name}({self._words(self.module.arguments(name))})")
            self._answered(result, False)
            return
        self.module.declared["python"] = 8
        self.out(f"{result} = call i64 @python(i64 {number}, i64 {slot}, {self._words(5)}, i64 %sp)")
        self._answered(result, True)

    def _guard(self, slot: int, number: int) -> None:
        """Fault unless a call's arguments are what they must be."""
        from bpfwright.userspace.guards import guards_of
        if not (number in STORE_CALLS or self.module.helper(number) or number == 164):
            return  # Python looks itself
        for guard in guards_of(number):
            if guard.name == "guard_map" and self.maps.get(guard.registers[0]):
                continue  # it was put there by the machine
            given = [self.get(register) for register in guard.registers]
            words = [*given, str(guard.size)] if guard.size else given
            first = given[-1] if guard.name in ("guard_key", "guard_value", "guard_room") else given[0]
            found, good = self.fresh(), self.fresh()
            self.module.name(guard.name)
            self.out(f"{found} = call i64 @{guard.name}({', '.join(f'i64 {word}' for word in words)})")
            self.out(f"{good} = icmp ne i64 {found}, 0")
            if guard.null:
                null, either = self.fresh(), self.fresh()
                self.out(f"{null} = icmp eq i64 {first}, 0")
                self.out(f"{either} = or i1 {good}, {null}")
                good = either
            self._unless(good, {"read": READ, "write": WRITE, "call": CALL}[guard.kind], slot, first)

    def _answered(self, result: str, may_fault: bool) -> None:
        if may_fault:
            self._stop_on_fault()
        self.put(0, result)
        for register in range(1, 6):
            self.maps.pop(register, None)

    def _tail_call(self, slot: int) -> None:
        """Where another program is in the slot, it takes this frame's place."""
        self.module.declared["tail_target"] = 2
        target, there, pointer, result = (self.fresh() for _ in range(4))
        self.count += 1
        this = self.count
        self.out(f"{target} = call i64 @tail_target(i64 {self.get(2)}, i64 {self.get(3)})")
        self.out(f"{there} = icmp ne i64 {target}, 0")
        self.out(f"br i1 {there}, label %tail{this}, label %stay{this}")
        self.lines.append(f"tail{this}:")
        self.out(f"{pointer} = inttoptr i64 {target} to ptr")
        if self.module.checked:
            self.out("call void @unframe(i64 %sp)")
        self.out(f"{result} = musttail call i64 {pointer}(i64 {self.get(1)}, i64 0, i64 0, i64 0, i64 0, i64 %sp)")
        self.out(f"ret i64 {result}")
        self.lines.append(f"stay{this}:")
        self.put(0, "-2")


_PLAIN: dict[str, Callable[[_Function, int, Instruction], None]] = {
    "to_le": _Function._swap, "to_be": _Function._swap, "bswap": _Function._swap, "ja": _Function._jump,
    "may_goto": _Function._may_goto, "ldimm64": _Function._wide, "ldx": _Function._load, "ldxs": _Function._load,
    "st": _Function._store, "stx": _Function._store, "atomic": _Function._atomic, "exit": _Function._exit,
    "call": _Function._call, "callx": _Function._call, "ldabs": _Function._packet, "ldind": _Function._packet,
}
