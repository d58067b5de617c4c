"""Python's own functions and methods in the dialect: min, len, int.bit_length, str.startswith, atomics, user reads."""
from __future__ import annotations

import importlib
from enum import IntEnum

from bpfwright._typing import Any, Callable, NoReturn
from bpfwright.errors import UsageError
from bpfwright.lang import tree as t
from bpfwright.lang.numbers import fit
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.meaning import (BOOLEAN, Boolean, Constant, Integer, Meaning, Optional, Reference, TupleOf,
                                    UserAddress, describe, meaning_of)
from bpfwright.types.ctype import AddressType, ArrayType, AtomicType, CharArray, Int

__all__ = ["CURES", "FUNCTIONS", "conversion", "enumeration", "iteration", "method", "opaque"]

CURES = {
    "print": "Write log(f\"...\").", "sorted": "Sort outside, on the columns.", "sum": "Write a loop.",
    "list": "Use an array field of a Struct.", "dict": "Declare a map.", "set": "Declare a Hash map.",
    "str": "Send the value and format it outside.", "repr": "Send the value and format it outside.",
    "float": "Scale to an integer.", "open": "Send events and write outside.", "input": "Use Config, or a map.",
    "zip": "Loop over an index.", "map": "Write a loop.", "filter": "Write a loop.", "any": "Write a loop.",
    "all": "Write a loop.", "round": "Integers need none.", "pow": "Write `**`.", "hash": "Use a Hash map.",
    "format": "Send the value and format it outside.", "sleep": "A kernel program cannot wait; use a timer.",
    "time": "Use now_ns().", "getattr": "Name the field.", "setattr": "Name the field.", "type": "Use match.",
    "id": "There are no objects in the kernel.", "iter": "Write `for`.", "next": "Write `for`.",
}

_OPAQUE = {"bpf_spin_lock": "bpfwright.helpers.locks", "bpf_timer": "bpfwright.maps.timer"}


def opaque(name: str) -> dict[str, Operation]:
    """The operations of a kernel-owned field (a lock, a timer), by the C name of its type."""
    table: dict[str, Operation] = importlib.import_module(_OPAQUE[name]).OPERATIONS
    return table


def as_integer(meaning: Meaning) -> Integer:
    """An argument's interval; booleans are 0 and 1."""
    if isinstance(meaning, Integer):
        return meaning
    if isinstance(meaning, Constant) and isinstance(meaning.value, bool):
        return Integer(int(meaning.value), int(meaning.value))
    return Integer(0, 1)


def refused(site: Any, what: str, cure: str = "") -> NoReturn:
    """Refuse a use; for functions whose type says that they give a meaning."""
    site.refuse(what, cure)
    raise AssertionError


# min, max, abs, len, int, bool, isinstance


def _extreme(name: str) -> Operation:
    def check(site: Any) -> Meaning:
        if len(site.args) < 2:
            site.refuse(f"{name}() takes two or more values here", "A container is walked with `for`.")
        site.bind(*(f"value{i}" for i in range(len(site.args))))
        found = []
        for i in range(len(site.args)):
            site.integer(f"value{i}")
            found.append(as_integer(site.meaning(f"value{i}")))
        pick = min if name == "min" else max
        return fit(pick(v.low for v in found), pick(v.high for v in found), *found)

    def lower(b: Any, site: Any) -> Value:
        best, known = b.numeric(site.value("value0"))
        for i in range(1, len(site.args)):
            value, meaning = b.numeric(site.value(f"value{i}"))
            less = b.less(value, meaning, best, known) if name == "min" else b.less(best, known, value, meaning)
            best = b.op("select", "i64", less, value, best)
            known = fit(min(known.low, meaning.low), max(known.high, meaning.high), known, meaning)
        return Value(site.node.meaning, best)

    return Operation(check, lower, pure=True, calls=False)


def _check_abs(site: Any) -> Meaning:
    site.bind("value")
    site.integer("value")
    value = as_integer(site.meaning("value"))
    least = 0 if value.low <= 0 <= value.high else min(abs(value.low), abs(value.high))
    return Integer(least, max(abs(value.low), abs(value.high)))


def _lower_abs(b: Any, site: Any) -> Value:
    value, meaning = b.numeric(site.value("value"))
    if meaning.low >= 0:
        return Value(site.node.meaning, value)
    negative = b.op("slt", "i1", value, b.number(0))
    return Value(site.node.meaning, b.op("select", "i64", negative, b.op("sub", "i64", b.number(0), value), value))


def _check_len(site: Any) -> Meaning:
    site.bind("value")
    meaning = site.meaning("value")
    match meaning:
        case Constant(value=str() | bytes() | tuple() as value):
            return Integer(len(value), len(value))
        case Reference(ctype=ArrayType(length=length)):
            return Integer(length, length)
        case Reference(ctype=CharArray(size=size)):
            return Integer(0, size)
        case TupleOf(items=items):
            return Integer(len(items), len(items))
        case Constant(value=map_) if getattr(map_, "fixed_length", False):
            entries: int = map_.max_entries  # type: ignore[attr-defined]
            return Integer(entries, entries)
    return refused(site, f"len() of {describe(meaning)} is not known in the kernel", "Keep a count of your own.")


def _lower_len(b: Any, site: Any) -> Value:
    known = site.node.meaning
    if known.constant is not None:
        return Value(known, b.number(known.constant))
    return Value(known, b.text_length(site.value("value")))


def _check_int(site: Any) -> Meaning:
    site.bind("value")
    meaning = site.meaning("value")
    if isinstance(meaning, Reference) and hasattr(meaning.ctype, "cls") and meaning.ctype.size in (4, 6, 8):
        return Integer(0, (1 << meaning.ctype.size * 8) - 1)
    site.integer("value")
    return as_integer(meaning)


def _lower_int(b: Any, site: Any) -> Value:
    value = site.value("value")
    if isinstance(value.meaning, Reference):
        size = value.meaning.ctype.size
        if size == 6:
            upper, lower = _big(b, value.only, 0, 4), _big(b, value.only, 4, 2)
            return Value(site.node.meaning, b.op("or", "i64", b.op("shl", "i64", upper, b.number(16)), lower))
        return Value(site.node.meaning, _big(b, value.only, 0, size))
    return Value(site.node.meaning, b.numeric(value)[0])


def _big(b: Any, pointer: int, offset: int, size: int) -> int:
    """Bytes in network order as a number."""
    number: int = b.extend(b.op("bswap", f"i{size * 8}", b.load(f"i{size * 8}", pointer, offset)), f"i{size * 8}")
    return number


def _check_bool(site: Any) -> Meaning:
    site.bind("value")
    return BOOLEAN


def _lower_bool(b: Any, site: Any) -> Value:
    return Value(BOOLEAN, b.truth(site.node_of("value")))


def _check_isinstance(site: Any) -> Meaning:
    site.bind("value", "kind")
    return BOOLEAN


def _lower_isinstance(b: Any, site: Any) -> Value:
    return Value(BOOLEAN, b.is_instance(site.value("value"), site.node_of("kind").meaning.value))


FUNCTIONS: dict[object, Operation] = {
    min: _extreme("min"), max: _extreme("max"), abs: Operation(_check_abs, _lower_abs, pure=True, calls=False),
    len: Operation(_check_len, _lower_len, calls=False), int: Operation(_check_int, _lower_int, pure=True, calls=False),
    bool: Operation(_check_bool, _lower_bool, calls=False),
    isinstance: Operation(_check_isinstance, _lower_isinstance, calls=False),
}


def conversion(ctype: Int) -> Operation:
    """`u32(x)`: the low bits."""
    def check(site: Any) -> Meaning:
        site.bind("value")
        site.integer("value")
        value = as_integer(site.meaning("value"))
        if ctype.low <= value.low and value.high <= ctype.high:
            return Integer(value.low, value.high)
        if value.constant is not None:
            return Integer(ctype(value.constant), ctype(value.constant))
        return Integer(ctype.low, ctype.high)

    def lower(b: Any, site: Any) -> Value:
        value, meaning = b.numeric(site.value("value"))
        known = site.node.meaning
        if ctype.size < 8 and not (known.low == meaning.low and known.high == meaning.high):
            value = b.extend(b.truncate(value, f"i{ctype.bits}"), f"i{ctype.bits}", ctype.signed)
        return Value(known, value)

    return Operation(check, lower, pure=True, calls=False)


def enumeration(cls: type[IntEnum]) -> Operation:
    """`Verdict(x)`: the number as a member; not checked, as no exception could be raised."""
    def check(site: Any) -> Meaning:
        site.bind("value")
        site.integer("value")
        value = as_integer(site.meaning("value"))
        return Integer(value.low, value.high, cls)

    def lower(b: Any, site: Any) -> Value:
        return Value(site.node.meaning, b.numeric(site.value("value"))[0])

    return Operation(check, lower, calls=False)


def address(cls: type[Any]) -> Operation:
    """`IPv4.Address("10.0.0.1")`: a constant."""
    def check(site: Any) -> Meaning:
        site.bind("text")
        text = site.constant("text")
        try:
            return Constant(cls.coerce(text))
        except UsageError as error:
            return refused(site, error.what, error.cure or f'Write {cls.__qualname__}("...") with a constant text.')

    return Operation(check, lambda b, site: Value(site.node.meaning), calls=False)


# methods of values


def _check_bit_length(site: Any) -> Meaning:
    site.bind()
    return Integer(0, 64)


def _lower_bit_length(b: Any, site: Any) -> Value:
    value, meaning = b.numeric(site.receiver_value())
    if meaning.low < 0:
        negative = b.op("slt", "i1", value, b.number(0))
        value = b.op("select", "i64", negative, b.op("sub", "i64", b.number(0), value), value)
    return Value(site.node.meaning, _bits_below(b, value))


def _bits_below(b: Any, value: int) -> int:
    """64 less the leading zeros, by halves: BPF has no instruction for it, and LLVM's way takes twice as many."""
    rest, length = b.slot(8, 8, "rest"), b.slot(8, 8, "length")
    b.store(rest, value)
    b.store(length, b.number(0))
    for step in (32, 16, 8, 4, 2, 1):
        upper = b.op("lshr", "i64", b.load("i64", rest), b.number(step)) if step == 32 else -1
        large = b.op("ne", "i1", upper, b.number(0)) if step == 32 else \
            b.op("ult", "i1", b.number((1 << step) - 1), b.load("i64", rest))
        with b.when(large):
            # Opaque: one branch around two instructions, where LLVM would make two selects of two branches each.
            b.store(rest, b.op("opaque", "i64", upper) if step == 32 else
                    b.op("lshr", "i64", b.op("opaque", "i64", b.load("i64", rest)), b.number(step)))
            b.store(length, b.op("add", "i64", b.load("i64", length), b.number(step)))
    total: int = b.op("add", "i64", b.load("i64", length), b.load("i64", rest))
    return total


def _lower_bit_count(b: Any, site: Any) -> Value:
    value, meaning = b.numeric(site.receiver_value())
    if meaning.low < 0:
        negative = b.op("slt", "i1", value, b.number(0))
        value = b.op("select", "i64", negative, b.op("sub", "i64", b.number(0), value), value)
    return Value(site.node.meaning, b.op("ctpop", "i64", value))


_INTEGER = {"bit_length": Operation(_check_bit_length, _lower_bit_length, pure=True, calls=False),
            "bit_count": Operation(_check_bit_length, _lower_bit_count, pure=True, calls=False)}


def _check_startswith(site: Any) -> Meaning:
    site.bind("prefix")
    prefix = site.constant("prefix")
    if not isinstance(prefix, str):
        site.refuse("the prefix must be a constant text", 'Write text.startswith("ab").')
    return BOOLEAN


def _lower_startswith(b: Any, site: Any) -> Value:
    prefix = site.constant("prefix").encode()
    value = site.receiver_value()
    if len(prefix) > value.meaning.ctype.size:
        return Value(BOOLEAN, b.number(0, "i1"))
    return Value(BOOLEAN, b.same_bytes(value.only, prefix))


_TEXT = {"startswith": Operation(_check_startswith, _lower_startswith, calls=False)}


_OLD_CPUS = ("v1", "v2")


def _since_5_12(site: Any, what: str) -> None:
    if site.target().cpu in _OLD_CPUS:
        site.refuse(f"{what} is an atomic instruction since Linux 5.12, and this is compiled for older kernels",
                    "Hold a lock: `with entry.lock:`, or compile for newer kernels: --target here.")


def _fetch(kind: str) -> Operation:
    def check(site: Any) -> Meaning:
        site.bind("n")
        site.integer("n")
        if kind != "add" or not site.discarded:
            _since_5_12(site, "exchange()" if kind == "xchg" else f"fetch_{kind}()")
        return meaning_of(site.receiver.ctype.element, "stack")

    def lower(b: Any, site: Any) -> Value:
        element = site.receiver.ctype.element
        width = f"i{element.bits}"
        value = b.truncate(b.numeric(site.value("n"))[0], width)
        old = b.op("atomic", width, f"fetch_{kind}", site.receiver_value().only, value)
        return Value(site.node.meaning, b.extend(old, width, element.signed))

    return Operation(check, lower, calls=False)


def _check_compare_exchange(site: Any) -> Meaning:
    site.bind("expected", "new")
    site.integer("expected")
    site.integer("new")
    _since_5_12(site, "compare_exchange()")
    return meaning_of(site.receiver.ctype.element, "stack")


def _lower_compare_exchange(b: Any, site: Any) -> Value:
    element = site.receiver.ctype.element
    width = f"i{element.bits}"
    expected = b.truncate(b.numeric(site.value("expected"))[0], width)
    new = b.truncate(b.numeric(site.value("new"))[0], width)
    old = b.op("cmpxchg", width, site.receiver_value().only, expected, new)
    return Value(site.node.meaning, b.extend(old, width, element.signed))


def _check_value(site: Any) -> Meaning:
    return meaning_of(site.receiver.ctype.element, "stack")


def _lower_value(b: Any, site: Any) -> Value:
    found: Value = b.read(site.receiver.ctype.element, site.receiver_value().only)
    return found


_ATOMIC: dict[str, Operation] = {
    "fetch_add": _fetch("add"), "fetch_or": _fetch("or"), "fetch_and": _fetch("and"), "fetch_xor": _fetch("xor"),
    "exchange": _fetch("xchg"),
    "compare_exchange": Operation(_check_compare_exchange, _lower_compare_exchange, calls=False),
    "value": Property(_check_value, _lower_value),
}


def _check_read_text(site: Any) -> Meaning:
    site.bind("size")
    size = site.constant("size")
    if not isinstance(size, int) or not 1 <= size <= 65536:
        site.refuse("the size is a constant between 1 and 65536 bytes",
                    "Write buffer.read(256).")
    return Optional(Reference(CharArray(size), "stack"))


def _lower_read_text(b: Any, site: Any) -> Value:
    size = site.constant("size")
    ctype = CharArray(size)
    pointer = b.scratch(ctype)
    address = site.receiver_value().only
    got = b.helper(_READ_USER_STR, pointer, b.number(size), address)
    present = b.op("slt", "i1", b.number(-1), got)
    return Value(site.node.meaning, present, pointer)


def _check_read_value(site: Any) -> Meaning:
    site.bind()
    return Optional(meaning_of(site.receiver.ctype, "stack"))


def _lower_read_value(b: Any, site: Any) -> Value:
    ctype = site.receiver.ctype
    pointer = b.scratch(ctype)
    got = b.helper(_READ_USER, pointer, b.number(ctype.size), site.receiver_value().only)
    present = b.op("eq", "i1", got, b.number(0))
    inner = site.node.meaning.inner
    if isinstance(inner, Reference) and not isinstance(inner.ctype, CharArray):
        return Value(site.node.meaning, b.op("select", "ptr", present, pointer, b.null()))
    return Value(site.node.meaning, present, *b.read(ctype, pointer).parts)


def _check_user_index(site: Any) -> Meaning:
    site.bind("index")
    site.integer("index")
    return UserAddress(site.receiver.ctype)


def _lower_user_index(b: Any, site: Any) -> Value:
    index, _ = b.numeric(site.value("index"))
    step = b.op("mul", "i64", index, b.number(site.receiver.ctype.size))
    return Value(site.node.meaning, b.op("add", "i64", site.receiver_value().only, step))


_READ_USER, _READ_USER_STR = 112, 114  # bpf_probe_read_user, bpf_probe_read_user_str: since Linux 5.5
_USER_TEXT = {"read": Operation(_check_read_text, _lower_read_text)}
_USER_VALUE = {"read": Operation(_check_read_value, _lower_read_value),
               "__getitem__": Operation(_check_user_index, _lower_user_index, calls=False)}


def _half(offset: int) -> Property:
    """Eight of an address's sixteen bytes as a number, in host order."""
    def lower(b: Any, site: Any) -> Value:
        return Value(site.node.meaning, _big(b, site.receiver_value().only, offset, 8))

    return Property(lambda site: Integer(0, (1 << 64) - 1), lower)


_LONG_ADDRESS = {"high": _half(0), "low": _half(8)}


def method(meaning: Meaning, name: str) -> Operation | None:
    """A method or property of a value."""
    match meaning:
        case Integer() | Boolean():
            return _INTEGER.get(name)
        case Reference(ctype=CharArray()):
            return _TEXT.get(name)
        case Reference(ctype=AtomicType()):
            return _ATOMIC.get(name)
        case Reference(ctype=AddressType() as ctype) if ctype.size == 16:
            return _LONG_ADDRESS.get(name)
        case UserAddress(ctype=None):
            return _USER_TEXT.get(name)
        case UserAddress():
            return _USER_VALUE.get(name)
    return None


# loops over ranges


def iteration(checker: Any, node: Any, kind: Callable[..., Any]) -> dict[str, Any]:
    """The plan of `for ... in range(...)`, `reversed(range(...))` or `enumerate(array)`."""
    call = node.iterable
    if kind is enumerate:
        return _enumerate(checker, call)
    backwards = kind is reversed
    if backwards:
        call = call.args[0] if len(call.args) == 1 else call
        if not (isinstance(call, t.Call) and isinstance(call.function, t.Name) and call.function.name == "range"):
            checker.refuse(node.iterable, "reversed() takes a range here")
    if call.keywords or not 1 <= len(call.args) <= 3:
        checker.refuse(call, "range() takes one to three numbers", "Write range(n) or range(start, stop).")
    numbers = [checker.number(arg, checker.infer(arg)) for arg in call.args]
    start, stop, step = {1: (Integer(0, 0), numbers[0], Integer(1, 1)),
                         2: (*numbers, Integer(1, 1)), 3: tuple(numbers)}[len(numbers)]
    if step.constant is None or step.constant == 0:
        checker.refuse(call.args[2], "the step must be a constant other than 0",
                       "Write range(0, n, 2).")
    nodes = {1: (None, call.args[0]), 2: tuple(call.args[:2]), 3: tuple(call.args[:2])}[len(numbers)]
    by = step.constant
    span = (stop.high - start.low, stop.low - start.high) if by > 0 else (start.high - stop.low, start.low - stop.high)
    most = max(0, -(-span[0] // abs(by)))
    low, high = (start.low, max(stop.high - 1, start.low)) if by > 0 else (min(stop.low + 1, start.high), start.high)
    exact = start.constant is not None and stop.constant is not None
    return {"kind": "range", "item": fit(low, high, start, stop), "start": nodes[0], "stop": nodes[1], "step": by,
            "most": most, "exact": exact, "backwards": backwards, "signed": min(start.low, stop.low) < 0}


def _enumerate(checker: Any, call: Any) -> dict[str, Any]:
    if len(call.args) != 1:
        checker.refuse(call, "enumerate() takes one array here")
    meaning = checker.infer(call.args[0])
    if not isinstance(meaning, Reference) or not isinstance(meaning.ctype, ArrayType):
        checker.refuse(call.args[0], "enumerate() walks an array field here")
    item = TupleOf((Integer(0, meaning.ctype.length - 1), meaning_of(meaning.ctype.element, meaning.space)))
    return {"kind": "enumerate", "item": item, "type": meaning.ctype, "node": call.args[0]}

