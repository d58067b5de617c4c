"""A function's frame in LLVM's text: its blocks, its registers, and the checks of what it may reach."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.errors import NotSupported
from bpfwright.formats.isa.instructions import Instruction
from bpfwright.spec import page as P
from bpfwright.userspace.arena import FRAME

__all__ = ["BUDGET", "CALL", "DEPTH", "NONSENSE", "READ", "WRITE", "FunctionText"]

READ, WRITE, BUDGET, DEPTH, NONSENSE, CALL = 1, 2, 3, 4, 5, 6  # what a fault is: KINDS of the translator
_LARGEST = 200_000  # slots, over all functions
_MAY_GOTO_BUDGET = 8_388_608
_EXIT, _JA, _JA32 = 0x95, 0x05, 0x06


class FunctionText:
    """One function of the bytecode: what its first instruction reaches; registers, faults, checks of accesses. What
    instructions become is said by who is made of this."""

    def __init__(self, module: Any, start: int) -> None:
        self.module = module
        self.code = module.code
        self.start = start
        self.lines: list[str] = []
        self.count = 0
        self.maps: dict[int, str] = {}
        self.counts_rounds = False
        self.groups: dict[int, tuple[int, int, int, bool]] = {}
        self.covered: dict[int, str] = {}

    def fresh(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def out(self, line: str) -> None:
        self.lines.append("  " + line)

    def text(self) -> str:
        reached, leaders = self._reach()
        self.module.total += len(reached)
        if self.module.total > _LARGEST:
            raise NotSupported("this program is too large for the JIT", cure="The interpreter runs it.")
        if self.module.checked:
            self._group(reached, leaders)
        heads = {to for slot in reached for to in self._targets(slot) if to <= slot}
        for slot in sorted(reached):
            if slot in leaders:
                self.maps = {}
                if self.lines and not self.lines[-1].lstrip().startswith(("br ", "ret ", "unreachable")):
                    self.out(f"br label %L{slot}")
                self.lines.append(f"L{slot}:")
                self._tally(slot, 0)
                if self.module.checked and slot in heads:
                    self._spend(slot)
            instruction = self.code.slots[slot]
            assert instruction is not None
            self._one(slot, instruction)
            following = slot + instruction.slots
            if following not in reached and not self.lines[-1].lstrip().startswith(("br ", "ret ", "unreachable")):
                self._fault(NONSENSE, slot)
        words = ", ".join(f"i64 %a{i}" for i in range(1, 6))
        head = [f"define internal i64 @f{self.start}({words}, i64 %sp) nounwind {{", "entry:",
                "  %base = load ptr, ptr @arena, !invariant.load !0"]
        head += [f"  %R{i} = alloca i64" for i in range(10)]
        head += [f"  store i64 {f'%a{i}' if 1 <= i <= 5 else 0}, ptr %R{i}" for i in range(10)]
        if self.counts_rounds:
            head += ["  %rounds = alloca i64", f"  store i64 {_MAY_GOTO_BUDGET}, ptr %rounds"]
        head.append("  %R10 = alloca i64\n  store i64 %sp, ptr %R10")
        if self.module.checked:
            head += ["  %fine = call i1 @frame(i64 %sp)", "  br i1 %fine, label %begin, label %deep", "deep:",
                     f"  call void @fault(i32 {DEPTH}, i32 {self.start}, i64 0)", "  ret i64 0", "begin:"]
        head.append(f"  br label %L{self.start}")
        return "\n".join([*head, *self.lines, "}"])

    def _targets(self, slot: int) -> list[int]:
        instruction = self.code.slots[slot]
        assert instruction is not None
        opcode = instruction.opcode
        if opcode & 7 in (5, 6) and opcode not in (_EXIT, 0x85, 0x8D, 0x0D):
            return [self.code.target(slot)]
        return []

    def _reach(self) -> tuple[set[int], set[int]]:
        reached: set[int] = set()
        leaders = {self.start}
        waiting = [self.start]
        while waiting:
            slot = waiting.pop()
            while slot not in reached:
                instruction = self.code.slots[slot] if slot < len(self.code.slots) else None
                if instruction is None:
                    break
                reached.add(slot)
                targets = self._targets(slot)
                leaders.update(targets)
                waiting += targets
                if instruction.opcode in (_EXIT, _JA, _JA32, 0x0D):
                    break
                slot += instruction.slots
                if targets or (self.module.counters and instruction.opcode == 0x85 and not instruction.src
                               and instruction.imm == 12):  # behind a tail call one counts anew
                    leaders.add(slot)
        return reached, leaders

    def _group(self, reached: set[int], leaders: set[int]) -> None:
        """Accesses of one straight run through one register that nothing changes: one look at the shadow serves all.

        `groups` says for each slot (leader of the group, least offset, bytes from there, whether any writes) by the
        first of them; slots that stand alone are not in it.
        """
        open_groups: dict[int, list[int]] = {}

        def close(register: int) -> None:
            slots = open_groups.pop(register, [])
            places = [(self._access(slot), slot) for slot in slots]
            if len(places) > 1:
                low = min(place[1] for place, _ in places if place)
                high = max(place[1] + place[2] for place, _ in places if place)
                if high - low <= 255:
                    wide = any(place[3] for place, _ in places if place)
                    for _, slot in places:
                        self.groups[slot] = slots[0], low, high - low, wide

        for slot in sorted(reached):
            instruction = self.code.slots[slot]
            assert instruction is not None
            if slot in leaders:
                for register in list(open_groups):
                    close(register)
            access = self._access(slot)
            if access:
                open_groups.setdefault(access[0], []).append(slot)
            kind = instruction.opcode & 7
            if kind in (5, 6):
                for register in list(open_groups):
                    close(register)
            elif kind in (0, 1, 4, 7):
                close(instruction.dst)
            elif instruction.row.op == "atomic":
                for register in {instruction.src, instruction.dst, 0}:
                    close(register)
        for register in list(open_groups):
            close(register)

    def _access(self, slot: int) -> tuple[int, int, int, bool] | None:
        """(base register, offset, bytes, whether it writes) of a plain load or store."""
        i = self.code.slots[slot]
        assert i is not None
        if i.row.op in ("ldx", "ldxs") and slot not in self.module.probes:
            return i.src, i.offset, i.row.width // 8, False
        return (i.dst, i.offset, i.row.width // 8, True) if i.row.op in ("st", "stx") else None

    # pieces

    def get(self, register: int, bits: int = 64) -> str:
        value = self.fresh()
        self.out(f"{value} = load i64, ptr %R{register}")
        if bits == 64:
            return value
        narrow = self.fresh()
        self.out(f"{narrow} = trunc i64 {value} to i{bits}")
        return narrow

    def put(self, register: int, value: str, bits: int = 64) -> None:
        if bits < 64:
            wide = self.fresh()
            self.out(f"{wide} = zext i{bits} {value} to i64")
            value = wide
        self.out(f"store i64 {value}, ptr %R{register}")
        self.maps.pop(register, None)

    def _fault(self, kind: int, slot: int, address: str = "0") -> None:
        self.out(f"call void @fault(i32 {kind}, i32 {slot}, i64 {address})")
        self.out("ret i64 0")

    def _unless(self, good: str, kind: int, slot: int, address: str = "0") -> None:
        self.count += 1
        fine, bad = f"ok{self.count}", f"bad{self.count}"
        self.out(f"br i1 {good}, label %{fine}, label %{bad}, !prof !1")
        self.lines.append(f"{bad}:")
        self._fault(kind, slot, address)
        self.lines.append(f"{fine}:")

    def _tally(self, slot: int, which: int) -> None:
        """Count, where the module counts."""
        if self.module.counters:
            place, old, new = self.fresh(), self.fresh(), self.fresh()
            self.out(f"{place} = getelementptr i8, ptr %base, i64 {self.module.counters + 16 * slot + 8 * which}")
            self.out(f"{old} = load i64, ptr {place}")
            self.out(f"{new} = add i64 {old}, 1")
            self.out(f"store i64 {new}, ptr {place}")

    def _spend(self, slot: int) -> None:
        """At the head of a loop: one round of the budget."""
        left, less, good = self.fresh(), self.fresh(), self.fresh()
        self.out(f"{left} = load i64, ptr @budget")
        self.out(f"{less} = sub i64 {left}, 1")
        self.out(f"store i64 {less}, ptr @budget")
        self.out(f"{good} = icmp sgt i64 {less}, 0")
        self._unless(good, BUDGET, slot)

    def _stop_on_fault(self) -> None:
        place, kind, good = self.fresh(), self.fresh(), self.fresh()
        self.count += 1
        self.out(f"{place} = getelementptr i8, ptr %base, i64 {P.FAULT}")
        self.out(f"{kind} = load i32, ptr {place}, align 4")
        self.out(f"{good} = icmp eq i32 {kind}, 0")
        self.out(f"br i1 {good}, label %on{self.count}, label %off{self.count}, !prof !1")
        self.lines.append(f"off{self.count}:")
        self.out("ret i64 0")
        self.lines.append(f"on{self.count}:")

    def address(self, slot: int, register: int, offset: int, size: int, *, write: bool) -> str:
        """A pointer to memory that may be accessed; in checked code the fault is on the way."""
        base = self.get(register)
        at = base
        if offset:
            at = self.fresh()
            self.out(f"{at} = add i64 {base}, {offset}")
        if slot in self.module.probes and not write:
            return at
        if self.module.checked and not (register == 10 and -FRAME <= offset <= -size):
            self._check(slot, base, at, size, write=write)
        pointer = self.fresh()
        self.out(f"{pointer} = getelementptr i8, ptr %base, i64 {at}")
        return pointer

    def _check(self, slot: int, base: str, at: str, size: int, *, write: bool) -> None:
        """Fault unless the access is allowed; what its group's first look covered is not looked at again."""
        kind = WRITE if write else READ
        group = self.groups.get(slot)
        if group is None:
            self._unless(self._allowed(at, size, write=write), kind, slot, at)
            return
        first, low, span, wide = group
        if first not in self.covered:  # the group's first access may need no look: the frame's own bytes
            least = self.fresh()
            self.out(f"{least} = add i64 {base}, {low}")
            self.covered[first] = self._allowed(least, span, write=wide)
        self.count += 1
        look, fine = f"look{self.count}", f"fine{self.count}"
        self.out(f"br i1 {self.covered[first]}, label %{fine}, label %{look}, !prof !1")
        self.lines.append(f"{look}:")
        self._unless(self._allowed(at, size, write=write), kind, slot, at)
        self.out(f"br label %{fine}")
        self.lines.append(f"{fine}:")

    def _allowed(self, at: str, size: int, *, write: bool = False) -> str:
        """Whether `size` bytes at an address are the program's own, by the arena's shadow."""
        high, inside, low, place, pointer, run, enough, good = (self.fresh() for _ in range(8))
        bits = self.module.arena_bits - write  # the upper half is only read
        self.out(f"{high} = lshr i64 {at}, {bits}")
        self.out(f"{inside} = icmp eq i64 {high}, 0")
        self.out(f"{low} = and i64 {at}, {(1 << bits) - 1}")
        self.out(f"{place} = add i64 {low}, {1 << self.module.arena_bits}")
        self.out(f"{pointer} = getelementptr i8, ptr %base, i64 {place}")
        self.out(f"{run} = load i8, ptr {pointer}, align 1")
        self.out(f"{enough} = icmp uge i8 {run}, {size}")
        self.out(f"{good} = and i1 {inside}, {enough}")
        return good

    def _one(self, slot: int, i: Instruction) -> None:
        raise NotImplementedError
