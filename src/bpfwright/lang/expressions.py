"""Expressions to IR. Values that live in memory are built where they are wanted, if that is known."""
from __future__ import annotations

from contextlib import contextmanager

from bpfwright._typing import Any, Iterator
from bpfwright.lang import ir
from bpfwright.lang import tree as t
from bpfwright.lang.build import is_pointer, part_types
from bpfwright.lang.making import Making
from bpfwright.spec.dialect import Property, Value
from bpfwright.spec.meaning import (BOOLEAN, MAX_I64, NOTHING, Boolean, Constant, Integer, KernelObject, Meaning,
                                    Nothing, OneOf, Optional, Reference, TupleOf, join, meaning_of)
from bpfwright.types import is_shared
from bpfwright.types.config import Config
from bpfwright.types.ctype import (AddressType, ArrayType, AtomicType, BitsType, CharArray, CType, Int, RecordType)
from bpfwright.types.structs import Struct

__all__ = ["Expressions"]



class Expressions(Making):
    """The expression half of `Lowering`."""

    frame: Any
    known_keys: dict[Any, int]
    free_slots: dict[tuple[int, int], list[int]]
    lent_slots: list[tuple[tuple[int, int], int]]
    known_headers: dict[Any, tuple[int, int]]
    destination: tuple[CType, int] | None
    context_value: int
    context_cell: int | None = None
    """Where a loop's callback finds the context."""
    asked_context: bool = False
    scratch_at: int | None

    def expression(self, node: Any, meaning: Meaning | None = None) -> Value:
        """Lower an expression; as `meaning` when given."""
        span = self.span
        self.span = ir.Span(node.line, node.column, self.frame.file)
        value: Value = getattr(self, "of_" + type(node).__name__.lower())(node)
        self.span = span
        return value if meaning is None else self.convert(value, meaning)

    # where values go

    def take_destination(self, ctype: CType) -> int | None:
        if self.destination is not None and self.destination[0].size == ctype.size:
            place = self.destination[1]
            self.destination = None
            return place
        return None

    def spill(self, size: int) -> int:
        base = self.sink.scratch_base(self)
        offset = self.sink.reserve(size)
        place = self.pointer(base, offset)
        self.alignments[place] = 8
        return place

    def into(self, node: Any, ctype: CType, pointer: int, offset: int = 0, space: str = "stack") -> None:
        """Lower an expression straight into memory that nothing else reads yet."""
        place = self.pointer(pointer, offset) if isinstance(ctype, (CharArray, RecordType, AddressType, ArrayType)) \
            else -1
        if place >= 0 and self.builds(node):
            self.destination = (ctype, place)
            value = self.expression(node)
            self.destination = None
            if value.parts and isinstance(value.meaning, Reference) and value.only == place:
                return
            self.write(ctype, place, value, 0, space)
            return
        self.write(ctype, pointer, self.expression(node), offset, space)

    def builds(self, node: Any) -> bool:
        """Whether an expression makes its value in memory of its own choosing."""
        match node:
            case t.Call():
                return node.inlined is None
            case t.Attribute():
                return isinstance(node.object.meaning, KernelObject) or node.operation is not None
            case t.BoolOp(operator="or", values=[first, t.Constant()]):
                return self.builds(first)
        return False

    def own_copy(self, value: Value, node: Any) -> Value:
        """What a variable may hold: text and addresses are values in Python, so they are copied out of memory."""
        meaning = value.meaning
        inner = meaning.inner if isinstance(meaning, Optional) else meaning
        if not isinstance(inner, Reference) or not isinstance(inner.ctype, (CharArray, AddressType)):
            return value
        if node is not None and self.builds(node):
            return value
        place = self.memory(inner.ctype.size, "copy")
        owned = Reference(inner.ctype, "stack")
        source = value.parts[-1]
        align = self.known_align(source, inner.space)
        if isinstance(meaning, Optional):
            with self.when(value.parts[0]):
                self.copy(place, source, inner.ctype.size, 8, align)
            return Value(Optional(owned), value.parts[0], place)
        self.copy(place, source, inner.ctype.size, 8, align)
        return Value(owned, place)

    def address(self, node: Any, ctype: CType) -> int:
        """A pointer to the bytes of an argument, as a key or value of a map."""
        value_meaning = node.meaning
        if isinstance(value_meaning, Reference) and isinstance(ctype, RecordType) and value_meaning.ctype == ctype \
                and not isinstance(node, t.Call) and value_meaning.space in ("stack", "map", "map lru", "percpu"):
            return self.expression(node).only
        large = ctype.size > 8
        if not large and ctype.size:
            return self.key_slot(node, ctype)
        if isinstance(node, t.Call) and isinstance(node.call, dict) and "place" in node.call:
            return self.expression(node).only
        place = self.memory(ctype.size, "argument")
        self.into(node, ctype, place)
        return place

    def key_slot(self, node: Any, ctype: CType) -> int:
        """A small key on the stack; the same one again for what cannot have changed since it was stored."""
        steady = self.steady(node)
        known = self.known_keys.get((steady, ctype)) if steady else None
        if known is None:
            known = self.lent_slot(ctype.size, ctype.align)
            self.into(node, ctype, known)
            if steady:
                self.known_keys[steady, ctype] = known
        return known

    def lent_slot(self, size: int, align: int) -> int:
        """Memory until the block that is lowered now ends: what comes behind it may have the same."""
        free = self.free_slots.setdefault((size, align), [])
        slot: int = free.pop() if free else self.slot(size, align, "argument")
        self.lent_slots.append(((size, align), slot))
        return slot

    def steady(self, node: Any) -> Any:
        """A name for an expression that has one value all through the function: a local that is set once, or a field of
        a header behind such a local that nothing assigns. None for others."""
        if isinstance(node, t.Name) and node.binding == "local" and isinstance(node.meaning, Integer):
            return (self.frame, node.name) if self.frame.set_once(node.name) else None
        if isinstance(node, t.Attribute) and isinstance(node.object, t.Name) and node.object.binding == "local":
            owner = node.object.meaning
            if isinstance(owner, Reference) and owner.space == "packet" and not self.sink.moves_packet \
                    and self.frame.set_once(node.object.name) and not self.frame.assigns_member(node.name):
                return (self.frame, node.object.name, node.name)
        return None

    # leaves

    def of_constant(self, node: Any) -> Value:
        return self.literal(node.value)

    def literal(self, value: Any) -> Value:
        """A Python object known when compiling."""
        if value is None:
            return Value(NOTHING)
        if isinstance(value, bool):
            return Value(BOOLEAN, self.number(int(value), "i1"))
        if isinstance(value, int):
            enum = type(value) if type(value) is not int else None
            return Value(Integer(int(value), int(value), enum), self.number(int(value)))  # type: ignore[arg-type]
        if isinstance(value, Struct):
            cls = type(value).__mro__[1] if is_shared(value) else type(value)
            space = "shared" if is_shared(value) else "frozen"
            return Value(Reference(RecordType(cls), space), self.sink.struct_pointer(self, value))
        return Value(Constant(value))

    def of_name(self, node: Any) -> Value:
        if node.binding == "local":
            if not part_types(node.meaning):
                if isinstance(node.meaning, Constant):
                    return self.literal(node.meaning.value)
                return Value(node.meaning)
            return self.get(node.name, node.meaning)
        return self.convert(self.literal(node.binding), node.meaning)

    def get(self, name: str, meaning: Meaning) -> Value:
        raise NotImplementedError

    def of_tuple(self, node: Any) -> Value:
        parts: list[int] = []
        for item in node.items:
            parts.extend(self.expression(item).parts)
        return Value(node.meaning, *parts)

    def of_walrus(self, node: Any) -> Value:
        value = self.own_copy(self.expression(node.value), node.value)
        self.set(node.target.name, value)
        return self.convert(value, node.meaning)

    def set(self, name: str, value: Value) -> None:
        raise NotImplementedError

    # tests

    @contextmanager
    def tentative(self) -> Iterator[None]:
        """What is learnt inside, on one path only, is forgotten after."""
        keys, headers = self.known_keys, self.known_headers
        self.known_keys, self.known_headers = dict(keys), dict(headers)
        yield
        self.known_keys, self.known_headers = keys, headers

    def condition(self, node: Any, yes: ir.Block, no: ir.Block) -> None:
        """Branch on a test, `and`, `or` and `not` as control flow."""
        self.span = ir.Span(node.line, node.column, self.frame.file)
        if isinstance(node, t.BoolOp):
            with self.tentative():
                for value in node.values[:-1]:
                    following = self.block()
                    if node.operator == "and":
                        self.condition(value, following, no)
                    else:
                        self.condition(value, yes, following)
                    self.at = following
                self.condition(node.values[-1], yes, no)
        elif isinstance(node, t.Unary) and node.operator == "not":
            self.condition(node.operand, no, yes)
        elif isinstance(node.meaning, Constant):
            self.goto(yes if node.meaning.value else no)
        else:
            self.branch(self.truth(node), yes, no)

    def truth(self, node: Any) -> int:
        """A test as an i1."""
        if isinstance(node, t.BoolOp) or (isinstance(node, t.Unary) and node.operator == "not"):
            yes, no, after = self.block(), self.block(), self.block()
            slot = self.slot(1, 1, "test")
            self.condition(node, yes, no)
            for block, bit in ((yes, 1), (no, 0)):
                self.at = block
                self.store(slot, self.number(bit, "i1"))
                self.goto(after)
            self.at = after
            return self.load("i1", slot)
        return self.truth_of(self.expression(node))

    def truth_of(self, value: Value) -> int:
        match value.meaning:
            case Boolean():
                return value.only
            case Integer():
                return self.op("ne", "i1", value.only, self.number(0))
            case Constant(value=constant):
                return self.number(int(bool(constant)), "i1")
            case Nothing():
                return self.number(0, "i1")
            case Optional(inner=inner):
                present = self.invert(self.is_none(value))
                if is_pointer(inner) or isinstance(inner, OneOf):
                    return present
                rest = self.truth_of(Value(inner, *value.parts[1:]))
                return self.op("and", "i1", present, rest)
            case Reference(ctype=CharArray()):
                return self.op("ne", "i1", self.load("i8", value.only), self.number(0, "i8"))
        return self.number(1, "i1")

    def is_none(self, value: Value) -> int:
        """Whether a value is None, as an i1."""
        match value.meaning:
            case Nothing():
                return self.number(1, "i1")
            case Optional(inner=OneOf()):
                return self.op("eq", "i1", value.parts[0], self.number(0))
            case Optional(inner=inner):
                return self.is_null(value.parts[0]) if is_pointer(inner) else self.invert(value.parts[0])
        return self.number(0, "i1")

    def is_instance(self, value: Value, cls: type[Any]) -> int:
        """Whether a value is the record `cls` of several, as an i1."""
        meaning = value.meaning
        inner = meaning.inner if isinstance(meaning, Optional) else meaning
        if isinstance(inner, OneOf):
            classes = [getattr(getattr(choice, "ctype", None), "cls", None) for choice in inner.choices]
            place = classes.index(cls) + 1
            return self.op("eq", "i1", value.parts[0], self.number(place))
        if isinstance(meaning, Optional):
            return self.invert(self.is_none(value))
        return self.number(1, "i1")

    def of_boolop(self, node: Any) -> Value:
        if node.meaning == BOOLEAN:
            return Value(BOOLEAN, self.truth(node))
        types = part_types(node.meaning)
        slots = [self.slot(8, 8, "either") for _ in types]
        after = self.block()
        wanted = self.destination
        for position, child in enumerate(node.values):
            self.destination = wanted if self.builds(child) or position else None
            with self.tentative():
                value = self.expression(child)
            if position < len(node.values) - 1:
                following, keep = self.block(), self.block()
                truth = self.truth_of(value)
                self.branch(truth, *((following, keep) if node.operator == "and" else (keep, following)))
                self.at = keep
                self.keep(value, node.meaning, slots, after)
                self.at = following
            else:
                self.destination = None
                if wanted is not None and isinstance(value.meaning, Constant) and isinstance(wanted[0], CharArray):
                    self.write(wanted[0], wanted[1], value)
                    value = Value(Reference(wanted[0], "stack"), wanted[1])
                self.keep(value, node.meaning, slots, after)
        self.at = after
        if wanted is not None and isinstance(node.meaning, Reference):
            return Value(node.meaning, wanted[1])
        return Value(node.meaning, *(self.load(ty, slot) for ty, slot in zip(types, slots, strict=True)))

    def keep(self, value: Value, meaning: Meaning, slots: list[int], after: ir.Block) -> None:
        inner = meaning
        if isinstance(value.meaning, Optional) and not isinstance(meaning, Optional):
            value = self.convert(value, value.meaning.inner)
        for slot, part in zip(slots, self.convert(value, inner).parts, strict=True):
            self.store(slot, part)
        self.goto(after)

    def of_conditional(self, node: Any) -> Value:
        yes, no, after = self.block(), self.block(), self.block()
        types = part_types(node.meaning)
        slots = [self.slot(8 if ty != "i1" else 1, 8 if ty != "i1" else 1, "either") for ty in types]
        self.condition(node.test, yes, no)
        for block, child in ((yes, node.then), (no, node.other)):
            self.at = block
            with self.tentative():
                value = self.convert(self.expression(child), node.meaning)
            for slot, part in zip(slots, value.parts, strict=True):
                self.store(slot, part)
            self.goto(after)
        self.at = after
        return Value(node.meaning, *(self.load(ty, slot) for ty, slot in zip(types, slots, strict=True)))

    def of_compare(self, node: Any) -> Value:
        if len(node.rest) == 1:
            return Value(BOOLEAN, self.link(node, 0, self.expression(node.first))[0])
        slot = self.slot(1, 1, "chain")
        after, no = self.block(), self.block()
        left = self.expression(node.first)
        for position in range(len(node.rest)):
            with self.tentative():
                result, left = self.link(node, position, left)
            if position < len(node.rest) - 1:
                following = self.block()
                self.branch(result, following, no)
                self.at = following
            else:
                self.store(slot, result)
                self.goto(after)
        self.at = no
        self.store(slot, self.number(0, "i1"))
        self.goto(after)
        self.at = after
        return Value(BOOLEAN, self.load("i1", slot))

    def link(self, node: Any, position: int, left: Value) -> tuple[int, Value]:
        """One comparison of a chain: its result, and the right side for the next."""
        operator, right_node = node.rest[position]
        if operator in ("in", "not in"):
            result = self.contains(node, position, left, right_node)
            return (self.invert(result) if operator == "not in" else result), Value(NOTHING)
        right = self.expression(right_node)
        match operator:
            case "is":
                return self.is_none(left), right
            case "is not":
                return self.invert(self.is_none(left)), right
            case "==":
                return self.same(left, right), right
            case "!=":
                return self.invert(self.same(left, right)), right
        (a, am), (b, bm) = self.numeric(left), self.numeric(right)
        if operator in (">", ">="):
            a, am, b, bm = b, bm, a, am
        return self.less(a, am, b, bm, operator in ("<=", ">=")), right

    def contains(self, node: Any, position: int, left: Value, right_node: Any) -> int:
        site = node.links[position]
        if site is not None:
            site.lowering = self
            found: int = site.operation.lower(self, site).only
            return found
        items: list[Value]
        if isinstance(right_node, t.Tuple):
            items = [self.expression(item) for item in right_node.items]
        else:
            items = [self.literal(value) for value in right_node.meaning.value]
        result = self.number(0, "i1")
        for item in items:
            result = self.op("or", "i1", result, self.same(left, item))
        return result

    # arithmetic

    def of_binary(self, node: Any) -> Value:
        left = self.numeric(self.expression(node.left))
        right = self.numeric(self.expression(node.right))
        return Value(node.meaning, self.arithmetic(node.operator, left, right))

    def of_unary(self, node: Any) -> Value:
        if node.operator == "not":
            return Value(BOOLEAN, self.truth(node))
        value, _ = self.numeric(self.expression(node.operand))
        if node.operator == "-":
            value = self.op("sub", "i64", self.number(0), value)
        elif node.operator == "~":
            value = self.op("xor", "i64", value, self.number(-1))
        return Value(node.meaning, value)

    # attributes and items

    def of_attribute(self, node: Any) -> Value:
        if node.operation is not None:
            site = node.operation
            site.lowering = self
            return self.convert(site.operation.lower(self, site), node.meaning)
        owner = node.object.meaning
        if isinstance(owner, Constant):
            if isinstance(owner.value, Config):
                return self.config_value(owner.value, node.name)
            return self.convert(self.literal(getattr(owner.value, node.name)), node.meaning)
        wanted, self.destination = self.destination, None
        value = self.expression(node.object)
        self.destination = wanted
        return self.member_value(value, node.name)

    def config_value(self, config: Config, name: str) -> Value:
        """A member of a Config: a read of frozen memory that the optimiser may not fold, as its value comes at load."""
        ctype = type(config).types()[name]
        pointer, offset = self.sink.config_place(self, config, name)
        type_name = f"i{ctype.size * 8}"
        raw = self.op("volatile", type_name, pointer, offset, ctype.size)
        meaning = meaning_of(ctype, "frozen")
        if isinstance(meaning, Boolean):
            return Value(meaning, self.op("ne", "i1", raw, self.number(0, type_name)))
        if isinstance(ctype, Int) and ctype.big and ctype.size > 1:
            raw = self.op("bswap", type_name, raw)
        return Value(meaning, self.extend(raw, type_name, isinstance(meaning, Integer) and meaning.low < 0))

    def member_value(self, value: Value, name: str) -> Value:
        """A plain member of a record, kernel object or one of several."""
        match value.meaning:
            case KernelObject():
                return self.kernel_value(value, name)
            case OneOf(choices=choices):
                return self.choice_member(value, choices, name)
            case Reference(ctype=RecordType(cls=cls), space=space):
                field = cls.__layout__().fields[name]
                if isinstance(field.type, BitsType):
                    return self.read_bits(field.type, value.only, field.offset, field.shift, field.width, space)
                return self.read(field.type, value.only, field.offset, space)
        raise AssertionError(f"no member {name} of {value.meaning!r}")

    def choice_member(self, value: Value, choices: tuple[Meaning, ...], name: str) -> Value:
        places = [c.ctype.cls.__layout__().fields[name] for c in choices]  # type: ignore[attr-defined]
        if len({(f.offset, f.type, f.shift) for f in places}) == 1:
            return self.member_value(Value(choices[0], value.parts[1]), name)
        meanings = [meaning_of(f.type, c.space) for f, c in zip(places, choices, strict=True)]  # type: ignore[attr-defined]
        found: Meaning | None = None
        for meaning in meanings:
            found = join(found, meaning)
        assert found is not None
        whole = found
        slots = [self.slot(8, 8, "member") for _ in part_types(whole)]
        after = self.block()
        for number, choice in enumerate(choices, 1):
            yes, no = self.block(), self.block()
            self.branch(self.op("eq", "i1", value.parts[0], self.number(number)), yes, no)
            self.at = yes
            part = self.convert(self.member_value(Value(choice, value.parts[1]), name), whole)
            for slot, bit in zip(slots, part.parts, strict=True):
                self.store(slot, bit)
            self.goto(after)
            self.at = no
        for slot, ty in zip(slots, part_types(whole), strict=True):
            self.store(slot, self.null() if ty == "ptr" else self.number(0, ty))
        self.goto(after)
        self.at = after
        return Value(whole, *(self.load(ty, s) for ty, s in zip(part_types(whole), slots, strict=True)))

    def of_index(self, node: Any) -> Value:
        if node.operation is not None:
            site = node.operation
            site.lowering = self
            return self.convert(site.operation.lower(self, site), node.meaning)
        owner = self.expression(node.object)
        if isinstance(owner.meaning, TupleOf):
            return self.tuple_item(owner, node.index.meaning.constant)
        if isinstance(owner.meaning, Constant):
            constants: Any = owner.meaning.value
            return self.convert(self.literal(constants[node.index.meaning.constant]), node.meaning)
        place = self.item_place(owner, node)
        assert isinstance(owner.meaning, Reference)
        if isinstance(owner.meaning.ctype, CharArray):
            return Value(node.meaning, self.extend(self.load("i8", place), "i8"))
        assert isinstance(owner.meaning.ctype, ArrayType)
        return self.read(owner.meaning.ctype.element, place, 0, owner.meaning.space)

    def tuple_item(self, owner: Value, index: int) -> Value:
        assert isinstance(owner.meaning, TupleOf)
        items = owner.meaning.items
        index %= len(items)
        at = sum(len(part_types(item)) for item in items[:index])
        return Value(items[index], *owner.parts[at:at + len(part_types(items[index]))])

    def item_place(self, owner: Value, node: Any) -> int:
        """A pointer to `owner[index]` of an array in memory."""
        assert isinstance(owner.meaning, Reference)
        ctype = owner.meaning.ctype
        size, length = (ctype.element.size, ctype.length) if isinstance(ctype, ArrayType) else (1, ctype.size)
        index = node.index.meaning
        if isinstance(index, Integer) and index.constant is not None:
            return self.pointer(owner.only, index.constant % length * size)
        number, _ = self.numeric(self.expression(node.index))
        return self.op("index", "ptr", owner.only, number, size)

    # assignments into memory

    def assign_attribute(self, target: Any, value: Any) -> None:
        if target.operation is not None:
            site = target.operation
            site.lowering = self
            assert isinstance(site.operation, Property) and site.operation.write is not None
            site.operation.write(self, site, self.expression(value))
            return
        owner = self.expression(target.object)
        assert isinstance(owner.meaning, Reference) and isinstance(owner.meaning.ctype, RecordType)
        field = owner.meaning.ctype.cls.__layout__().fields[target.name]
        if isinstance(field.type, BitsType):
            number, _ = self.numeric(self.expression(value))
            self.write_bits(field.type, owner.only, field.offset, field.shift, field.width, number, owner.meaning.space)
        elif owner.meaning.space in ("ring", "stack") and self.builds(value) and not isinstance(field.type, RecordType):
            self.into(value, field.type, owner.only, field.offset, owner.meaning.space)
        else:
            self.write(field.type, owner.only, self.expression(value), field.offset, owner.meaning.space)

    def assign_item(self, target: Any, value: Any) -> None:
        if target.operation is not None:
            site = target.operation
            site.lowering = self
            site.operation.lower(self, site)
            return
        owner = self.expression(target.object)
        found = self.expression(value)
        place = self.item_place(owner, target)
        assert isinstance(owner.meaning, Reference) and isinstance(owner.meaning.ctype, ArrayType)
        self.write(owner.meaning.ctype.element, place, found, 0, owner.meaning.space)

    def store_into(self, target: Any, value: Value) -> None:
        """Store an already lowered value into a member or item (of an unpacking)."""
        owner = self.expression(target.object)
        assert isinstance(owner.meaning, Reference)
        if isinstance(target, t.Attribute):
            assert isinstance(owner.meaning.ctype, RecordType)
            field = owner.meaning.ctype.cls.__layout__().fields[target.name]
            if isinstance(field.type, BitsType):
                self.write_bits(field.type, owner.only, field.offset, field.shift, field.width,
                                self.numeric(value)[0], owner.meaning.space)
            else:
                self.write(field.type, owner.only, value, field.offset, owner.meaning.space)
        else:
            assert isinstance(owner.meaning.ctype, ArrayType)
            self.write(owner.meaning.ctype.element, self.item_place(owner, target), value, 0, owner.meaning.space)

    def do_augmented(self, node: Any) -> None:
        target = node.target
        if isinstance(target, t.Name):
            left = self.numeric(self.get(target.name, target.meaning))
            right = self.numeric(self.expression(node.value))
            value = self.arithmetic(node.operator, left, right)
            room = self.frame.body.variables[target.name]
            self.set(target.name, Value(room.inner if isinstance(room, Optional) else room, value))
            return
        owner = self.expression(target.object)
        if node.how != "plain":
            self.atomic_update(node, target, owner)
            return
        place = self.item_place(owner, target) if isinstance(target, t.Index) else owner.only
        left = self.numeric(self.item_or_member(owner, target, place))
        right = self.numeric(self.expression(node.value))
        number = self.arithmetic(node.operator, left, right)
        result = Value(Integer(-(1 << 63), MAX_I64), number)
        self.store_at(owner, target, place, result)

    def item_or_member(self, owner: Value, target: Any, place: int) -> Value:
        if isinstance(target, t.Attribute):
            if target.operation is not None:
                target.operation.lowering = self
                found: Value = target.operation.operation.lower(self, target.operation)
                return found
            return self.member_value(owner, target.name)
        assert isinstance(owner.meaning, Reference) and isinstance(owner.meaning.ctype, ArrayType)
        return self.read(owner.meaning.ctype.element, place, 0, owner.meaning.space)

    def store_at(self, owner: Value, target: Any, place: int, value: Value) -> None:
        if isinstance(target, t.Attribute):
            if target.operation is not None:
                target.operation.operation.write(self, target.operation, value)
                return
            assert isinstance(owner.meaning, Reference) and isinstance(owner.meaning.ctype, RecordType)
            field = owner.meaning.ctype.cls.__layout__().fields[target.name]
            if isinstance(field.type, BitsType):
                self.write_bits(field.type, owner.only, field.offset, field.shift, field.width, value.only,
                                owner.meaning.space)
            else:
                self.write(field.type, owner.only, value, field.offset, owner.meaning.space)
            return
        assert isinstance(owner.meaning, Reference) and isinstance(owner.meaning.ctype, ArrayType)
        self.write(owner.meaning.ctype.element, place, value, 0, owner.meaning.space)

    def atomic_update(self, node: Any, target: Any, owner: Value) -> None:
        assert isinstance(owner.meaning, Reference)
        if isinstance(target, t.Index):
            assert isinstance(owner.meaning.ctype, ArrayType)
            ctype, place = owner.meaning.ctype.element, self.item_place(owner, target)
        else:
            assert isinstance(owner.meaning.ctype, RecordType)
            field = owner.meaning.ctype.cls.__layout__().fields[target.name]
            ctype, place = field.type, self.pointer(owner.only, field.offset)
        if isinstance(ctype, AtomicType):
            ctype = ctype.element
        number, _ = self.numeric(self.expression(node.value))
        if node.operator == "-":
            number = self.op("sub", "i64", self.number(0), number)
        width = f"i{ctype.size * 8}"
        self.op("atomic", width, node.how, place, self.truncate(number, width))

    # calls

    def of_call(self, node: Any) -> Value:
        if node.inlined is not None:
            return self.inline(node)
        if node.operation is not None:
            return self.call_instance(node)
        if isinstance(node.call, dict):
            return self.construct(node)
        site = node.call
        site.lowering = self
        return self.convert(site.operation.lower(self, site), node.meaning)

    def context(self) -> int:
        """The program's context pointer."""
        if self.context_cell is None:
            return self.context_value
        self.asked_context = True
        found: int = self.load("ptr", self.context_cell)
        return found

    def leave_program(self) -> None:
        """End the program here, whatever encloses this place, with the hook's default."""
        frame = self.frame
        while frame is not None:
            for leave in reversed(frame.scopes):
                leave()
            frame = frame.outer
        self.give_back(None)

    def give_back(self, value: Value | None) -> None:
        raise NotImplementedError

    def count_lost(self, declaration: object) -> None:
        """One more that found no room in this map."""
        pointer, offset = self.sink.lost_counter(self, declaration)
        self.op("atomic", "i64", "add", self.pointer(pointer, offset), self.number(1))
