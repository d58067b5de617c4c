"""Arithmetic and comparisons: of numbers, pointers, texts, arrays and tuples."""
from __future__ import annotations

from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.typed import (INT64, UINT64, Operand, Typed, constant, in_order, is_number,
                                                    literal_type, refuse, wrapped)
from bpfwright.facets.trace.text import Span
from bpfwright.facets.trace.types import (Array, Boolean, Buffer, Integer, Pointer, Text, Token, Tuple, Type, offsets)

__all__ = ["binary", "compared", "divided", "negated", "operation"]

_PLAIN = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}


def is_signed(type: Type) -> bool:
    return bool(getattr(type, "signed", False))


def result_type(left: Typed, right: Typed) -> Integer:
    """Of arithmetic: 64 bits, signed when one side is; a literal that is not negative goes with the other side."""
    signs = [is_signed(typed.type) for typed in (left, right)
             if not (isinstance(typed.constant, int) and typed.constant >= 0)]
    return INT64 if any(signs) or not signs else UINT64


def negated(checker: Checker, operand: Typed, node: tree.Unary) -> Typed:
    """`-` and `~` of a number."""
    if isinstance(operand.constant, int):
        value = -operand.constant if node.operator == "-" else ~operand.constant
        kind = literal_type(value) if node.operator == "-" else operand.type
        return constant(wrapped(value, INT64) if value < 0 else value, INT64 if node.operator == "~" else kind,
                        node.span)
    if node.operator == "-":
        return Typed(INT64, node.span,
                     lambda code: Operand(value=code.op("sub", "i64", code.number(0), code.number_of(operand))))
    kind = Integer(operand.type.size, is_signed(operand.type))
    return Typed(kind, node.span, lambda code: Operand(value=code.narrowed(
        code.op("xor", "i64", code.number_of(operand), code.number(-1)), kind)))


def binary(checker: Checker, node: tree.Binary, left: Typed, right: Typed) -> Typed:
    """An operator between two values."""
    return operation(checker, node.operator, left, right, node.span)


def operation(checker: Checker, operator: str, left: Typed, right: Typed, span: object) -> Typed:
    """The same, by its parts: compound assignments come here too."""
    assert isinstance(span, Span)
    left, right = checker.as_number(left), checker.as_number(right)
    if isinstance(left.constant, bytes) and isinstance(right.type, Integer) and operator == "+":
        return _text_from(left, right, span)
    if isinstance(left.type, Pointer) or isinstance(right.type, Pointer):
        return _pointers(operator, left, right, span)
    for typed in (left, right):
        if not is_number(typed.type):
            raise refuse(typed.span, f"`{operator}` takes numbers, not `{typed.type}`", checker.cure_for(typed.type))
    if operator in ("/", "%") and right.constant == 0:
        raise refuse(right.span, "division by zero", "Divide by something else.")
    kind = _shift_type(left) if operator in ("<<", ">>") else result_type(left, right)
    _mixed_signs(checker, operator, left, right)
    if isinstance(left.constant, int) and isinstance(right.constant, int):
        value = folded(operator, left.constant, right.constant)
        if value is not None:
            return constant(value, literal_type(wrapped(value, UINT64)) if 0 <= value < 1 << 64 else INT64, span)
    return Typed(kind, span, lambda code: Operand(value=computed(code, operator, code.number_of(left),
                                                                 code.number_of(right), kind, right.constant, span)))


def _shift_type(left: Typed) -> Integer:
    if isinstance(left.constant, int):
        return INT64 if left.constant < 0 else UINT64
    return INT64 if is_signed(left.type) else UINT64


def _mixed_signs(checker: Checker, operator: str, left: Typed, right: Typed) -> None:
    if operator not in ("/", "%", "<", ">", "<=", ">="):
        return
    sides = [typed for typed in (left, right) if not (isinstance(typed.constant, int) and typed.constant >= 0)]
    wide = [typed for typed in sides if typed.type == UINT64]
    if wide and any(is_signed(typed.type) for typed in sides):
        checker.known.warn(wide[0].span, f"`{operator}` of a signed and an unsigned number of 64 bits",
                           "Cast one of them: `(int64)...`.")


def folded(operator: str, left: int, right: int) -> int | None:
    """What two known numbers give, as 64 bits hold it."""
    match operator:
        case "/" | "%":
            if not right:
                return None
            quotient = abs(left) // abs(right)
            quotient = quotient if (left < 0) == (right < 0) else -quotient
            value = quotient if operator == "/" else left - quotient * right
        case "<<":
            value = left << (right & 63)
        case ">>":
            value = left >> (right & 63)
        case "+":
            value = left + right
        case "-":
            value = left - right
        case "*":
            value = left * right
        case "&":
            value = left & right
        case "|":
            value = left | right
        case _:
            value = left ^ right
    if value < 0 or value >= 1 << 64:
        return wrapped(value, INT64)
    return value


def computed(code: Code, operator: str, left: int, right: int, kind: Integer, known: int | bytes | None,
             span: Span) -> int:
    """The code of an operator; `known` is the right side where that is a constant."""
    if operator in _PLAIN:
        return code.op(_PLAIN[operator], "i64", left, right)
    if operator in ("<<", ">>"):
        count = code.op("and", "i64", right, code.number(63))
        return code.op("shl" if operator == "<<" else "ashr" if kind.signed else "lshr", "i64", left, count)
    checked = not (isinstance(known, int) and known)
    zero = code.op("eq", "i1", right, code.number(0)) if checked else -1
    if checked:
        code.report_division(zero, span)
    found = divided(code, left, right, modulo=operator == "%", signed=kind.signed, checked=checked)
    return code.op("select", "i64", zero, code.number(1), found) if checked else found


def divided(code: Code, left: int, right: int, *, modulo: bool, signed: bool, checked: bool = True) -> int:
    """Division that truncates, as C's does. By zero it gives 0, and the left side as the rest, as BPF's does."""
    zero = code.number(0)
    dividend, divisor = left, right
    if signed:
        left_negative, right_negative = (code.op("slt", "i1", side, zero) for side in (left, right))
        dividend = code.op("select", "i64", left_negative, code.op("sub", "i64", zero, left), left)
        divisor = code.op("select", "i64", right_negative, code.op("sub", "i64", zero, right), right)
    none = code.op("eq", "i1", divisor, zero) if checked else -1
    safe = code.op("select", "i64", none, code.number(1), divisor) if checked else divisor
    found = code.op("urem" if modulo else "udiv", "i64", dividend, safe)
    if checked:
        found = code.op("select", "i64", none, dividend if modulo else zero, found)
    if signed:
        turned = left_negative if modulo else code.op("xor", "i1", left_negative, right_negative)
        found = code.op("select", "i64", turned, code.op("sub", "i64", zero, found), found)
    return found


def _text_from(left: Typed, right: Typed, span: object) -> Typed:
    from bpfwright.facets.trace.compiling.typed import literal
    assert isinstance(span, Span) and isinstance(left.constant, bytes)
    if not isinstance(right.constant, int) or not 0 <= right.constant <= len(left.constant):
        raise refuse(right.span, "a text's begin can be moved by a number that is known, within the text",
                     f"It has {len(left.constant)} bytes.")
    return literal(left.constant[right.constant:], span)


def _pointers(operator: str, left: Typed, right: Typed, span: object) -> Typed:
    assert isinstance(span, Span)
    if operator not in ("+", "-"):
        if isinstance(left.type, Pointer):
            left = Typed(UINT64, left.span, left.emit)
        if isinstance(right.type, Pointer):
            right = Typed(UINT64, right.span, right.emit)
        return Typed(UINT64, span, lambda code: Operand(value=computed(
            code, operator, code.number_of(left), code.number_of(right), UINT64, right.constant, span)))
    if isinstance(left.type, Pointer) and isinstance(right.type, Pointer):
        if operator == "+":
            raise refuse(span, "two pointers cannot be added", "Add a number.")
        return Typed(INT64, span, lambda code: Operand(value=code.op("sub", "i64", code.number_of(left),
                                                                     code.number_of(right))))
    if isinstance(right.type, Pointer):
        if operator == "-":
            raise refuse(span, "a pointer cannot be taken from a number", "The pointer stands on the left.")
        left, right = right, left
    if not is_number(right.type):
        raise refuse(right.span, f"`{operator}` of a pointer takes a number, not `{right.type}`")
    pointer = left.type
    assert isinstance(pointer, Pointer)
    step = max(1, pointer.to.size)

    def emit(code: Code) -> Operand:
        far = code.op("mul", "i64", code.number_of(right), code.number(step))
        return Operand(value=code.op("add" if operator == "+" else "sub", "i64", code.number_of(left), far))
    return Typed(pointer, span, emit)


def compared(checker: Checker, node: tree.Binary, left: Typed, right: Typed) -> Typed:
    """A comparison."""
    left, right = checker.as_number(left), checker.as_number(right)
    operator = node.operator
    if _is_text(left) or _is_text(right):
        return _compared_texts(checker, node, left, right)
    kinds = (left.type, right.type)
    if isinstance(left.type, Tuple) and isinstance(right.type, Tuple):
        return _compared_tuples(checker, node, left, right)
    if any(isinstance(kind, (Array, Buffer)) for kind in kinds):
        return _compared_bytes(node, left, right)
    for typed, other in ((left, right), (right, left)):
        if not is_number(typed.type) and not isinstance(typed.type, Pointer):
            raise refuse(node.span, f"`{typed.type}` cannot be compared with `{other.type}`",
                         checker.cure_for(typed.type))
    if isinstance(left.constant, int) and isinstance(right.constant, int):
        known = {"==": left.constant == right.constant, "!=": left.constant != right.constant,
                 "<": left.constant < right.constant, ">": left.constant > right.constant,
                 "<=": left.constant <= right.constant, ">=": left.constant >= right.constant}[operator]
        return constant(int(known), Boolean(), node.span)
    _mixed_signs(checker, operator, left, right)
    signed = _compares_signed(left, right)
    return Typed(Boolean(), node.span, lambda code: Operand(value=code.flag(
        comparison(code, operator, code.number_of(left), code.number_of(right), signed))))


def _compares_signed(left: Typed, right: Typed) -> bool:
    """As C compares: unsigned when a side is an unsigned number of 64 bits that may be that large."""
    for typed in (left, right):
        large = typed.type.size == 8 and not is_signed(typed.type) and not isinstance(typed.type, Boolean)
        if large and not (isinstance(typed.constant, int) and typed.constant < 1 << 63):
            return False
    return True


def comparison(code: Code, operator: str, left: int, right: int, signed: bool) -> int:
    """An i1."""
    if operator in ("==", "!="):
        return code.op("eq" if operator == "==" else "ne", "i1", left, right)
    if operator in (">", ">="):
        left, right = right, left
    kind = "lt" if operator in ("<", ">") else "le"
    return code.op(("s" if signed else "u") + kind, "i1", left, right)


def _is_text(typed: Typed) -> bool:
    return isinstance(typed.type, Text)


def _compared_texts(checker: Checker, node: tree.Binary, left: Typed, right: Typed) -> Typed:
    if node.operator not in ("==", "!="):
        raise refuse(node.span, f"texts are not ordered: `{node.operator}`", "They are equal or not: `==`, `!=`.")
    left, right = (_as_text(typed, other, node) for typed, other in ((left, right), (right, left)))
    if isinstance(left.constant, bytes) and isinstance(right.constant, bytes):
        same = _cut(left.constant) == _cut(right.constant)
        return constant(int(same == (node.operator == "==")), Boolean(), node.span)
    if isinstance(left.constant, bytes):
        left, right = right, left
    equal = node.operator == "=="
    known = right.constant

    def emit(code: Code) -> Operand:
        one = code.memory_of(left)
        if isinstance(known, bytes):
            same = code.equals_text(one, left.type.size, _cut(known))
        else:
            same = code.op("eq", "i1", compared_places(code, one, left.type, code.memory_of(right), right.type),
                           code.number(0))
        return Operand(value=code.flag(same if equal else code.invert(same)))
    return Typed(Boolean(), node.span, emit)


def compared_places(code: Code, one: int, type: Type, other: int, other_type: Type, count: int = 1 << 30) -> int:
    """The difference of two texts in memory, or of their first `count` bytes; an array of C needs no NUL to end."""
    shorter, longer = sorted(((type.size, one), (other_type.size, other)))
    if count <= shorter[0] or shorter[0] == longer[0]:
        return code.compare_texts(one, other, min(count, shorter[0]))
    return code.compare_texts(one, other, shorter[0], longer[1])


def _cut(content: bytes) -> bytes:
    return content.partition(b"\0")[0]


def _as_text(typed: Typed, other: Typed, node: tree.Binary) -> Typed:
    kind = typed.type
    if isinstance(kind, Text):
        return typed
    if isinstance(kind, Array) and isinstance(kind.of, Integer) and kind.of.bytes == 1:
        return Typed(Text(kind.count), typed.span, lambda code: Operand(memory=code.memory_of(typed)))
    if isinstance(kind, Token):
        raise refuse(node.span, f"`{kind}` becomes a text when it is printed: programs cannot compare it",
                     "Compare the number that it is made of.")
    raise refuse(node.span, f"`{other.type}` cannot be compared with `{kind}`",
                 "Write `str(...)` for what a pointer points to." if isinstance(kind, (Pointer, Integer)) else "")


def _compared_tuples(checker: Checker, node: tree.Binary, left: Typed, right: Typed) -> Typed:
    one, other = left.type, right.type
    assert isinstance(one, Tuple) and isinstance(other, Tuple)
    if node.operator not in ("==", "!="):
        raise refuse(node.span, f"tuples are not ordered: `{node.operator}`", "They are equal or not: `==`, `!=`.")
    if len(one.items) != len(other.items):
        raise refuse(node.span, f"a tuple of {len(one.items)} and one of {len(other.items)} are never equal")
    if sorted(one.names) != sorted(other.names):
        raise refuse(node.span, f"`{one}` and `{other}` have other fields")
    parts = list(zip(one.items, offsets(one.items), in_order(one, other), strict=True))
    equal = tree.Binary(node.span, "==", node.left, node.right)
    places = offsets(other.items)
    for kind, _, index in parts:  # whether they can be compared is said now
        compared(checker, equal, _unread(kind, node), _unread(other.items[index], node))

    def emit(code: Code) -> Operand:
        first, second = code.memory_of(left), code.memory_of(right)
        same = code.number(1, "i1")
        for kind, at, index in parts:
            found = compared(checker, equal, _in_memory(kind, node, code.pointer(first, at)),
                             _in_memory(other.items[index], node, code.pointer(second, places[index])))
            same = code.op("and", "i1", same, code.truth(found))
        return Operand(value=code.flag(same if node.operator == "==" else code.invert(same)))
    return Typed(Boolean(), node.span, emit)


def _in_memory(kind: Type, node: tree.Binary, pointer: int) -> Typed:
    return Typed(kind, node.span, lambda code: Operand(memory=pointer))


def _unread(kind: Type, node: tree.Binary) -> Typed:
    """A value of a type, for its type alone."""
    return _in_memory(kind, node, -1)


def _compared_bytes(node: tree.Binary, left: Typed, right: Typed) -> Typed:
    for typed, other in ((left, right), (right, left)):
        if isinstance(typed.type, Integer) and isinstance(other.type, Array) and typed.constant is None:
            continue
        if not isinstance(typed.type, (Array, Buffer, Integer)):
            raise refuse(node.span, f"`{left.type}` cannot be compared with `{right.type}`")
    if node.operator not in ("==", "!="):
        raise refuse(node.span, f"arrays are not ordered: `{node.operator}`", "They are equal or not: `==`, `!=`.")
    if left.type.size != right.type.size and not isinstance(left.type, Buffer):
        raise refuse(node.span, f"`{left.type}` has {left.type.size} bytes, `{right.type}` has {right.type.size}",
                     "Arrays of one size can be compared.")
    size = min(left.type.size, right.type.size)  # of buffers: one that fills the smaller has another count before it

    def emit(code: Code) -> Operand:
        one, other = code.memory_of(left), code.memory_of(right)
        same = code.number(1, "i1")
        at = 0
        while at < size:
            width = next(w for w in (8, 4, 2, 1) if at + w <= size)
            kind = Integer(width, False)
            equal = code.op("eq", "i1", code.read_memory(kind, one, at), code.read_memory(kind, other, at))
            same = code.op("and", "i1", same, equal)
            at += width
        return Operand(value=code.flag(same if node.operator == "==" else code.invert(same)))
    return Typed(Boolean(), node.span, emit)
