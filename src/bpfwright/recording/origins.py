"""Which loads of a program read memory that is not its own, and which fields of its context it reads.

One forward pass over registers and stack slots says of each load what its base is: the context, memory of the program's
own (stack, maps, rings, the packet), or something else. What is not known for sure counts as something else: its value
is recorded, which costs a little and is never wrong.
"""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.formats.isa import Instruction, decode
from bpfwright.spec.objects import Function

__all__ = ["Origins", "find_origins", "following"]

CONTEXT, OWN, SCALAR, ELSEWHERE = ("context",), ("own",), ("scalar",), ("elsewhere",)
Kind = tuple[object, ...]
State = tuple[tuple["Kind | None", ...], tuple[tuple[int, Kind], ...]]

_OWN_RESULTS = frozenset((1, 107, 131, 145, 156, 195, 203, 210))  # look-ups, storage, ring records, slices of dynptrs
_OWN_FUNCTIONS = frozenset(("bpf_iter_num_next", "bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"))
_PACKET_FIELDS = {6: (0, 4, 8), 3: (76, 80, 140), 4: (76, 80, 140), 8: (76, 80, 140)}
"""By bpf_prog_type: offsets of `data`, `data_end` and `data_meta`, whose bytes are recorded, not the pointers."""
_CALL, _EXIT, _WIDE, _MAY_GOTO = 0x85, 0x95, 0x18, 0xE5
_JA, _JA32 = 0x05, 0x06


class Origins(NamedTuple):
    """What one program reads. `loads`: of each function the instructions whose value comes from elsewhere, with the
    registers that hold something there; `fields`: (offset, bytes) of its context; `depth`: stack bytes by function."""

    loads: dict[str, dict[int, tuple[int, ...]]]
    fields: tuple[tuple[int, int], ...]
    depth: dict[str, int]


def find_origins(entry: str, functions: dict[str, Function], names: list[str], kind: int) -> Origins:
    """Look at `entry` and everything it reaches; `kind` is its bpf_prog_type."""
    walk = _Walk(functions, kind)
    nothing: tuple[Kind | None, ...] = (None,) * 11
    walk.arrive(entry, (nothing[0], CONTEXT, *nothing[2:]))
    for name in names:
        if name != entry:
            walk.known(name)
    while walk.waiting:
        walk.function(walk.waiting.pop())
    return Origins(walk.loads, tuple(sorted(walk.fields)), walk.depth)


def _join(a: Kind | None, b: Kind | None) -> Kind | None:
    if a == b:
        return a
    if a is None or b is None:
        return None
    return ("stack", None) if a[0] == b[0] == "stack" else ELSEWHERE


class _Walk:
    def __init__(self, functions: dict[str, Function], kind: int) -> None:
        self.functions = functions
        self.kind = kind
        self.waiting: list[str] = []
        self.arguments: dict[str, tuple[Kind | None, ...]] = {}
        self.results: dict[str, Kind | None] = {}
        self.callers: dict[str, set[str]] = {}
        self.loads: dict[str, dict[int, tuple[int, ...]]] = {}
        self.fields: set[tuple[int, int]] = set()
        self.depth: dict[str, int] = {}

    def known(self, name: str) -> None:
        """A function whose callers may be out of sight (callbacks): any argument may be anything."""
        for function in self.functions.values():
            if any(r.kind == "func" and r.name == name for r in function.relocations):
                self.arrive(name, (None, *(ELSEWHERE,) * 5, None, None, None, None, None))
                return

    def arrive(self, name: str, registers: tuple[Kind | None, ...]) -> None:
        """A call with these arguments."""
        given = tuple(OWN if kind is not None and kind[0] == "stack" else kind for kind in registers[:6])
        before = self.arguments.get(name)
        after = given if before is None else tuple(_join(a, b) for a, b in zip(before, given, strict=True))
        if after != before:
            self.arguments[name] = after
            self.waiting.append(name)

    def function(self, name: str) -> None:
        function = self.functions[name]
        code = dict(decode(function.insns))
        relocations = {r.index: r for r in function.relocations}
        first: State = ((*self.arguments[name], None, None, None, None, ("stack", 0)), ())
        states: dict[int, State] = {0: first}
        waiting = [0]
        loads: dict[int, tuple[int, ...]] = {}
        self.depth.setdefault(name, 0)
        while waiting:
            at = waiting.pop()
            instruction = code.get(at)
            if instruction is None:
                continue
            registers, stack = list(states[at][0]), dict(states[at][1])
            relocation = relocations.get(at)
            self._step(name, at, instruction, registers, stack, loads,
                       (relocation.kind, relocation.name) if relocation is not None else ("", ""))
            for to in following(at, instruction):
                made: State = (tuple(registers), tuple(sorted(stack.items())))
                before = states.get(to)
                after = made if before is None else _merge(before, made)
                if after != before:
                    states[to] = after
                    waiting.append(to)
        self.loads[name] = loads

    def _step(self, name: str, at: int, i: Instruction, r: list[Kind | None], stack: dict[int, Kind],
              loads: dict[int, tuple[int, ...]], refers: tuple[str, str]) -> None:
        op = i.row.op
        if op in ("ldx", "ldxs"):
            size = i.row.width // 8
            live = tuple(number for number in range(6) if r[number] is not None and number != i.dst)
            r[i.dst], elsewhere = self._load(name, r[i.src], i.offset, size, stack)
            if elsewhere:
                loads[at] = live
            else:
                loads.pop(at, None)
        elif op in ("stx", "st"):
            self._store(name, i, r, stack)
        elif op == "atomic":
            if i.meaning.removeprefix("atomic_").startswith(("fetch", "xchg")):
                r[i.src] = ELSEWHERE if i.row.width == 64 else SCALAR
            elif i.meaning == "atomic_cmpxchg":
                r[0] = ELSEWHERE if i.row.width == 64 else SCALAR
            elif i.meaning == "atomic_load_acquire":
                r[i.dst] = ELSEWHERE
        elif i.opcode == _WIDE:
            r[i.dst] = {"map": OWN, "data": OWN, "extern": ELSEWHERE}.get(refers[0], SCALAR)
        elif op in ("ldabs", "ldind"):
            r[0] = SCALAR
            r[1:6] = [None] * 5
        elif op == "call":
            r[0] = self._call(name, i, r, refers)
            r[1:6] = [None] * 5
        elif op == "callx":
            r[0] = ELSEWHERE
            r[1:6] = [None] * 5
        elif op == "exit":
            before = self.results.get(name)
            after = r[0] if before is None else _join(before, r[0])
            if after != before:
                self.results[name] = after
                self.waiting += [caller for caller in self.callers.get(name, ()) if caller not in self.waiting]
        elif i.opcode & 7 in (4, 7):
            r[i.dst] = self._arithmetic(name, i, r)

    def _load(self, name: str, base: Kind | None, offset: int, size: int,
              stack: dict[int, Kind]) -> tuple[Kind, bool]:
        wide = ELSEWHERE if size == 8 else SCALAR
        if base == CONTEXT:
            if offset in _PACKET_FIELDS.get(self.kind, ()):
                return OWN, False
            self.fields.add((offset, size))
            return wide, False
        if base == OWN:
            return wide, False
        if base is not None and base[0] == "stack":
            at = base[1]
            if not isinstance(at, int):
                return wide, False
            self._deep(name, at + offset)
            return (stack.get(at + offset, ELSEWHERE) if size == 8 else SCALAR), False
        return wide, True

    def _store(self, name: str, i: Instruction, r: list[Kind | None], stack: dict[int, Kind]) -> None:
        base = r[i.dst]
        if base is None or base[0] != "stack":
            return
        at = base[1]
        if not isinstance(at, int):
            stack.clear()
            return
        at += i.offset
        self._deep(name, at)
        size = i.row.width // 8
        for place in [place for place in stack if place < at + size and at < place + 8]:
            del stack[place]
        kind = r[i.src] if i.row.op == "stx" else None
        if size == 8 and kind is not None:
            stack[at] = kind

    def _deep(self, name: str, at: int) -> None:
        self.depth[name] = max(self.depth[name], -at)

    def _call(self, name: str, i: Instruction, r: list[Kind | None], refers: tuple[str, str]) -> Kind | None:
        if refers[0] == "call":
            self.callers.setdefault(refers[1], set()).add(name)
            self.arrive(refers[1], tuple(r))
            return self.results.get(refers[1], ELSEWHERE)
        if refers[0] == "kfunc":
            return OWN if refers[1] in _OWN_FUNCTIONS else ELSEWHERE
        return OWN if i.src == 0 and i.imm in _OWN_RESULTS else ELSEWHERE

    def _arithmetic(self, name: str, i: Instruction, r: list[Kind | None]) -> Kind:
        op, target = i.row.op, r[i.dst]
        source = r[i.src] if i.row.operand == "x" else SCALAR
        if i.row.width == 32 or i.meaning == "movsx":
            return SCALAR
        if op == "mov":
            return source if source is not None else ELSEWHERE
        if op not in ("add", "sub") or target is None or source is None:
            return SCALAR
        if target[0] == "stack":
            if i.row.operand == "k" and isinstance(target[1], int):
                at = target[1] + (i.imm if op == "add" else -i.imm)
                self._deep(name, at)
                return ("stack", at)
            return ("stack", None) if source == SCALAR else SCALAR
        if op == "sub" and source != SCALAR:
            return SCALAR
        return target if target != SCALAR else source


def _merge(a: State, b: State) -> State:
    registers = tuple(_join(x, y) for x, y in zip(a[0], b[0], strict=True))
    other = dict(b[1])
    stack = []
    for place, kind in a[1]:
        joined = _join(kind, other.get(place))
        if joined is not None:
            stack.append((place, joined))
    return registers, tuple(stack)


def following(at: int, i: Instruction) -> tuple[int, ...]:
    """Where a function may go on."""
    if i.opcode == _EXIT:
        return ()
    if i.opcode == _JA:
        return (at + 1 + i.offset,)
    if i.opcode == _JA32:
        return (at + 1 + i.imm,)
    kind = i.opcode & 7
    if i.opcode == _MAY_GOTO or (kind in (5, 6) and i.row.op not in ("call", "callx")):
        return at + 1, at + 1 + i.offset
    return (at + i.slots,)
