"""Maps: their keys, reading and writing entries, what they gather on each CPU, and walking them."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.scope import MapFacts
from bpfwright.facets.trace.compiling.typed import INT64, UINT64, Operand, Typed, constant, is_number, is_scalar, refuse
from bpfwright.facets.trace.plan import Map
from bpfwright.facets.trace.text import Span
from bpfwright.facets.trace.types import (Aggregate, Average, Count, Extreme, Integer, Pointer, Statistics, Sum, Text,
                                          Tuple, Type, offsets)
from bpfwright.lang.emit import MapShape

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.checker import Checker

__all__ = ["Entry", "address", "entry_of", "key_of", "made", "read", "updated"]

_LOOKUP, _UPDATE, _DELETE, _PERCPU_LOOKUP = 1, 2, 3, 195
_NOEXIST = 1
_KINDS = {"": (B.BPF_MAP_TYPE_HASH, B.BPF_MAP_TYPE_PERCPU_HASH),
          "hash": (B.BPF_MAP_TYPE_HASH, B.BPF_MAP_TYPE_PERCPU_HASH),
          "lruhash": (B.BPF_MAP_TYPE_LRU_HASH, B.BPF_MAP_TYPE_LRU_PERCPU_HASH),
          "percpuhash": (B.BPF_MAP_TYPE_PERCPU_HASH, B.BPF_MAP_TYPE_PERCPU_HASH),
          "percpulruhash": (B.BPF_MAP_TYPE_LRU_PERCPU_HASH, B.BPF_MAP_TYPE_LRU_PERCPU_HASH)}
_LARGE_VALUE = 256
"""Per-CPU values above this are not allocated for entries that do not exist yet."""


def store_name(name: str) -> str:
    """A map's name in the object: `@` is `AT_`, so that no other map of ours has it."""
    return f"AT_{name}"


def made(unit: Any, facts: MapFacts, default_size: int, whole: Callable[[Type], Type]) -> None:
    """Put a map into the object, and into the plan, where structs have their members (`whole`)."""
    keys, value = facts.keys or (), facts.value or INT64
    gathers = isinstance(value, Aggregate)
    plain, per_cpu = _KINDS[facts.declared]
    own = facts.declared.startswith("percpu")
    size = facts.size or default_size
    numbers: dict[str, int]
    if keys:
        kind = per_cpu if gathers else plain
        numbers = {"type": kind, "key_size": key_type(keys).size, "value_size": max(1, value.size), "max_entries": size}
        if value.size > _LARGE_VALUE and kind in (B.BPF_MAP_TYPE_HASH,
                                                  B.BPF_MAP_TYPE_PERCPU_HASH) and unit.has("iter_num"):
            numbers["map_flags"] = B.BPF_F_NO_PREALLOC  # without locks only since memory for BPF has its own allocator
    else:
        kind = B.BPF_MAP_TYPE_PERCPU_ARRAY if gathers or own else B.BPF_MAP_TYPE_ARRAY
        size = 1
        numbers = {"type": kind, "key_size": 4, "value_size": 8 + max(1, value.size), "max_entries": 1}
    unit.shapes[store_name(facts.name)] = MapShape(numbers, None, None, None)
    unit.maps[facts.name] = Map(f"@{facts.name}", store_name(facts.name), tuple(map(whole, keys)),
                                whole(value), gathers or own, size)


def key_type(keys: tuple[Type, ...]) -> Type:
    """The layout of a key: of one, its own; of several, a tuple's."""
    return keys[0] if len(keys) == 1 else Tuple(keys, ())


class Entry:
    """One entry of a map, as it is written: the map's facts and the keys' expressions."""

    __slots__ = ("facts", "keys", "span")

    def __init__(self, facts: MapFacts, keys: list[Typed], span: Span) -> None:
        self.facts = facts
        self.keys = keys
        self.span = span

    @property
    def value(self) -> Type:
        return self.facts.value or INT64

    # code

    def pointer(self, code: Code) -> int:
        return code.op("global", "ptr", store_name(self.facts.name))

    def key(self, code: Code) -> int:
        """A pointer to the key's bytes, in which no byte is left to chance."""
        kinds = self.facts.keys or ()
        if not kinds:
            place = code.room(4)
            code.store(place, code.number(0, "i32"), 0, 4)
            return place
        if len(kinds) == 1 and len(self.keys) == 1:
            only = self.keys[0]
            if not is_scalar(kinds[0]) and only.type == kinds[0] and only.constant is None:
                operand = only.emit(code) if only.into is None else Operand()
                if operand.memory >= 0:
                    return operand.memory
                place = code.room(kinds[0].size)
                if only.into is None:
                    code.put_operand(operand, only.type, place, 0, only.span)
                else:
                    _clean(code, place, kinds[0], only)
                    only.into(code, place, 0)
                return place
        whole = key_type(kinds)
        place = code.room(whole.size)
        places = offsets(kinds)
        if sum(kind.size for kind in kinds) < whole.size or any(not is_scalar(kind) for kind in kinds):
            code.zero(place, whole.size)
        for kind, at, typed in zip(kinds, places, self.keys, strict=True):
            code.put(typed, kind, place, at)
        return place

    def found(self, code: Code, key: int) -> int:
        """A pointer to the value, or null."""
        place = code.helper_pointer(_LOOKUP, self.pointer(code), key)
        code.alignments[place] = 8
        return place

    def load(self, code: Code) -> Operand:
        """The value, zero where there is none."""
        if isinstance(self.value, Aggregate):
            return Operand(value=total(code, self))
        key = self.key(code)
        place = self.found(code, key)
        at = 0 if self.facts.keys else 8
        if is_scalar(self.value):
            return Operand(value=code.choose("i64", code.is_null(place), lambda: code.number(0),
                                             lambda: code.read_memory(self.value, place, at)))
        size = self.value.size
        copy = code.room(size)
        missing, there, after = code.block(), code.block(), code.block()
        code.branch(code.is_null(place), missing, there)
        code.at = missing
        code.zero(copy, size)
        code.goto(after)
        code.at = there
        code.move(copy, code.pointer(place, at), size)
        code.goto(after)
        code.at = after
        return Operand(memory=copy)

    def store(self, code: Code, typed: Typed) -> None:
        """Assign a value."""
        if not self.facts.keys:
            self.within(code, lambda place: code.put(typed, self.value, place, 8))
            return
        value = code.room(max(1, self.value.size))
        code.put(typed, self.value, value, 0)
        self.update(code, self.key(code), value)

    def within(self, code: Code, change: Callable[[int], None]) -> None:
        """Change the only value of a map without keys in place, and note that it is set."""
        place = self.found(code, self.key(code))
        with code.unless(code.is_null(place)):
            change(place)
            code.store(place, code.number(1), 0, 8)

    def update(self, code: Code, key: int, value: int, flags: int = 0) -> int:
        """bpf_map_update_elem; what finds no room is counted."""
        said = code.helper(_UPDATE, self.pointer(code), key, value, code.number(flags))
        if not flags:
            with code.when(code.op("slt", "i1", said, code.number(0))):
                code.count_up("full", f"@{self.facts.name}")
        return said

    def delete(self, code: Code) -> int:
        """What bpf_map_delete_elem says; a map without keys is unset."""
        if self.facts.keys:
            return code.helper(_DELETE, self.pointer(code), self.key(code))
        place = self.found(code, self.key(code))
        with code.unless(code.is_null(place)):
            code.zero(place, 8 + self.value.size)
        return code.number(0)

    def gather(self, code: Code, change: Callable[[int], None]) -> None:
        """Change this CPU's value in place; an entry that is not there is made of NULs first."""
        if not self.facts.keys:
            self.within(code, lambda place: change(code.pointer(place, 8)))
            return
        key = self.key(code)
        place = code.slot(8, 8, "entry")
        code.store(place, self.found(code, key))
        first, again, ready, after = code.block(), code.block(), code.block(), code.block()
        code.branch(code.is_null(code.load("ptr", place)), first, ready)
        code.at = first
        zeros = code.room(self.value.size)
        code.zero(zeros, self.value.size)
        code.helper(_UPDATE, self.pointer(code), key, zeros, code.number(_NOEXIST))
        code.store(place, self.found(code, key))
        code.branch(code.is_null(code.load("ptr", place)), again, ready)
        code.at = again
        code.count_up("full", f"@{self.facts.name}")
        code.goto(after)
        code.at = ready
        there = code.load("ptr", place)
        code.alignments[there] = 8
        change(there)
        code.goto(after)
        code.at = after


def _clean(code: Code, place: int, kind: Type, typed: Typed) -> None:
    """NULs before what does not write all of its room."""
    from bpfwright.facets.trace.types import Buffer, Text
    if isinstance(kind, (Text, Buffer)) and not typed.whole:
        code.zero(place, kind.size)


# ---------------------------------------------------------------------------------------------------------- checking


def entry_of(checker: Checker, node: tree.Expression) -> Entry:
    """The entry that `@x` or `@x[keys]` names; the map learns the keys' types."""
    if isinstance(node, tree.MapName):
        facts = checker.known.map(node.name, node.span)
        checker.known.keyed(facts, (), node.span)
        return Entry(facts, [], node.span)
    if not isinstance(node, tree.Index) or not isinstance(node.object, tree.MapName):
        raise refuse(node.span, "this is no map", "Maps begin with `@`.")
    facts = checker.known.map(node.object.name, node.object.span)
    keys = [key_of(checker, key) for key in node.keys]
    return keyed_entry(checker, facts, keys, node.span)


def keyed_entry(checker: Checker, facts: MapFacts, keys: list[Typed], span: Span) -> Entry:
    """An entry by its keys; one tuple stands for as many keys as it has items."""
    from bpfwright.facets.trace.compiling.expressions import part
    if len(keys) == 1 and isinstance(keys[0].type, Tuple) and not keys[0].type.names:
        whole = keys[0]
        kind = whole.type
        assert isinstance(kind, Tuple)
        if len(kind.items) > 1:
            def item(code: Code, at: int) -> Operand:
                return part(code, Operand(memory=code.memory_of(whole)), at)
            keys = [Typed(one, span, lambda code, at=at: item(code, at))  # type: ignore[misc]
                    for one, at in zip(kind.items, offsets(kind.items), strict=True)]
    checker.known.keyed(facts, tuple(key.type for key in keys), span)
    return Entry(facts, keys, span)


def key_of(checker: Checker, node: tree.Expression) -> Typed:
    """A key. What a place is called is a number in all probes where it is one in any, so that they can share a map."""
    from bpfwright.facets.trace.compiling.functions.process import token
    typed = checker.as_number(checker.value(node))
    if checker.known.indexed and isinstance(typed.type, Text) and checker.site.provider != "self" and \
            isinstance(node, (tree.Name, tree.Call)) and node.name in ("probe", "func"):
        return token(node.name, constant(checker.site.index, UINT64, typed.span))
    return typed


def read(checker: Checker, node: tree.Expression) -> Typed:
    """An entry's value."""
    entry = entry_of(checker, node)
    checker.wait_for(entry.facts, node.span)
    if entry.facts.value is None:
        return Typed(INT64, node.span, lambda code: Operand(value=code.number(0)))
    return Typed(entry.value, node.span, entry.load)


def address(checker: Checker, node: tree.Expression) -> Typed:
    """`&@x[...]`: where the value stands, null where there is none."""
    entry = entry_of(checker, node)
    checker.wait_for(entry.facts, node.span)
    if isinstance(entry.value, Aggregate):
        raise refuse(node.span, f"`{entry.value}` has a place on each CPU", "Take the address of a plain value.")

    def emit(code: Code) -> Operand:
        place = entry.found(code, entry.key(code))
        found = code.op("toint", "i64", place)
        if entry.facts.keys:
            return Operand(value=found)
        return Operand(value=code.op("add", "i64", found, code.number(8)))
    return Typed(Pointer(entry.value, "kernel"), node.span, emit)


def updated(checker: Checker, node: tree.Update, target: tree.Expression) -> Typed:
    """`++` and `--` of an entry."""
    entry = entry_of(checker, target)
    if entry.facts.value is None or (isinstance(entry.facts.value, Integer) and entry.facts.value.bytes < 8):
        checker.known.valued(entry.facts, Integer(8, getattr(entry.facts.value, "signed", True)), node.span)
    kind = entry.value
    if not is_number(kind) and not isinstance(kind, Pointer):
        raise refuse(node.span, f"`{node.operator}` takes a number, not `{kind}`", checker.cure_for(kind))
    step = max(1, kind.to.size) if isinstance(kind, Pointer) else 1
    change = step if node.operator == "++" else -step

    def emit(code: Code) -> Operand:
        old = added(code, entry, code.number(change))
        return Operand(value=code.op("add", "i64", old, code.number(change)) if node.prefix else old)
    return Typed(kind, node.span, emit)


def added(code: Code, entry: Entry, amount: int) -> int:
    """Add to an entry's number, atomically where several CPUs share it; the number before."""
    kind = entry.value
    old = code.slot(8, 8, "before")
    code.store(old, code.number(0))

    def change(place: int) -> None:
        if kind.size == 8 and not entry.facts.declared.startswith("percpu"):
            if code.unit.has("atomics"):
                code.store(old, code.op("atomic", "i64", "fetch_add", place, amount))
            else:  # before 5.12 an atomic addition does not say what was there
                code.store(old, code.read_memory(kind, place))
                code.op("atomic", "i64", "add", place, amount)
        else:
            before = code.read_memory(kind, place)
            code.store(old, before)
            code.write_memory(kind, place, 0, code.op("add", "i64", before, amount))

    if not entry.facts.keys:
        entry.within(code, lambda place: change(code.pointer(place, 8)))
        return code.load("i64", old)
    key = entry.key(code)
    place = entry.found(code, key)
    missing, there, after = code.block(), code.block(), code.block()
    code.branch(code.is_null(place), missing, there)
    code.at = missing
    value = code.room(8)
    code.write_memory(kind, value, 0, amount)
    said = entry.update(code, key, value, _NOEXIST)
    with code.when(code.op("slt", "i1", said, code.number(0))):  # another CPU was faster, or the map is full
        late = entry.found(code, key)
        full, come, done = code.block(), code.block(), code.block()
        code.branch(code.is_null(late), full, come)
        code.at = full
        code.count_up("full", f"@{entry.facts.name}")
        code.goto(done)
        code.at = come
        change(late)
        code.goto(done)
        code.at = done
    code.goto(after)
    code.at = there
    change(place)
    code.goto(after)
    code.at = after
    return code.load("i64", old)


def total(code: Code, entry: Entry) -> int:
    """What all CPUs have gathered, as a number: bpf_map_lookup_percpu_elem (since Linux 5.19) for each of them."""
    kind = entry.value
    key = entry.key(code)
    at = 0 if entry.facts.keys else 8
    sums = [code.slot(8, 8, "total"), code.slot(8, 8, "count")]
    for slot in sums:
        code.store(slot, code.number(0))
    with code.counted(code.unit.cpus) as (index, _):
        place = code.helper_pointer(_PERCPU_LOOKUP, entry.pointer(code), key, index)
        code.alignments[place] = 8
        with code.unless(code.is_null(place)):
            _merge(code, kind, place, at, sums)
    if isinstance(kind, (Average, Statistics)):
        from bpfwright.facets.trace.compiling.arithmetic import divided
        return divided(code, code.load("i64", sums[0]), code.load("i64", sums[1]), modulo=False, signed=kind.signed)
    return code.load("i64", sums[0])


def _merge(code: Code, kind: Type, place: int, at: int, sums: list[int]) -> None:
    value = code.load("i64", place, at, 8)
    match kind:
        case Extreme():
            there = code.op("ne", "i1", code.load("i64", place, at + 8, 8), code.number(0))
            with code.when(there):
                known = code.op("ne", "i1", code.load("i64", sums[1]), code.number(0))
                best = code.load("i64", sums[0])
                sides = (value, best) if kind.which == "min" else (best, value)
                better = code.op("slt" if kind.signed else "ult", "i1", *sides)
                take = code.op("or", "i1", better, code.invert(known))
                code.store(sums[0], code.op("select", "i64", take, value, best))
                code.store(sums[1], code.number(1))
        case Average() | Statistics():
            code.store(sums[0], code.op("add", "i64", code.load("i64", sums[0]), value))
            count = code.load("i64", place, at + 8, 8)
            code.store(sums[1], code.op("add", "i64", code.load("i64", sums[1]), count))
        case Count() | Sum():
            code.store(sums[0], code.op("add", "i64", code.load("i64", sums[0]), value))
