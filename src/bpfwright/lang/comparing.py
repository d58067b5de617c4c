"""Equality of values in memory, arithmetic, and kernel structs: what expressions are built of."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang import ir
from bpfwright.lang.build import Builder
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import Constant, Integer, KernelObject, Reference, meaning_of
from bpfwright.types.ctype import AddressType, ArrayType, BitsType, CharArray, RecordType

__all__ = ["Comparing"]

_PLAIN = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}
_PROBE_READ_KERNEL = 113  # since Linux 5.5


class Comparing(Builder):
    """The part of `Lowering` that compares, calculates and reads kernel structs."""

    destination: Any

    def same(self, left: Value, right: Value) -> int:
        """left == right, as an i1."""
        for a, b in ((left, right), (right, left)):
            if isinstance(a.meaning, Reference):
                if isinstance(b.meaning, Constant):
                    return self.same_constant(a, b.meaning.value)
                if isinstance(b.meaning, Reference):
                    return self.same_memory(a, b)
        if isinstance(left.meaning, KernelObject):
            return self.op("eq", "i1", left.only, right.only)
        for a, b in ((left, right), (right, left)):
            if a.wire is not None and isinstance(b.meaning, Integer) and b.meaning.constant is not None:
                return self.same_on_the_wire(a.wire, b.meaning.constant)
        (x, xm), (y, ym) = self.numeric(left), self.numeric(right)
        return self.equal(x, xm, y, ym)

    def same_on_the_wire(self, wire: tuple[int, str], constant: int) -> int:
        """A number in network order against a constant: the constant is swapped, once and for all."""
        raw, type = wire
        size = ir.WIDTHS[type] // 8
        if not 0 <= constant < 1 << 8 * size:
            return self.number(0, "i1")
        return self.op("eq", "i1", raw, self.number(int.from_bytes(constant.to_bytes(size, "big"), "little"), type))

    def same_constant(self, value: Value, constant: Any) -> int:
        ctype = value.meaning.ctype  # type: ignore[attr-defined]
        if isinstance(ctype, AddressType):
            return self.same_bytes(value.only, ctype.cls.coerce(constant).packed)
        data = constant.encode("utf-8", "surrogateescape") if isinstance(constant, str) else constant
        if len(data) > ctype.size:
            return self.number(0, "i1")
        return self.same_bytes(value.only, data + b"\0" if len(data) < ctype.size else data)

    def same_memory(self, a: Value, b: Value) -> int:
        left, right = a.meaning.ctype, b.meaning.ctype  # type: ignore[attr-defined]
        if isinstance(left, CharArray):
            return self.same_text(a, b)
        size = min(left.size, right.size)
        difference = self.number(0)
        at = 0
        while at < size:
            width = next(w for w in (8, 4, 2, 1) if w <= size - at and (w <= left.align or w == 1))
            type = f"i{width * 8}"
            bits = self.op("xor", type, self.load(type, a.only, at), self.load(type, b.only, at))
            difference = self.op("or", "i64", difference, self.extend(bits, type))
            at += width
        return self.op("eq", "i1", difference, self.number(0))

    def same_text(self, a: Value, b: Value) -> int:
        """Texts are equal up to their NUL; bytes behind it do not count."""
        sizes = [v.meaning.ctype.size for v in (a, b)]  # type: ignore[attr-defined]
        shorter = min(sizes)
        result = self.slot(1, 1, "same")
        counter = self.slot(8, 8, "counter")
        self.store(counter, self.number(0))
        self.store(result, self.number(1 if sizes[0] == sizes[1] else 0, "i1"))
        head, body, on, after = self.block(), self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        self.branch(self.op("ult", "i1", self.load("i64", counter), self.number(shorter)), body, after)
        self.at = body
        index = self.load("i64", counter)
        left = self.load("i8", self.op("index", "ptr", a.only, index, 1))
        right = self.load("i8", self.op("index", "ptr", b.only, index, 1))
        same = self.op("eq", "i1", left, right)
        ended = self.op("eq", "i1", left, self.number(0, "i8"))
        self.store(result, same)
        stop = self.op("or", "i1", self.invert(same), ended)
        self.branch(stop, after, on)
        self.at = on
        self.store(result, self.number(1 if sizes[0] == sizes[1] else 0, "i1"))
        self.store(counter, self.op("add", "i64", index, self.number(1)))
        self.goto(head)
        self.at = after
        return self.load("i1", result)

    def text_length(self, value: Value) -> int:
        """Bytes before the NUL."""
        size = value.meaning.ctype.size  # type: ignore[attr-defined]
        counter = self.slot(8, 8, "counter")
        self.store(counter, self.number(0))
        head, body, on, after = self.block(), self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        self.branch(self.op("ult", "i1", self.load("i64", counter), self.number(size)), body, after)
        self.at = body
        index = self.load("i64", counter)
        byte = self.load("i8", self.op("index", "ptr", value.only, index, 1))
        self.branch(self.op("eq", "i1", byte, self.number(0, "i8")), after, on)
        self.at = on
        self.store(counter, self.op("add", "i64", index, self.number(1)))
        self.goto(head)
        self.at = after
        return self.load("i64", counter)

    def arithmetic(self, operator: str, left: tuple[int, Integer], right: tuple[int, Integer]) -> int:
        (a, am), (b, bm) = left, right
        if operator in _PLAIN:
            return self.op(_PLAIN[operator], "i64", a, b)
        if operator in ("//", "%"):
            unsigned = am.low >= 0 and bm.low >= 0
            names = {"//": ("udiv", "floordiv"), "%": ("urem", "floormod")}[operator]
            return self.op(names[0] if unsigned else names[1], "i64", a, b)
        if operator == "<<":
            return self.shift("shl", a, b, bm)
        if operator == ">>":
            return self.shift("lshr" if am.low >= 0 else "ashr", a, b, bm)
        return self.power(a, bm.low)

    def shift(self, name: str, value: int, count: int, known: Integer) -> int:
        """Shifts by 64 and more shift everything out, as in Python."""
        if known.high <= 63:
            return self.op(name, "i64", value, count)
        inside = self.op("ult", "i1", count, self.number(64))
        if name == "ashr":
            return self.op(name, "i64", value, self.op("select", "i64", inside, count, self.number(63)))
        safe = self.op("select", "i64", inside, count, self.number(0))
        return self.op("select", "i64", inside, self.op(name, "i64", value, safe), self.number(0))

    def power(self, value: int, exponent: int) -> int:
        result = self.number(1)
        for _ in range(exponent):
            result = self.op("mul", "i64", result, value)
        return result

    def kernel_value(self, value: Value, name: str) -> Value:
        """A field of a kernel struct: its place comes from the running kernel's BTF at load."""
        owner = value.meaning
        assert isinstance(owner, KernelObject)
        cls = owner.cls
        for step in owner.path:
            cls = cls.__layout__().fields[step].type.cls
        ctype = cls.__layout__().fields[name].type
        path = (*owner.path, name)
        if isinstance(ctype, RecordType):
            return Value(KernelObject(owner.cls, owner.trusted, path), value.only)
        if isinstance(ctype, BitsType):
            return self.kernel_bits(value, owner, ctype, path)
        wanted, self.destination = self.destination, None
        place = self.anchor(self.op("index", "ptr", value.only, self.core(owner.cls, path, 0), 1))
        self.destination = wanted
        if isinstance(ctype, (CharArray, ArrayType, AddressType)):
            target = self.scratch(ctype)
            self.helper(_PROBE_READ_KERNEL, target, self.number(ctype.size), place)
            return Value(Reference(ctype, "stack"), target)
        if owner.trusted:
            return self.read(ctype, place, 0, "kernel")
        slot = self.slot(ctype.size, ctype.size, name)
        self.helper(_PROBE_READ_KERNEL, slot, self.number(ctype.size), place)
        return self.read(ctype, slot, 0, "untrusted")

    def kernel_bits(self, value: Value, owner: KernelObject, ctype: BitsType, path: tuple[str, ...]) -> Value:
        """A bit-field: its bytes, shifted up and down by amounts that the loader fills in."""
        place = self.anchor(self.op("index", "ptr", value.only, self.core(owner.cls, path, 0, "i32"), 1))
        slot = self.slot(8, 8, path[-1])
        self.store(slot, self.number(0))
        self.helper(_PROBE_READ_KERNEL, slot, self.core(owner.cls, path, 1), place)
        raw = self.op("shl", "i64", self.load("i64", slot), self.core(owner.cls, path, 4))
        return Value(meaning_of(ctype, "stack"),
                     self.op("ashr" if ctype.storage.signed else "lshr", "i64", raw, self.core(owner.cls, path, 5)))

    def core(self, cls: type[Any], path: tuple[str, ...], kind: int, width: str = "") -> int:
        """What CO-RE says of a member: kind 0 its byte offset, 1 size, 2 whether it exists, 4 and 5 bit shifts."""
        type = width or ("i64" if kind in (0, 6, 7, 10, 11) else "i32")
        found = self.op("core", type, self.sink.kernel_type(cls), kind, ".".join(path))
        return self.extend(found, type)

    def core_offset(self, cls: type[Any], path: tuple[str, ...], kind: int = 0) -> int:
        return self.core(cls, path, kind)
