"""The builder: IR of one function, with structured branches. It implements spec.dialect.Builder."""
from __future__ import annotations

from contextlib import contextmanager

from bpfwright._typing import Any, Callable, Iterator
from bpfwright.lang import ir
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import (BOOLEAN, MAX_I64, Boolean, Constant, Integer, InnerMap, KernelObject, Meaning,
                                    Nothing, OneOf, Optional, Reference, TupleOf, UserAddress, meaning_of)
from bpfwright.types.ctype import (AddressType, ArrayType, AtomicType, BitsType, Bool, CharArray, CType, EnumType, Int,
                                   Opaque, Pointer, RecordType, UserPointer)

__all__ = ["Builder", "is_pointer", "part_names", "part_types", "storage_of"]

STACK_BUDGETS = (360, 240, 96)
"""Bytes of records kept on the 512-byte stack, what is more goes into a per-CPU scratch entry: the first with which
what LLVM adds for values that find no register fits too."""


def is_pointer(meaning: Meaning) -> bool:
    """Whether None can be told from the value itself: a null pointer."""
    match meaning:
        case Reference(ctype=CharArray() | AddressType()) | Reference(space="packet"):
            return False  # packets: whether a header was found is a bit of its own, which LLVM can follow
        case Reference() | KernelObject() | InnerMap():
            return True
    return False


def part_types(meaning: Meaning) -> tuple[str, ...]:
    """The IR types that carry a meaning."""
    match meaning:
        case Integer() | UserAddress():
            return ("i64",)
        case Boolean():
            return ("i1",)
        case Nothing() | Constant():
            return ()
        case Optional(inner=OneOf() as inner):
            return part_types(inner)
        case Optional(inner=inner):
            return ("ptr",) if is_pointer(inner) else ("i1", *part_types(inner))
        case OneOf():
            return ("i64", "ptr")
        case TupleOf(items=items):
            return tuple(part for item in items for part in part_types(item))
    return ("ptr",)


def part_names(meaning: Meaning, name: str) -> tuple[tuple[str, Meaning], ...]:
    """What each part of a variable is called, and is: in the order of part_types."""
    match meaning:
        case Nothing() | Constant():
            return ()
        case Optional(inner=OneOf() as inner):
            return part_names(inner, name)
        case Optional(inner=inner):
            return part_names(inner, name) if is_pointer(inner) else ((f"{name} is not None", BOOLEAN),
                                                                      *part_names(inner, name))
        case OneOf(choices=choices):
            return (f"{name}, which kind", Integer(0, len(choices))), (name, meaning)
        case TupleOf(items=items):
            return tuple(part for index, item in enumerate(items) for part in part_names(item, f"{name}[{index}]"))
    return ((name, meaning),)


def storage_of(ctype: CType) -> tuple[str, bool]:
    """The IR type of a scalar in memory, and whether it is held byte-swapped."""
    match ctype:
        case Int():
            return f"i{ctype.bits}", ctype.big and ctype.size > 1
        case Bool():
            return "i8", False
        case EnumType():
            return "i32", False
        case AtomicType(element=element):
            return f"i{element.bits}", False
    return "i64", False


class Builder:
    """Builds one IR function. Blocks are ended once; code after an end goes nowhere."""

    def __init__(self, function: ir.Function, sink: Any) -> None:
        self.out = function
        self.sink = sink
        self.entry = function.block()
        self.at = function.block()
        self.span = ir.Span(0, 0)
        self.stack_used = 0
        self.alignments: dict[int, int] = {}

    # operations

    def op(self, name: str, type: str, *args: int | str) -> int:
        """Append an operation that gives a value."""
        if self.at.ended:
            self.at = self.out.block()
        id = self.out.value(type)
        self.at.ops.append(ir.Op(name, type, args, id, self.span))
        return id

    def effect(self, name: str, *args: int | str) -> None:
        """Append an operation for its effect."""
        if self.at.ended:
            self.at = self.out.block()
        self.at.ops.append(ir.Op(name, "void", args, -1, self.span))

    def type_of(self, value: int) -> str:
        return self.out.types[value]

    def number(self, value: int, type: str = "i64") -> int:
        """A constant."""
        bits = ir.WIDTHS[type]
        value &= (1 << bits) - 1
        return self.op("const", type, value)

    def null(self) -> int:
        return self.op("null", "ptr")

    def helper(self, number: int, *args: int) -> int:
        """Call helper `number`; its 64-bit result."""
        return self.op("helper", "i64", number, *args)

    def helper_pointer(self, number: int, *args: int) -> int:
        """Call a helper that gives a pointer."""
        return self.op("helper", "ptr", number, *args)

    def kfunc(self, name: str, result: CType | None, arguments: list[tuple[CType, int]]) -> int:
        """Call a kernel function; its signature goes into the object."""
        self.sink.kfunc(name, result, [ctype for ctype, _ in arguments])
        if result is None:
            self.effect("kfunc", name, *(v for _, v in arguments))
            return -1
        kind = "ptr" if isinstance(result, (Pointer, RecordType)) else storage_of(result)[0]
        return self.op("kfunc", kind, name, *(v for _, v in arguments))

    def map(self, declaration: object) -> int:
        """A pointer to a map."""
        return self.op("global", "ptr", self.sink.map_name(declaration))

    def anchor(self, pointer: int) -> int:
        """The same pointer, opaque to the optimiser."""
        return self.op("anchor", "ptr", pointer)

    # blocks

    def block(self) -> ir.Block:
        return self.out.block()

    def goto(self, block: ir.Block) -> None:
        """End the current block, unless it has ended."""
        if not self.at.ended:
            self.effect("goto", block.id)

    def branch(self, condition: int, then: ir.Block, other: ir.Block) -> None:
        self.effect("branch", condition, then.id, other.id)

    @contextmanager
    def when(self, condition: int) -> Iterator[None]:
        """`with b.when(c):` builds what runs only if c."""
        then, after = self.block(), self.block()
        self.branch(condition, then, after)
        self.at = then
        yield
        self.goto(after)
        self.at = after

    @contextmanager
    def unless(self, condition: int) -> Iterator[None]:
        """`with b.unless(c):` builds what runs only if not c."""
        other, after = self.block(), self.block()
        self.branch(condition, after, other)
        self.at = other
        yield
        self.goto(after)
        self.at = after

    def choose(self, type: str, condition: int, then: Callable[[], int], other: Callable[[], int]) -> int:
        """One of two values, each built only on its path."""
        slot = self.slot(8 if type != "i1" else 1, 8 if type != "i1" else 1, "choice")
        yes, no, after = self.block(), self.block(), self.block()
        self.branch(condition, yes, no)
        for block, make in ((yes, then), (no, other)):
            self.at = block
            self.effect("store", slot, 0, make(), 0)
            self.goto(after)
        self.at = after
        return self.op("load", type, slot, 0, 0)

    # memory

    def slot(self, size: int, align: int = 8, name: str = "") -> int:
        """Memory of the function's own, made once at its entry."""
        id = self.out.value("ptr")
        self.entry.ops.append(ir.Op("slot", "ptr", (max(size, 1), max(align, 1), name), id, self.span))
        self.alignments[id] = align
        return id

    def entry_store(self, slot: int) -> None:
        """Set a pointer slot to null at the function's entry."""
        id = self.out.value("ptr")
        self.entry.ops.append(ir.Op("null", "ptr", (), id, self.span))
        self.entry.ops.append(ir.Op("store", "void", (slot, 0, id, 0), -1, self.span))

    def memory(self, size: int, name: str = "") -> int:
        """Room for a record or text: on the stack while it lasts, else in this program's per-CPU scratch entry."""
        room = -(-size // 8) * 8
        if self.stack_used + room <= self.sink.stack_budget:
            self.stack_used += room
            return self.slot(room, 8, name)
        return self.spill(room)

    def spill(self, size: int) -> int:
        """Room outside of the stack."""
        raise NotImplementedError

    def take_destination(self, ctype: CType) -> int | None:
        """Where the value being built is wanted, if somewhere; asked once."""
        raise NotImplementedError

    def scratch(self, ctype: CType) -> int:
        """Room for a `ctype`, or the place where its value is wanted."""
        wanted = self.take_destination(ctype)
        return self.memory(ctype.size, ctype.name) if wanted is None else wanted

    def pointer(self, base: int, offset: int) -> int:
        if offset == 0:
            return base
        made = self.op("offset", "ptr", base, offset)
        align = self.alignments.get(base, 0)
        while align > 1 and offset % align:
            align //= 2
        if align:
            self.alignments[made] = align
        return made

    def load(self, type: str, pointer: int, offset: int = 0, align: int = 0) -> int:
        """`align` 0: the type's own."""
        return self.op("load", type, pointer, offset, align)

    def store(self, pointer: int, value: int, offset: int = 0, align: int = 0) -> None:
        self.effect("store", pointer, offset, value, align)

    def fill(self, pointer: int, size: int, byte: int = 0) -> None:
        self.effect("fill", pointer, size, byte, self.alignments.get(pointer, 8 if size % 8 == 0 else 1))

    def copy(self, target: int, source: int, size: int, align: int = 1, source_align: int = 0) -> None:
        if target != source and size:
            self.effect("copy", target, source, size, align, source_align or align)

    # integers

    def extend(self, value: int, type: str, signed: bool = False) -> int:
        """To 64 bits."""
        return value if type == "i64" else self.op("sext" if signed else "zext", "i64", value)

    def truncate(self, value: int, type: str) -> int:
        return value if self.type_of(value) == type else self.op("trunc", type, value)

    def numeric(self, value: Value) -> tuple[int, Integer]:
        """An integer or boolean as an i64, and its interval."""
        match value.meaning:
            case Integer() as meaning:
                return value.only, meaning
            case Constant(value=constant):
                return self.number(int(bool(constant))), Integer(int(bool(constant)), int(bool(constant)))
        return self.extend(value.only, "i1"), Integer(0, 1)

    def integer(self, id: int, meaning: Meaning) -> Value:
        return Value(meaning, id)

    def boolean(self, id: int) -> Value:
        return Value(BOOLEAN, id)

    def less(self, a: int, left: Integer, b: int, right: Integer, equal: bool = False) -> int:
        """a < b (or <=) as Python means it, whatever the signs."""
        if left.low >= 0 and right.low >= 0:
            return self.op("ule" if equal else "ult", "i1", a, b)
        if left.high <= MAX_I64 and right.high <= MAX_I64:
            return self.op("sle" if equal else "slt", "i1", a, b)
        unsigned = self.op("ule" if equal else "ult", "i1", a, b)
        if left.high > MAX_I64:  # a is u64, b may be negative: then a is larger
            return self.op("and", "i1", self.op("sle", "i1", self.number(0), b), unsigned)
        return self.op("or", "i1", self.op("slt", "i1", a, self.number(0)), unsigned)

    def equal(self, a: int, left: Integer, b: int, right: Integer) -> int:
        """a == b; a u64 never equals a negative number."""
        same = self.op("eq", "i1", a, b)
        if (left.high > MAX_I64) != (right.high > MAX_I64) and min(left.low, right.low) < 0:
            other = b if left.high > MAX_I64 else a
            return self.op("and", "i1", same, self.op("sle", "i1", self.number(0), other))
        return same

    def invert(self, condition: int) -> int:
        return self.op("xor", "i1", condition, self.number(1, "i1"))

    def is_null(self, pointer: int) -> int:
        return self.op("eq", "i1", pointer, self.null())

    # typed memory

    def alignment(self, ctype: CType, offset: int, space: str) -> int:
        """What may be assumed: on the stack the verifier insists on the truth, elsewhere x86 and arm64 do not mind."""
        natural = ctype.align if not isinstance(ctype, BitsType) else ctype.storage.align
        if isinstance(ctype, (Int, AtomicType, Pointer, UserPointer, EnumType)):
            natural = ctype.size
        if space not in ("stack", "percpu scratch"):
            return natural
        while natural > 1 and offset % natural:
            natural //= 2
        return natural

    def read(self, ctype: CType, pointer: int, offset: int = 0, space: str = "stack") -> Value:
        """What stands in memory, as the meaning of its type says."""
        meaning = meaning_of(ctype, space)
        if isinstance(ctype, (RecordType, CharArray, ArrayType, AddressType, AtomicType, Opaque)):
            return Value(meaning, self.pointer(pointer, offset))
        type, swapped = storage_of(ctype)
        raw = self.load(type, pointer, offset, self.alignment(ctype, offset, space))
        if isinstance(ctype, Bool):
            return Value(meaning, self.op("ne", "i1", raw, self.number(0, "i8")))
        if isinstance(meaning, KernelObject):
            return Value(meaning, self.op("toptr", "ptr", raw))
        signed = ctype.signed if isinstance(ctype, Int) else isinstance(ctype, EnumType) and ctype.storage.signed
        if swapped:
            value = Value(meaning, self.extend(self.op("bswap", type, raw), type, signed))
            value.wire = (raw, type)
            return value
        return Value(meaning, self.extend(raw, type, signed))

    def read_bits(self, ctype: BitsType, pointer: int, offset: int, shift: int, width: int, space: str) -> Value:
        """A bit-field of `width` bits, `shift` bits above the low end of its storage."""
        storage = ctype.storage
        type, swapped = storage_of(storage)
        raw = self.load(type, pointer, offset, self.alignment(ctype, offset, space))
        raw = self.extend(self.op("bswap", type, raw) if swapped else raw, type)
        if storage.signed:
            raw = self.op("shl", "i64", raw, self.number(64 - shift - width))
            return Value(meaning_of(ctype, space), self.op("ashr", "i64", raw, self.number(64 - width)))
        if shift:
            raw = self.op("lshr", "i64", raw, self.number(shift))
        if shift + width < storage.bits:
            raw = self.op("and", "i64", raw, self.number((1 << width) - 1))
        return Value(meaning_of(ctype, space), raw)

    def write_bits(self, ctype: BitsType, pointer: int, offset: int, shift: int, width: int, value: int, space: str,
                   ) -> None:
        """Store into a bit-field; its neighbours stay."""
        type, swapped = storage_of(ctype.storage)
        align = self.alignment(ctype, offset, space)
        old = self.load(type, pointer, offset, align)
        if swapped:
            old = self.op("bswap", type, old)
        mask = ((1 << width) - 1) << shift
        part = self.op("and", type, self.truncate(value, type), self.number((1 << width) - 1, type))
        if shift:
            part = self.op("shl", type, part, self.number(shift, type))
        kept = self.op("and", type, old, self.number(~mask, type))
        new = self.op("or", type, kept, part)
        self.store(pointer, self.op("bswap", type, new) if swapped else new, offset, align)

    def write(self, ctype: CType, pointer: int, value: Value, offset: int = 0, space: str = "stack") -> None:
        """Store a value as a `ctype`."""
        match ctype:
            case CharArray():
                self.write_text(ctype, pointer, value, offset, space)
            case AddressType():
                self.write_address(ctype, pointer, value, offset, space)
            case ArrayType() if isinstance(value.meaning, TupleOf):
                at = 0
                for index, item in enumerate(value.meaning.items):
                    count = len(part_types(item))
                    self.write(ctype.element, pointer, Value(item, *value.parts[at:at + count]),
                               offset + index * ctype.element.size, space)
                    at += count
            case ArrayType() if isinstance(value.meaning, Constant):
                items: Any = value.meaning.value
                for index, number in enumerate(items):
                    literal = Value(Integer(number, number), self.number(number))
                    self.write(ctype.element, pointer, literal, offset + index * ctype.element.size, space)
            case RecordType() | ArrayType():
                target, source = self.pointer(pointer, offset), value.only
                self.copy(target, source, ctype.size, self.alignments.get(target, min(ctype.align, 8)),
                          self.alignments.get(source, min(ctype.align, 8)))
            case Opaque():
                self.fill(self.pointer(pointer, offset), ctype.size)
            case _:
                self.write_scalar(ctype, pointer, value, offset, space)

    def write_scalar(self, ctype: CType, pointer: int, value: Value, offset: int, space: str) -> None:
        type, swapped = storage_of(ctype)
        if isinstance(ctype, (Pointer, UserPointer)):
            raw = self.op("toint", "i64", value.only) if isinstance(value.meaning, KernelObject) else value.only
        elif isinstance(ctype, Bool):
            raw = self.op("zext", "i8", self.as_condition(value))
        else:
            raw = self.truncate(self.numeric(value)[0], type)
        if swapped:
            raw = self.op("bswap", type, raw)
        self.store(pointer, raw, offset, self.alignment(ctype, offset, space))

    def as_condition(self, value: Value) -> int:
        """A boolean (or a number that is 0 or 1) as an i1."""
        if isinstance(value.meaning, Boolean):
            return value.only
        number, _ = self.numeric(value)
        return self.op("ne", "i1", number, self.number(0))

    def write_text(self, ctype: CharArray, pointer: int, value: Value, offset: int, space: str) -> None:
        target = self.pointer(pointer, offset)
        align = self.known_align(target, space)
        if isinstance(value.meaning, Constant):
            text = value.meaning.value
            raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)  # type: ignore[call-overload]
            self.write_bytes(target, raw.ljust(ctype.size, b"\0"), align)
            return
        assert isinstance(value.meaning, Reference)
        size = value.meaning.ctype.size
        self.copy(target, value.only, size, align, self.known_align(value.only, value.meaning.space))
        if size < ctype.size:
            self.fill(self.pointer(target, size), ctype.size - size)

    def write_bytes(self, target: int, data: bytes, align: int) -> None:
        """Constant bytes: words while they last, zeros as one fill."""
        body = data.rstrip(b"\0")
        keep = -(-len(body) // 8) * 8 if len(data) > 16 else len(data)
        keep = min(keep, len(data))
        at = 0
        while at < keep:
            size = next(s for s in (8, 4, 2, 1) if s <= keep - at)
            word = int.from_bytes(data[at:at + size], "little")
            self.store(target, self.number(word, f"i{size * 8}"), at, min(align, size))
            at += size
        if at < len(data):
            self.fill(self.pointer(target, at), len(data) - at)

    def write_address(self, ctype: AddressType, pointer: int, value: Value, offset: int, space: str) -> None:
        target = self.pointer(pointer, offset)
        if isinstance(value.meaning, Constant):
            self.write_bytes(target, ctype.cls.coerce(value.meaning.value).packed, self.known_align(target, space))
        else:
            source = value.meaning.space if isinstance(value.meaning, Reference) else "stack"
            self.copy(target, value.only, ctype.size, self.known_align(target, space),
                      self.known_align(value.only, source))

    def known_align(self, pointer: int, space: str) -> int:
        """What may be assumed of a place: on the stack what is known of it, elsewhere x86 and arm64 do not mind."""
        return self.alignments.get(pointer, 1) if space == "stack" else 8

    def same_bytes(self, pointer: int, data: bytes) -> int:
        """Whether memory starts with constant bytes: compared in words, no early way out."""
        difference: int | None = None
        at = 0
        while at < len(data):
            size = next(s for s in (8, 4, 2, 1) if s <= len(data) - at)
            type = f"i{size * 8}"
            word = self.load(type, pointer, at, 1 if size == 1 else size)
            bits = self.op("xor", type, word, self.number(int.from_bytes(data[at:at + size], "little"), type))
            wide = self.extend(bits, type)
            difference = wide if difference is None else self.op("or", "i64", difference, wide)
            at += size
        if difference is None:
            return self.number(1, "i1")
        return self.op("eq", "i1", difference, self.number(0))

    # None

    def some(self, meaning: Meaning, present: int, inner: Callable[[], Value]) -> Value:
        """`inner()` if `present`, else None: a value of the Optional `meaning`."""
        assert isinstance(meaning, Optional)
        if is_pointer(meaning.inner):
            pointer = self.choose("ptr", present, lambda: inner().only, self.null)
            return Value(meaning, pointer)
        types = part_types(meaning.inner)
        slots = [self.slot(8, 8, "maybe") for _ in types]
        for slot, type in zip(slots, types, strict=True):
            self.store(slot, self.null() if type == "ptr" else self.number(0, type))
        with self.when(present):
            for slot, part in zip(slots, inner().parts, strict=True):
                self.store(slot, part)
        return Value(meaning, present, *(self.load(type, slot) for slot, type in zip(slots, types, strict=True)))

    def optional_memory(self, pointer: int, ctype: CType, space: str) -> Value:
        """A map's answer, null for None: a reference for records, the value itself for scalars."""
        inner = meaning_of(ctype, space)
        meaning = Optional(inner)
        if isinstance(inner, Reference) and is_pointer(inner):
            return Value(meaning, pointer)
        present = self.op("ne", "i1", pointer, self.null())
        if isinstance(inner, Reference):
            return Value(meaning, present, pointer)
        return self.some(meaning, present, lambda: self.read(ctype, pointer, 0, space))

    def present_memory(self, present: int, ctype: CType, pointer: int) -> Value:
        """What was copied into `pointer` if `present`, else None."""
        inner = meaning_of(ctype, "stack")
        if isinstance(inner, Reference):
            if is_pointer(inner):
                return Value(Optional(inner), self.op("select", "ptr", present, pointer, self.null()))
            return Value(Optional(inner), present, pointer)
        return Value(Optional(inner), present, *self.read(ctype, pointer).parts)

    def convert(self, value: Value, meaning: Meaning) -> Value:
        """The same value in the parts of a wider or narrower meaning."""
        have = value.meaning
        alike = part_types(have) == part_types(meaning) and type(have) is type(meaning)
        if have == meaning or (alike and not isinstance(have, (TupleOf, Optional, Constant, Reference))):
            same = Value(meaning, *value.parts)
            same.wire = value.wire
            return same
        match have, meaning:
            case Constant(value=bool() as constant), Boolean():
                return Value(meaning, self.number(int(constant), "i1"))
            case Constant(value=bool() as constant), Integer():
                return Value(meaning, self.number(int(constant)))
            case (_, Constant()) | (_, Nothing()):
                return Value(meaning)
            case Boolean(), Integer():
                return Value(meaning, self.extend(value.only, "i1"))
            case Constant(value=str() | bytes()), Reference(ctype=ctype):
                place = self.memory(ctype.size)
                self.write(ctype, place, value)
                return Value(meaning, place)
            case Constant(), Reference(ctype=AddressType() as ctype):
                place = self.memory(ctype.size)
                self.write(ctype, place, value)
                return Value(meaning, place)
            case Nothing(), Optional(inner=OneOf()):
                return Value(meaning, self.number(0), self.null())
            case Nothing(), Optional():
                return Value(meaning, *(self.null() if t == "ptr" else self.number(0, t) for t in part_types(meaning)))
            case Optional(inner=OneOf()), OneOf():
                return Value(meaning, *value.parts)
            case OneOf(), Optional():
                return Value(meaning, *value.parts)
            case (OneOf() | Optional(inner=OneOf())), Reference():
                return Value(meaning, value.parts[1])
            case Optional(inner=inner), Optional(inner=wanted):
                if is_pointer(inner):
                    return Value(meaning, *value.parts)
                return Value(meaning, value.parts[0], *self.convert(Value(inner, *value.parts[1:]), wanted).parts)
            case Optional(inner=inner), _:
                parts = value.parts if is_pointer(inner) else value.parts[1:]
                return self.convert(Value(inner, *parts), meaning)
            case _, Optional(inner=wanted):
                inner_value = self.convert(value, wanted)
                if is_pointer(wanted):
                    return Value(meaning, inner_value.only)
                return Value(meaning, self.number(1, "i1"), *inner_value.parts)
            case TupleOf(), TupleOf():
                parts_out: list[int] = []
                at = 0
                for item, target in zip(have.items, meaning.items, strict=True):
                    count = len(part_types(item))
                    parts_out.extend(self.convert(Value(item, *value.parts[at:at + count]), target).parts)
                    at += count
                return Value(meaning, *parts_out)
            case (Reference(ctype=CharArray() as small), Reference(ctype=CharArray() as large)) \
                    if small.size < large.size:
                place = self.memory(large.size)
                self.write(large, place, value)
                return Value(meaning, place)
        return Value(meaning, *value.parts)
