"""Texts and bytes: read from memory, measured, compared, searched, put together."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.arithmetic import compared_places
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import PROBE_READ, Code
from bpfwright.facets.trace.compiling.casts import built
from bpfwright.facets.trace.compiling.typed import INT64, UINT64, Operand, Typed, constant, is_number, literal, refuse
from bpfwright.facets.trace.text import Span
from bpfwright.facets.trace.types import Array, Boolean, Buffer, Pointer, Text

_NEEDLE_ROOM = 64
_FOUND_IN_PIECES = 64
_JOINED = 16
"""How many texts `join` takes, at most; each up to 1024 bytes long."""


def default_str_length_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return constant(checker.host.text_room, UINT64, node.span)


def text_of(checker: Checker, node: tree.Expression) -> Typed:
    """What is like a text: one, or an array of bytes."""
    if isinstance(node, tree.Positional):
        return checker.text_parameter(node)
    typed = checker.value(node)
    kind = typed.type
    if isinstance(kind, Array) and kind.of.size == 1:
        return Typed(Text(max(1, kind.count)), typed.span, lambda code: Operand(memory=code.memory_of(typed)))
    if isinstance(kind, Pointer) and kind.to.size == 1:
        return read_text(checker, typed, checker.host.text_room, node.span)
    if not isinstance(kind, Text):
        raise refuse(node.span, f"this is a text, not `{kind}`",
                     "Write `str(...)` for what a pointer points to." if is_number(kind) or isinstance(kind,
                                                                                                       Pointer) else "")
    return typed


def str_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    room = checker.host.text_room
    length: Typed | None = None
    if len(arguments) > 1:
        length = checker.number(arguments[1], "a text's length")
        if isinstance(length.constant, int):
            if length.constant < 0:
                raise refuse(arguments[1].span, "a text's length is not negative")
            room = max(1, min(room, length.constant))
            length = None
    first = arguments[0]
    if isinstance(first, tree.Positional):
        return checker.text_parameter(first)
    if isinstance(first, tree.Binary) and isinstance(first.left, tree.Positional):
        from bpfwright.facets.trace.compiling.arithmetic import operation
        return operation(checker, first.operator, checker.text_parameter(first.left), checker.value(first.right),
                         first.span)
    typed = checker.value(first)
    kind = typed.type
    if isinstance(kind, Text):
        return _shortened(typed, room, node.span) if len(arguments) > 1 and room < kind.length else typed
    if isinstance(kind, Array) and kind.of.size == 1:
        room = min(room, max(1, kind.count))

        def far(code: Code) -> int:
            operand = typed.emit(code)
            return operand.address if operand.address >= 0 else code.op("toint", "i64", operand.memory)
        return _read(Typed(Pointer(kind.of, "kernel"), typed.span, lambda code: Operand(value=far(code))), room,
                     _space_of(checker, typed), node.span, length)
    if not is_number(kind) and not isinstance(kind, Pointer):
        raise refuse(first.span, f"`str` takes a pointer, not `{kind}`", checker.cure_for(kind))
    space = kind.space if isinstance(kind, Pointer) and kind.space else checker.space()
    return _read(typed, room, space, node.span, length)


def _shortened(typed: Typed, room: int, span: Span) -> Typed:
    wanted = Text(room)
    return built(wanted, span, lambda code, pointer, offset: code.put(typed, wanted, pointer, offset))


def _space_of(checker: Checker, typed: Typed) -> str:
    """Arrays stand where their struct does; what is in the program's own memory is the kernel's."""
    return getattr(typed, "space", "") or checker.space()


def read_text(checker: Checker, pointer: Typed, room: int, span: Span) -> Typed:
    """The text that a pointer points to."""
    kind = pointer.type
    space = kind.space if isinstance(kind, Pointer) and kind.space else checker.space()
    return _read(pointer, room, space, span, None)


def _read(pointer: Typed, room: int, space: str, span: Span, length: Typed | None) -> Typed:
    number = PROBE_READ[space or "kernel"][1]

    def into(code: Code, place: int, offset: int) -> None:
        size = code.number(room)
        if length is not None:
            size = code.bounded(code.number_of(length), room)
        said = code.helper(number, code.pointer(place, offset), size, code.number_of(pointer))
        if code.reports:
            code.report(said, f"probe_read_{space or 'kernel'}_str", span)
        some = code.op("slt", "i1", code.number(0), said)
        code.last_length = code.op("select", "i64", some, said, code.number(1))
    return built(Text(room), span, into)


def buf_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    most = checker.host.text_room
    typed = checker.value(arguments[0])
    kind = typed.type
    length: Typed | None = None
    if len(arguments) > 1:
        length = checker.number(arguments[1], "a buffer's length")
        if isinstance(length.constant, int):
            if not 0 < length.constant <= most:
                raise refuse(arguments[1].span, f"a buffer of {length.constant} bytes",
                             f"From 1 to {most} can be had: see max_strlen.")
            most = length.constant
            if isinstance(typed.constant, bytes):
                typed = literal(typed.constant.ljust(most, b"\0"), typed.span)
                kind = typed.type
    if isinstance(kind, Array):
        most = min(most, kind.size)
    elif isinstance(kind, Text):
        most = min(most, kind.length)
    elif not is_number(kind) and not isinstance(kind, Pointer):
        raise refuse(arguments[0].span, f"`buf` takes a pointer or an array, not `{kind}`", checker.cure_for(kind))
    elif length is None:
        raise refuse(node.span, "how many bytes?", "Write `buf(pointer, length)`: only an array's length is known.")
    space = kind.space if isinstance(kind, Pointer) and kind.space else checker.space()
    room = most

    def into(code: Code, pointer: int, offset: int) -> None:
        size = code.number(room)
        if length is not None and not isinstance(length.constant, int):
            size = code.bounded(code.number_of(length), room)
        code.store(pointer, code.truncate(size, "i32"), offset, 4)
        target = code.pointer(pointer, offset + 4)
        if isinstance(kind, (Array, Text)):
            operand = typed.emit(code)
            if operand.memory >= 0:
                code.helper(PROBE_READ["kernel"][0], target, size, operand.memory)
            else:
                code.helper(PROBE_READ[operand.space or "kernel"][0], target, size, operand.address)
            return
        said = code.helper(PROBE_READ[space][0], target, size, code.number_of(typed))
        if code.reports:
            code.report(said, f"probe_read_{space}", node.span)
    return built(Buffer(room), node.span, into)


def strlen_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    typed = text_of(checker, arguments[0])
    if isinstance(typed.constant, bytes):
        return constant(len(typed.constant), UINT64, node.span)

    def emit(code: Code) -> Operand:
        code.last_length = -1
        place = code.memory_of(typed)
        length, code.last_length = code.last_length, -1
        return Operand(value=code.length_of(Operand(memory=place, length=length), typed.type.size))
    return Typed(UINT64, node.span, emit)


def strcap_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    typed = text_of(checker, arguments[0])
    room = len(typed.constant) if isinstance(typed.constant, bytes) else typed.type.size
    return constant(room, INT64, node.span)


def strncmp_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    left, right = (text_of(checker, argument) for argument in arguments[:2])
    count = checker.known_number(arguments[2], "how many bytes are compared")
    if count < 0:
        raise refuse(arguments[2].span, "a negative number of bytes")
    if isinstance(left.constant, bytes) and isinstance(right.constant, bytes):
        one, other = ((content.partition(b"\0")[0] + b"\0")[:count] for content in (left.constant, right.constant))
        return constant(0 if one == other else 1, INT64, node.span)
    if not count:
        return constant(0, INT64, node.span)

    def emit(code: Code) -> Operand:
        difference = compared_places(code, code.memory_of(left), left.type, code.memory_of(right), right.type,
                                     count)
        return Operand(value=code.flag(code.op("ne", "i1", difference, code.number(0))))
    return Typed(INT64, node.span, emit)


def memcmp_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    left, right = (checker.value(argument) for argument in arguments[:2])
    count = checker.known_number(arguments[2], "how many bytes are compared")
    for typed in (left, right):
        if typed.type.size < count and not isinstance(typed.type, Pointer):
            raise refuse(typed.span, f"`{typed.type}` has {typed.type.size} bytes, not {count}")

    def bytes_of(code: Code, typed: Typed) -> int:
        if isinstance(typed.type, Pointer):
            place = code.room(count)
            code.read_far(place, count, code.number_of(typed), typed.type.space or checker.space(), typed.span)
            return place
        return code.memory_of(typed)

    def emit(code: Code) -> Operand:
        one, other = (code.held(bytes_of(code, side), count) for side in (left, right))
        result = code.slot(8, 8, "difference")
        code.store(result, code.number(0))
        with code.counted(count) as (index, after):
            a, b = (code.extend(code.load("i8", code.op("index", "ptr", side, index, 1), 0, 1), "i8") for side in (one,
                                                                                                                   other))
            code.store(result, code.op("sub", "i64", a, b))
            with code.when(code.op("ne", "i1", a, b)):
                code.goto(after)
        return Operand(value=code.loose(result))
    return Typed(INT64, node.span, emit)


def _found(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    """Where a text stands in another one, or -1."""
    hay, needle = (text_of(checker, argument) for argument in arguments[:2])
    if isinstance(hay.constant, bytes) and isinstance(needle.constant, bytes):
        return constant(hay.constant.find(needle.constant), INT64, node.span)
    room, wanted = hay.type.size, needle.constant
    if not isinstance(wanted, bytes):
        return _found_unknown(checker, hay, needle, node)
    if not wanted:
        return constant(0, INT64, node.span)
    if len(wanted) >= room:
        return constant(-1, INT64, node.span)

    def emit(code: Code) -> Operand:
        place = code.held(code.memory_of(hay), room)
        result = code.slot(8, 8, "where")
        code.store(result, code.number(-1))
        with code.counted(room - len(wanted)) as (index, after):
            here = code.op("index", "ptr", place, index, 1)
            code.alignments[here] = 1
            other = code.block()
            code.unless_equal(here, wanted, other)
            code.store(result, index)
            code.goto(after)
            code.at = other
            with code.when(code.op("eq", "i1", code.load("i8", here, 0, 1), code.number(0, "i8"))):
                code.goto(after)
        return Operand(value=code.loose(result))
    return Typed(INT64, node.span, emit)


def _found_unknown(checker: Checker, hay: Typed, needle: Typed, node: Any) -> Typed:
    """Both texts are only known when it happens: each place of one against the whole other, up to 64 bytes of it."""
    room, most = hay.type.size, min(needle.type.size, _NEEDLE_ROOM)
    if room * most > 1 << 14 and not checker.host.has_feature("iter_num"):
        raise refuse(node.span, f"texts of {room} and {needle.type.size} bytes are too long to search in each other",
                     "Read less: `str(pointer, 64)`.")

    def emit(code: Code) -> Operand:
        one, other = code.held(code.memory_of(hay), room), code.held(code.memory_of(needle), most)
        result = code.slot(8, 8, "where")
        code.store(result, code.number(-1))
        with code.counted(room, max(1, _FOUND_IN_PIECES // most)) as (start, after):
            with code.counted(most) as (index, differs):
                wanted = code.load("i8", code.op("index", "ptr", other, index, 1), 0, 1)
                with code.when(code.op("eq", "i1", wanted, code.number(0, "i8"))):
                    code.store(result, start)
                    code.goto(after)
                at = code.op("add", "i64", start, index)
                with code.unless(code.op("ult", "i1", at, code.number(room))):
                    code.goto(differs)
                found = code.load("i8", code.op("index", "ptr", one, at, 1), 0, 1)
                with code.when(code.op("ne", "i1", found, wanted)):
                    code.goto(differs)
            here = code.load("i8", code.op("index", "ptr", one, start, 1), 0, 1)
            with code.when(code.op("eq", "i1", here, code.number(0, "i8"))):
                code.goto(after)
        return Operand(value=code.loose(result))
    return Typed(INT64, node.span, emit)


def strstr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _found(checker, node, arguments)


def strcontains_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    where = _found(checker, node, arguments)
    if isinstance(where.constant, int):
        return constant(int(where.constant >= 0), Boolean(), node.span)
    return Typed(Boolean(), node.span, lambda code: Operand(value=code.flag(
        code.op("sle", "i1", code.number(0), code.number_of(where)))))


def str_concat_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    left, right = (text_of(checker, argument) for argument in arguments[:2])
    room = min(checker.host.text_room, left.type.size + right.type.size - 1)
    if len(arguments) > 2:
        room = max(1, min(room, checker.known_number(arguments[2], "a text's length")))
    if isinstance(left.constant, bytes) and isinstance(right.constant, bytes):
        return literal((left.constant + right.constant)[:max(0, room - 1)], node.span)

    def into(code: Code, pointer: int, offset: int) -> None:
        one = code.memory_of(left)
        length = code.length_of(Operand(memory=one), left.type.size)
        other = code.memory_of(right)
        whole = code.room(room + right.type.size + 8)
        code.zero(whole, room + right.type.size + 8)
        code.move(whole, one, min(left.type.size, room))
        start = code.op("index", "ptr", code.held(whole), code.bounded(length, room), 1)
        code.helper(PROBE_READ["kernel"][1], start, code.number(right.type.size), other)
        code.move(code.pointer(pointer, offset), whole, room - 1)
        code.store(pointer, code.number(0, "i8"), offset + room - 1, 1)
    return built(Text(room), node.span, into)


def globmatch_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    pattern = checker.known_text(arguments[1], "a pattern")
    text = text_of(checker, arguments[0])
    if isinstance(text.constant, bytes):
        from fnmatch import fnmatchcase
        return constant(int(fnmatchcase(text.constant.decode("latin-1"), pattern.decode("latin-1"))), Boolean(),
                        node.span)
    pieces = glob_pieces(pattern)
    if len(pieces) > 64:
        raise refuse(arguments[1].span, "a pattern of more than 64 parts")
    room = text.type.size

    def emit(code: Code) -> Operand:
        return Operand(value=code.flag(matches(code, code.memory_of(text), room, pieces)))
    return Typed(Boolean(), node.span, emit)


def glob_pieces(pattern: bytes) -> list[frozenset[int] | None]:
    """A pattern as the sets of bytes that each place allows; None for `*`."""
    anything = frozenset(range(1, 256))
    found: list[frozenset[int] | None] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at:at + 1]
        end = pattern.find(b"]", at + 2 + (pattern[at + 1:at + 2] == b"!")) if byte == b"[" else -1
        if byte == b"*":
            if not found or found[-1] is not None:
                found.append(None)
        elif byte == b"?":
            found.append(anything)
        elif end > 0:
            found.append(_class(pattern[at + 1:end]))
            at = end
        else:
            found.append(frozenset((pattern[at],)))
        at += 1
    return found


def _class(text: bytes) -> frozenset[int]:
    negated = text.startswith(b"!")
    text = text[negated:]
    members: set[int] = set()
    at = 0
    while at < len(text):
        if at + 2 < len(text) and text[at + 1:at + 2] == b"-":
            members.update(range(text[at], text[at + 2] + 1))
            at += 3
        else:
            members.add(text[at])
            at += 1
    return frozenset(range(1, 256)) - members if negated else frozenset(members)


def matches(code: Code, place: int, room: int, pieces: list[frozenset[int] | None]) -> int:
    """Whether a text matches: the places of the pattern that may come next are bits of one word (an i1)."""
    states = code.slot(8, 8, "states")
    code.store(states, code.number(_closure(1, pieces)))
    place = code.held(place, room)
    done = code.slot(8, 8, "matched")
    code.store(done, code.number(0))
    last = 1 << len(pieces)
    with code.counted(room) as (index, after):
        byte = code.extend(code.load("i8", code.op("index", "ptr", place, index, 1), 0, 1), "i8")
        now = code.load("i64", states)
        with code.when(code.op("eq", "i1", byte, code.number(0))):
            ended = code.op("ne", "i1", code.op("and", "i64", now, code.number(last)), code.number(0))
            code.store(done, code.flag(ended))
            code.goto(after)
        following = code.number(0)
        for number, piece in enumerate(pieces):
            here = code.op("ne", "i1", code.op("and", "i64", now, code.number(1 << number)), code.number(0))
            target = _closure(1 << number if piece is None else 2 << number, pieces)
            taken = here if piece is None else code.op("and", "i1", here, _within(code, byte, piece))
            following = code.op("or", "i64", following, code.op("select", "i64", taken, code.number(target),
                                                                code.number(0)))
        code.store(states, following)
    return code.op("ne", "i1", code.load("i64", done), code.number(0))


def _closure(states: int, pieces: list[frozenset[int] | None]) -> int:
    """With the places behind each `*`, which may stand for nothing."""
    for number, piece in enumerate(pieces):
        if piece is None and states >> number & 1:
            states |= 2 << number
    return states


def _within(code: Code, byte: int, members: frozenset[int]) -> int:
    found = code.number(0, "i1")
    ordered = sorted(members)
    start = before = ordered[0] if ordered else -1
    for value in [*ordered[1:], -1]:
        if value == before + 1:
            before = value
            continue
        low, high = code.number(start), code.number(before)
        inside = code.op("and", "i1", code.op("ule", "i1", low, byte), code.op("ule", "i1", byte, high)) \
            if start != before else code.op("eq", "i1", byte, low)
        found = code.op("or", "i1", found, inside)
        start = before = value
    return found


def join_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    typed = checker.scalar(arguments[0], "what `join` takes")
    between = checker.known_text(arguments[1], "what stands between") if len(arguments) > 1 else b" "
    kind = typed.type
    space = kind.space if isinstance(kind, Pointer) and kind.space else checker.space()
    room = min(checker.host.text_room, 1024)

    def emit(code: Code) -> None:
        fields = tuple([Text(room)] * _JOINED)
        index = code.unit.message("join", fields, (between.decode("utf-8", "surrogateescape"),))
        record = code.room(8 + room * _JOINED)
        code.store(record, code.number(index), 0, 8)
        for number in range(_JOINED):
            code.store(record, code.number(0, "i8"), 8 + number * room, 1)
        start = code.number_of(typed)
        count = code.slot(8, 8, "count")
        code.store(count, code.number(0))
        after = code.block()
        for number in range(_JOINED):
            word = code.word()
            code.read_far(word, 8, code.op("add", "i64", start, code.number(8 * number)), space)
            pointer = code.load("i64", word, 0, 8)
            with code.when(code.op("eq", "i1", pointer, code.number(0))):
                code.goto(after)
            code.helper(PROBE_READ[space][1], code.pointer(record, 8 + number * room), code.number(room), pointer)
            code.store(count, code.number(number + 1))
        code.goto(after)
        code.at = after
        used = code.op("mul", "i64", code.load("i64", count), code.number(room))
        size = code.bounded(code.op("add", "i64", used, code.number(8)), 8 + room * _JOINED)
        said = code.helper(130, code.op("global", "ptr", "messages"), record, size, code.number(0))
        with code.when(code.op("slt", "i1", said, code.number(0))):
            code.count_up("lost", "")
    return checker.nothing(node.span, emit)


