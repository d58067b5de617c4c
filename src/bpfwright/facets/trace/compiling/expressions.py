"""Expressions: the type of each, and its code."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling import functions, maps
from bpfwright.facets.trace.compiling.arithmetic import binary, compared, negated
from bpfwright.facets.trace.compiling.casts import built, cast
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.typed import (INT64, UINT64, Operand, Refused, Typed, constant, is_number,
                                                    is_scalar, join, literal, literal_type, refuse, wrapped)
from bpfwright.facets.trace.renames import field_now
from bpfwright.facets.trace.text import Span, did_you_mean, nearest
from bpfwright.facets.trace.types import (Array, Boolean, Buffer, Integer, Nothing, Pointer,
                                          Struct, Text, Tuple, Type, offsets)

__all__ = ["EXPRESSIONS", "dereferenced", "member_of"]


def _integer(checker: Checker, node: tree.Integer) -> Typed:
    return constant(node.value, literal_type(wrapped(node.value, UINT64)) if node.value >= 0 else INT64, node.span)


def _boolean(checker: Checker, node: tree.Boolean) -> Typed:
    return constant(int(node.value), Boolean(), node.span)


def _string(checker: Checker, node: tree.String) -> Typed:
    return literal(node.value, node.span)


def _name(checker: Checker, node: tree.Name) -> Typed:
    found = functions.find(node.name)
    if found is not None:
        return found(checker, node, ())
    enumerator = checker.host.layouts.enumerator(node.name)
    if enumerator is not None:
        return constant(enumerator[0], enumerator[1], node.span)
    defined = checker.host.defined(node.name)
    if defined is not None:
        return checker.expression(defined)
    raise refuse(node.span, f"there is nothing called `{node.name}`",
                 did_you_mean(node.name, functions.names(), "Variables begin with `$`, maps with `@`, texts stand in "
                              f'quotes: `"{node.name}"`.'))


def _variable(checker: Checker, node: tree.Variable) -> Typed:
    found = checker.scopes.find(node.name)
    if found is None:
        raise checker.unknown_variable(node)

    def emit(code: Code) -> Operand:
        place = code.variable(found)
        if is_scalar(found.type):
            return Operand(value=code.load("i64", place))
        return Operand(memory=place)
    return Typed(found.type, node.span, emit)


def _positional(checker: Checker, node: tree.Positional) -> Typed:
    words = checker.host.words
    if node.number > len(words):
        return constant(0, Integer(8, True), node.span)
    number = number_of_word(words[node.number - 1])
    return literal(words[node.number - 1].encode(), node.span) if number is None else constant(number, INT64, node.span)


def number_of_word(word: str) -> int | None:
    """A parameter as a number, where it is one."""
    sign, digits = (-1, word[1:]) if word.startswith("-") else (1, word)
    if not digits or not digits[0].isdigit() or not digits.isascii():
        return None
    try:
        return sign * (int(digits, 8) if digits[0] == "0" and digits.isdigit() and len(digits) > 1 else int(digits, 0))
    except ValueError:
        return None


def _positional_count(checker: Checker, node: tree.PositionalCount) -> Typed:
    return constant(len(checker.host.words), INT64, node.span)


def _unary(checker: Checker, node: tree.Unary) -> Typed:
    if node.operator == "*":
        return dereferenced(checker, checker.value(node.operand), node.span)
    if node.operator == "&":
        return _address(checker, node)
    if node.operator == "!":
        operand = checker.scalar(node.operand, "what `!` takes")
        if isinstance(operand.constant, int):
            return constant(int(not operand.constant), Boolean(), node.span)
        return Typed(Boolean(), node.span, lambda code: Operand(value=code.flag(code.invert(code.truth(operand)))))
    return negated(checker, checker.number(node.operand, f"what `{node.operator}` takes"), node)


def dereferenced(checker: Checker, pointer: Typed, span: Span) -> Typed:
    """What a pointer points to; a plain number is taken as one to a number of 64 bits."""
    type = pointer.type
    if is_number(type):
        type = Pointer(INT64, checker.space())
    if not isinstance(type, Pointer):
        raise refuse(span, f"`{type}` is no pointer", "`*` takes a pointer: cast it, as in `*(struct name *)...`.")
    if isinstance(type.to, Nothing) or (isinstance(type.to, Struct) and not type.to.bytes):
        raise refuse(span, f"`{type}` points to nothing that is known", "Cast it: `*(uint64 *)...`.")
    space = type.space or checker.space()

    def emit(code: Code) -> Operand:
        return Operand(address=code.number_of(pointer), space=space)
    return Typed(type.to, span, emit)


def _address(checker: Checker, node: tree.Unary) -> Typed:
    target = node.operand
    if isinstance(target, tree.MapName) or (isinstance(target, tree.Index) and isinstance(target.object, tree.MapName)):
        return maps.address(checker, target)
    typed = checker.expression(target)

    def emit(code: Code) -> Operand:
        operand = typed.emit(code)
        if operand.address >= 0:
            return Operand(value=operand.address)
        if operand.memory >= 0:
            return Operand(value=code.op("toint", "i64", operand.memory))
        place = code.room(typed.type.size)
        code.write_memory(typed.type, place, 0, operand.value)
        return Operand(value=code.op("toint", "i64", place))
    return Typed(Pointer(typed.type, "kernel"), node.span, emit)


def _update(checker: Checker, node: tree.Update) -> Typed:
    target = node.target
    if isinstance(target, tree.MapName) or (isinstance(target, tree.Index) and isinstance(target.object, tree.MapName)):
        return maps.updated(checker, node, target)
    if not isinstance(target, tree.Variable):
        raise refuse(node.span, f"`{node.operator}` takes a variable or a map's entry",
                     f"Write `... {node.operator[0]} 1`.")
    found = checker.scopes.find(target.name)
    if found is None:
        raise checker.unknown_variable(target)
    kind = found.type
    step = 1
    if isinstance(kind, Pointer):
        step = max(1, kind.to.size)
    elif is_number(kind):
        if found.key is not None and kind.size < 8:
            checker.widen(found, Typed(Integer(8, getattr(kind, "signed", False)), node.span, lambda code: Operand()))
            kind = found.type
    else:
        raise refuse(node.span, f"`{node.operator}` takes a number, not `{kind}`", checker.cure_for(kind))
    change = step if node.operator == "++" else -step

    def emit(code: Code) -> Operand:
        place = code.variable(found)
        old = code.load("i64", place)
        new = code.narrowed(code.op("add", "i64", old, code.number(change)), found.type)
        code.store(place, new)
        return Operand(value=new if node.prefix else old)
    return Typed(kind, node.span, emit)


def _logic(checker: Checker, node: tree.Binary) -> Typed:
    left = checker.scalar(node.left, f"what `{node.operator}` takes")
    right = checker.scalar(node.right, f"what `{node.operator}` takes")
    both = node.operator == "&&"
    if isinstance(left.constant, int) and isinstance(right.constant, int):
        known = bool(left.constant and right.constant) if both else bool(left.constant or right.constant)
        return constant(int(known), Boolean(), node.span)

    def emit(code: Code) -> Operand:
        first = code.truth(left)
        short = code.number(0 if both else 1, "i1")
        if both:
            found = code.choose("i1", first, lambda: code.truth(right), lambda: short)
        else:
            found = code.choose("i1", first, lambda: short, lambda: code.truth(right))
        return Operand(value=code.flag(found))
    return Typed(Boolean(), node.span, emit)


_COMPARISONS = frozenset(("==", "!=", "<", ">", "<=", ">="))


def _binary(checker: Checker, node: tree.Binary) -> Typed:
    if node.operator in ("&&", "||"):
        return _logic(checker, node)
    left, right = checker.value(node.left), checker.value(node.right)
    if node.operator in _COMPARISONS:
        return compared(checker, node, left, right)
    return binary(checker, node, left, right)


def _ternary(checker: Checker, node: tree.Ternary) -> Typed:
    condition = checker.scalar(node.condition, "a condition")
    then = condition if node.then is None else checker.expression(node.then)
    other = checker.expression(node.other)
    if isinstance(condition.constant, int):
        return then if condition.constant else other
    return chosen(checker, condition, then, other, node.span)


def chosen(checker: Checker, condition: Typed, then: Typed, other: Typed, span: Span) -> Typed:
    """One of two values."""
    then, other = (checker.as_number(typed) for typed in (then, other))
    both = join(then.type, other.type)
    if both is None:
        raise refuse(span, f"one choice is `{then.type}`, the other `{other.type}`", "Both choices are of one type.")
    kind = both
    if isinstance(kind, Nothing):
        def run(code: Code) -> Operand:
            yes, no, after = code.block(), code.block(), code.block()
            code.branch(code.truth(condition), yes, no)
            for block, typed in ((yes, then), (no, other)):
                code.at = block
                typed.emit(code)
                code.goto(after)
            code.at = after
            return Operand()
        return Typed(kind, span, run)
    if is_scalar(kind):
        return Typed(kind, span, lambda code: Operand(value=code.choose(
            "i64", code.truth(condition), lambda: code.number_of(then), lambda: code.number_of(other))))

    def into(code: Code, pointer: int, offset: int) -> None:
        yes, no, after = code.block(), code.block(), code.block()
        code.branch(code.truth(condition), yes, no)
        for block, typed in ((yes, then), (no, other)):
            code.at = block
            code.put(typed, kind, pointer, offset)
            code.goto(after)
        code.at = after
    return built(kind, span, into)


def _index(checker: Checker, node: tree.Index) -> Typed:
    if isinstance(node.object, tree.MapName):
        return maps.read(checker, node)
    typed = checker.value(node.object)
    if len(node.keys) != 1:
        raise refuse(node.span, "one index at a time", "Write `value[0][1]`.")
    if isinstance(typed.type, Tuple):
        return _item_of(typed, checker.known_number(node.keys[0], "a tuple's index"), node.span)
    index = checker.number(node.keys[0], "an index")
    match typed.type:
        case Pointer():
            return _pointed_element(checker, typed, index, node.span)
        case Array():
            return _element(typed, typed.type.of, typed.type.count, index, node.span)
        case Text():
            return _element(typed, Integer(1, True), typed.type.length, index, node.span)
    raise refuse(node.span, f"`{typed.type}` has no elements", checker.cure_for(typed.type))


def _pointed_element(checker: Checker, typed: Typed, index: Typed, span: Span) -> Typed:
    pointer = typed.type
    assert isinstance(pointer, Pointer)
    size = pointer.to.size
    if not size:
        raise refuse(span, f"`{pointer}` points to nothing that is known", "Cast it: `((uint8 *)...)[0]`.")
    space = pointer.space or checker.space()

    def emit(code: Code) -> Operand:
        far = code.op("mul", "i64", code.number_of(index), code.number(size))
        return Operand(address=code.op("add", "i64", code.number_of(typed), far), space=space)
    return Typed(pointer.to, span, emit)


def _element(typed: Typed, of: Type, count: int, index: Typed, span: Span) -> Typed:
    if count and isinstance(index.constant, int) and not 0 <= index.constant < count:
        raise refuse(span, f"element {index.constant} of {count}", f"They are numbered from 0 to {count - 1}.")
    size = of.size

    def emit(code: Code) -> Operand:
        operand = typed.emit(code)
        if isinstance(index.constant, int):
            return part(code, operand, index.constant * size)
        number = code.number_of(index)
        if operand.memory >= 0:
            within = code.op("ult", "i1", code.op("held", "i64", number), code.number(max(count, 1)))
            held = code.op("select", "i64", within, number, code.number(0))
            place = code.op("index", "ptr", code.held(operand.memory), held, size)
            code.alignments[place] = min(8, size & -size)
            return Operand(memory=place)
        far = code.op("mul", "i64", number, code.number(size))
        return Operand(address=code.op("add", "i64", operand.address, far), space=operand.space)
    return Typed(of, span, emit)


def part(code: Code, operand: Operand, offset: int) -> Operand:
    """What stands so many bytes into a value."""
    if operand.memory >= 0:
        return Operand(memory=code.pointer(operand.memory, offset))
    if not offset:
        return Operand(address=operand.address, space=operand.space)
    return Operand(address=code.op("add", "i64", operand.address, code.number(offset)), space=operand.space)


def _member(checker: Checker, node: tree.Member) -> Typed:
    if isinstance(node.object, tree.Name) and node.object.name == "args" and checker.host.macro_free(node.object.name):
        return functions.argument(checker, node.name, node.span)
    typed = checker.value(node.object)
    return member_of(checker, typed, node.name, node.span)


def member_of(checker: Checker, typed: Typed, name: str, span: Span) -> Typed:
    """A field of a struct, of what a pointer points to, or of a record."""
    type = typed.type
    if isinstance(type, Tuple):
        if name not in type.names:
            shown = ", ".join(type.names)
            numbers = f"Items of a tuple have numbers: `.0` to `.{len(type.items) - 1}`."
            raise refuse(span, f"there is no field `{name}` in this record", f"It has {shown}." if shown else numbers)
        return _item_of(typed, type.names.index(name), span)
    if isinstance(type, Pointer) and isinstance(type.to, Struct):
        typed = dereferenced(checker, typed, span) if type.to.bytes else _opaque(checker, typed, span)
        type = typed.type
    if not isinstance(type, Struct):
        cure = "Cast it: `((struct name *)...).field`." if is_scalar(type) else checker.cure_for(type)
        raise refuse(span, f"`{type}` has no fields", cure)
    members = checker.host.layouts.members(type)
    found = members.get(name)
    if found is None:
        raise refuse(span, f"`{type}` has no field `{name}`",
                     _meant_field(type, name, members) or f"`bpfwright trace -lv '{type}'` lists them.")
    if found.width:
        return _bits(typed, found, span)
    source = typed

    def emit(code: Code) -> Operand:
        return part(code, source.emit(code), found.offset)
    return Typed(found.type, span, emit)


def _opaque(checker: Checker, typed: Typed, span: Span) -> Typed:
    """A pointer to a struct that was only declared where the pointer was: look it up by its name."""
    pointer = typed.type
    assert isinstance(pointer, Pointer) and isinstance(pointer.to, Struct)
    whole = checker.host.layouts.named(pointer.to.keyword, pointer.to.name)
    if not isinstance(whole, Struct) or not whole.bytes:
        raise refuse(span, f"nothing is known of `{pointer.to}`", "It is declared, but defined nowhere.")
    return dereferenced(checker, Typed(Pointer(whole, pointer.space), typed.span, typed.emit), span)


def _bits(typed: Typed, found: Any, span: Span) -> Typed:
    storage = found.type
    signed = bool(getattr(storage, "signed", False))

    def emit(code: Code) -> Operand:
        raw = code.scalar(part(code, typed.emit(code), found.offset), Integer(storage.size, False), span)
        up = code.op("shl", "i64", raw, code.number(64 - found.bit - found.width))
        return Operand(value=code.op("ashr" if signed else "lshr", "i64", up, code.number(64 - found.width)))
    return Typed(storage, span, emit)


def _item(checker: Checker, node: tree.Item) -> Typed:
    return _item_of(checker.value(node.object), node.index, node.span)


def _item_of(typed: Typed, index: int, span: Span) -> Typed:
    type = typed.type
    if not isinstance(type, Tuple):
        raise refuse(span, f"`{type}` is no tuple", "Fields have names: `value.name`.")
    if not 0 <= index < len(type.items):
        raise refuse(span, f"item {index} of a tuple of {len(type.items)}", "Items are numbered from 0.")
    at = offsets(type.items)[index]

    def emit(code: Code) -> Operand:
        return part(code, typed.emit(code), at)
    return Typed(type.items[index], span, emit)


def _tuple(checker: Checker, node: tree.Tuple) -> Typed:
    return tuple_of(checker, [checker.as_number(checker.value(item)) for item in node.items], (), node.span)


def _record(checker: Checker, node: tree.Record) -> Typed:
    names = tuple(item.name for item in node.items)
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refuse(node.items[index].span, f"`{name}` stands twice in this record",
                         "Each field has a name of its own.")
    return tuple_of(checker, [checker.as_number(checker.value(item.value)) for item in node.items], names, node.span)


def tuple_of(checker: Checker, items: list[Typed], names: tuple[str, ...], span: Span) -> Typed:
    """A tuple or record of values."""
    kind = Tuple(tuple(item.type for item in items), names)
    places = offsets(kind.items)
    taken = sum(item.size for item in kind.items)

    def into(code: Code, pointer: int, offset: int) -> None:
        if taken < kind.size or any(isinstance(item, (Text, Buffer)) for item in kind.items):
            code.zero(code.pointer(pointer, offset), kind.size)
        for item, type, at in zip(items, kind.items, places, strict=True):
            code.put(item, type, pointer, offset + at)
    return built(kind, span, into)


def _meant(checker: Checker, of: tree.TypeName | tree.Expression) -> Type:
    """The type that is written, or that an expression has; a bare word may be a typedef's name, or a constant's."""
    if isinstance(of, tree.Name) and functions.find(of.name) is None:
        try:
            return checker.type(tree.NamedType(of.span, "", of.name))
        except Refused:
            if checker.host.layouts.enumerator(of.name) is None and checker.host.defined(of.name) is None:
                raise
    return checker.type(of) if isinstance(of, tree.TypeName) else checker.expression(of).type


def _size_of(checker: Checker, node: tree.SizeOf) -> Typed:
    return constant(_meant(checker, node.of).size, UINT64, node.span)


def _meant_field(type: Type, name: str, members: dict[str, Any]) -> str:
    now = field_now(str(type), name, members)
    if now:
        return f"On this kernel it is `{now}`."
    close = nearest(name, members)
    return f"Did you mean `{close}`?" if close else ""


def _offset_of(checker: Checker, node: tree.OffsetOf) -> Typed:
    type = _meant(checker, node.of)
    at = 0
    for name in node.path:
        if isinstance(type, Pointer):
            type = type.to
        if not isinstance(type, Struct):
            raise refuse(node.span, f"`{type}` has no fields", "`offsetof` takes a struct and a path of fields.")
        members = checker.host.layouts.members(type)
        if name not in members:
            raise refuse(node.span, f"`{type}` has no field `{name}`", _meant_field(type, name, members))
        at += members[name].offset
        type = members[name].type
    return constant(at, UINT64, node.span)


def _type_info(checker: Checker, node: tree.TypeInfo) -> Typed:
    type = _meant(checker, node.of)
    base = "int" if isinstance(type, (Integer, Boolean)) else str(type).split(" ")[0].split("[")[0]
    items = [constant(0, UINT64, node.span), literal(base.encode(), node.span), literal(str(type).encode(), node.span)]
    made = tuple_of(checker, items, ("btf_id", "base_ty", "full_ty"), node.span)
    return _Info(made, items)


class _Info(Typed):
    """A record whose items are known while compiling."""

    __slots__ = ("items",)

    def __init__(self, made: Typed, items: list[Typed]) -> None:
        super().__init__(made.type, made.span, made.emit, into=made.into)
        self.items = items


def _comptime(checker: Checker, node: tree.Comptime) -> Typed:
    typed = checker.value(node.operand)
    if typed.constant is None:
        raise refuse(node.span, "this is not known while compiling",
                     "`comptime` takes what needs no event to be known.")
    return typed


def _block(checker: Checker, node: tree.Block) -> Typed:
    if node.value is None:
        done = checker.block(node)
        return checker.nothing(node.span, done)
    checker.scopes.enter()
    try:
        first = checker.statements(node.statements)
        value = checker.expression(node.value)
    finally:
        checker.scopes.leave()

    def emit(code: Code) -> Operand:
        first(code)
        return value.emit(code)
    into = value.into
    if into is None:
        return Typed(value.type, node.span, emit, constant=value.constant if not node.statements else None)

    def put(code: Code, pointer: int, offset: int) -> None:
        first(code)
        into(code, pointer, offset)
    return Typed(value.type, node.span, emit, into=put, constant=value.constant if not node.statements else None)


def _if(checker: Checker, node: tree.If) -> Typed:
    from bpfwright.facets.trace.compiling.statements import conditional
    if node.other is None or node.other.value is None:
        return checker.nothing(node.span, conditional(checker, node))
    branch, *rest = node.branches
    condition = checker.scalar(branch.condition, "a condition")
    then = _block(checker, branch.body)
    other = _block(checker, node.other) if not rest else _if(checker, tree.If(node.span, tuple(rest), node.other))
    if isinstance(condition.constant, int):
        return then if condition.constant else other
    return chosen(checker, condition, then, other, node.span)


def _call(checker: Checker, node: tree.Call) -> Typed:
    declared = checker.host.functions.get(node.name)
    if declared is not None:
        return functions.call_declared(checker, node, declared)
    found = functions.find(node.name)
    if found is None:
        close = nearest(node.name, functions.names())
        raise refuse(node.span, f"there is no function `{node.name}`", f"Did you mean `{close}`?" if close else "")
    return found(checker, node, node.arguments)


def _map_name(checker: Checker, node: tree.MapName) -> Typed:
    return maps.read(checker, node)


EXPRESSIONS: dict[type, Callable[[Checker, Any], Typed]] = {
    tree.Integer: _integer, tree.Boolean: _boolean, tree.String: _string, tree.Name: _name, tree.Variable: _variable,
    tree.MapName: _map_name, tree.Positional: _positional, tree.PositionalCount: _positional_count,
    tree.Unary: _unary, tree.Update: _update, tree.Binary: _binary, tree.Ternary: _ternary, tree.Cast: cast,
    tree.Call: _call, tree.Index: _index, tree.Member: _member, tree.Item: _item, tree.Tuple: _tuple,
    tree.Record: _record, tree.SizeOf: _size_of, tree.OffsetOf: _offset_of, tree.TypeInfo: _type_info,
    tree.Comptime: _comptime, tree.Block: _block, tree.If: _if,
}
