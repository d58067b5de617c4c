"""Records made in place, functions inlined or called."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.lang import tree as t
from bpfwright.lang.build import part_types
from bpfwright.lang.comparing import Comparing
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import BOOLEAN, NOTHING, Integer, Meaning, Optional, Reference
from bpfwright.types.ctype import ArrayType, BitsType, CharArray, CType, Opaque, RecordType

__all__ = ["Making", "pure"]


class Making(Comparing):
    """The part of `Lowering` that makes records and calls functions."""

    frame: Any

    def expression(self, node: Any, meaning: Meaning | None = None) -> Value:
        raise NotImplementedError

    def literal(self, value: Any) -> Value:
        raise NotImplementedError

    def builds(self, node: Any) -> bool:
        raise NotImplementedError

    def into(self, node: Any, ctype: CType, pointer: int, offset: int = 0, space: str = "stack") -> None:
        raise NotImplementedError

    def own_copy(self, value: Value, node: Any) -> Value:
        raise NotImplementedError

    def set(self, name: str, value: Value) -> None:
        raise NotImplementedError

    def block_of(self, statements: list[Any]) -> None:
        raise NotImplementedError

    def construct(self, node: Any) -> Value:
        """A Struct: scalars first, as Python evaluates arguments before it makes the object; texts in place."""
        placed = node.call.pop("place", None)
        place = placed if placed is not None and self.destination is None else self.scratch(node.call["record"])
        self.prepare_record(node)(place)
        return Value(node.meaning, place)

    def prepare_record(self, node: Any) -> Callable[[int], None]:
        """Evaluate a constructor's scalar arguments now; the result fills the record in at a pointer."""
        record: RecordType = node.call["record"]
        layout = record.cls.__layout__()
        values: dict[str, Value] = {}

        def evaluate() -> None:
            for name, child in node.call["given"].items():
                if not self.builds(child) or not isinstance(layout.fields[name].type,
                                                            (CharArray, ArrayType, RecordType)):
                    wanted, self.destination = self.destination, None
                    values[name] = self.expression(child)
                    self.destination = wanted

        later = all(pure(child) for child in node.call["given"].values())
        if not later:
            evaluate()

        def fill_in(place: int) -> None:
            if self.has_gaps(record):
                self.fill(place, record.size)
            for name, field in layout.fields.items():
                self.construct_field(node, name, field, place, values)

        return fill_in

    def construct_field(self, node: Any, name: str, field: Any, place: int, values: dict[str, Value]) -> None:
        if name not in values and name in node.call["given"]:
            child = node.call["given"][name]
            if node.call.get("placed") == (name, place):
                return
            if isinstance(field.type, BitsType):
                values[name] = self.expression(child)
            else:
                self.into(child, field.type, place, field.offset)
                return
        if name in values:
            value = values[name]
        elif name in node.call["defaults"]:
            value = self.literal(node.call["defaults"][name])
        else:
            if not self.has_gaps_at(node.call["record"]):
                self.fill(self.pointer(place, field.offset), field.type.size)
            return
        if isinstance(field.type, BitsType):
            self.write_bits(field.type, place, field.offset, field.shift, field.width, self.numeric(value)[0], "stack")
        else:
            self.write(field.type, place, value, field.offset)

    def has_gaps(self, record: RecordType) -> bool:
        """Whether writing every field leaves bytes unset: padding, bit-fields, kernel-owned members, unions."""
        fields = record.cls.__layout__().fields.values()
        if getattr(record.cls, "__union__", False) or any(isinstance(f.type, (BitsType, Opaque)) for f in fields):
            return True
        return bool(sum(f.type.size for f in fields) != record.size or any(
            isinstance(f.type, RecordType) and self.has_gaps(f.type) for f in fields))

    def has_gaps_at(self, record: RecordType) -> bool:
        return self.has_gaps(record)

    def inline(self, node: Any) -> Value:
        """A plain function: its body, in a frame of its own, here."""
        from bpfwright.lang.lower import Frame
        body = node.inlined
        arguments = []
        wanted, self.destination = self.destination, None
        for name, meaning in body.params:
            given = node.call[name]
            value = self.expression(given) if isinstance(given, t.Node) else self.literal(given)
            if isinstance(meaning, Integer) and isinstance(value.meaning, Integer):
                value = self.fit_parameter(value, meaning)
            arguments.append((name, self.own_copy(value, None) if isinstance(value.meaning, (Reference, Optional))
                              else value))
        self.destination = wanted
        outer = self.frame
        frame = Frame(body, self.sink.file(body.source.file))
        frame.outer = outer
        frame.after = self.block()
        frame.result_meaning = body.result
        frame.result = [(self.slot(8, 8, "result"), ty) for ty in part_types(body.result)]
        self.frame = frame
        for name, value in arguments:
            if part_types(body.variables[name]):
                self.set(name, value)
        for slot, ty in frame.result:
            self.store(slot, self.null() if ty == "ptr" else self.number(0, ty))
        self.block_of(body.tree.body)
        self.goto(frame.after)
        self.at = frame.after
        self.frame = outer
        return Value(body.result, *(self.load(ty, slot) for slot, ty in frame.result))

    def fit_parameter(self, value: Value, meaning: Integer) -> Value:
        """Cut an argument to its parameter's width."""
        have = value.meaning
        assert isinstance(have, Integer)
        if meaning.low <= have.low and have.high <= meaning.high:
            return Value(meaning, value.only)
        for bits in (8, 16, 32, 64):
            for signed in (False, True):
                low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
                if (low, high) == (meaning.low, meaning.high):
                    return Value(meaning, self.extend(self.truncate(value.only, f"i{bits}"), f"i{bits}", signed))
        return Value(meaning, value.only)

    def call_instance(self, node: Any) -> Value:
        """A subprogram, or a kfunc that `calls` prepared."""
        if callable(node.operation):
            prepared: Value = node.operation(self, node)
            return prepared
        body = node.operation
        self.sink.lower_instance(body)
        arguments: list[int] = []
        for name, meaning in body.params:
            given = node.call[name]
            value = self.expression(given) if isinstance(given, t.Node) else self.literal(given)
            if isinstance(meaning, Integer) and isinstance(value.meaning, Integer):
                value = self.fit_parameter(value, meaning)
            arguments.extend(self.convert(value, meaning).parts)
        if not part_types(body.result):
            self.effect("call", body.name, *arguments)
            return Value(NOTHING)
        result = self.op("call", "i64", body.name, *arguments)
        if body.result == BOOLEAN:
            return Value(BOOLEAN, self.op("ne", "i1", result, self.number(0)))
        return Value(node.meaning, result)

    def function_pointer(self, body: Any) -> int:
        """A callback that `Site.callback` compiled."""
        self.sink.lower_instance(body)
        return self.op("function", "ptr", body.name)


def pure(node: Any) -> bool:
    """Whether evaluating an expression changes nothing, so that it may be done a little later."""
    match node:
        case t.Constant() | t.Name():
            return True
        case t.Attribute():
            return pure(node.object) if node.operation is None else True
        case t.Unary():
            return pure(node.operand)
        case t.Binary():
            return pure(node.left) and pure(node.right)
        case t.Compare():
            return pure(node.first) and all(operator not in ("in", "not in") and pure(value)
                                            for operator, value in node.rest)
        case t.Call():
            site = node.call
            if node.inlined is not None or isinstance(site, dict) or site is None or not site.operation.pure:
                return False
            return all(pure(child) for child in (*node.args, *node.keywords.values())) and (
                not isinstance(node.function, t.Attribute) or pure(node.function.object))
    return False
