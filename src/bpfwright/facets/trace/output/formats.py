"""printf's formats: read and checked while compiling, then made into one function of a record's bytes each.

Widths, flags and precision mean what C says. A number is first widened to 64 bits by the sign of its own type; h and hh
cut it again. Everything else that printf does is done here by one `struct` and one `%`.
"""
from __future__ import annotations

from struct import Struct as Packed

from bpfwright._typing import TYPE_CHECKING, Any, Callable, NamedTuple
from bpfwright.facets.trace.output.gfp import gfp_flags
from bpfwright.facets.trace.output.values import buffer_at, code, escaped, raw_text, text_reader
from bpfwright.facets.trace.types import Boolean, Buffer, Chars, Enumeration, Nothing, Pointer, Text, Type, offsets

if TYPE_CHECKING:
    from bpfwright.facets.trace.output.world import World

__all__ = ["Conversion", "Format", "Problem", "Renderer", "check", "compile", "parse"]

Renderer = Callable[[bytes], bytes]
"""A whole record to what it prints as."""

WIDEST = 65_535
"""The most that a width or precision may ask for."""

STAR, NONE = -WIDEST - 1, -WIDEST - 2  # no width that an argument may say

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_LENGTHS = ("hh", "h", "ll", "l", "L", "j", "z", "t", "")
_KINDS = ("rx", "rh", "r", "gr", "d", "i", "u", "x", "X", "o", "c", "s", "p")
_FLOATS = "eEfFgGaA"
_BASES = {"d": b"%d", "u": b"%d", "o": b"%o", "x": b"%x", "X": b"%X"}


class Conversion(NamedTuple):
    """One `%...`: width and precision are numbers, STAR where an argument says them, or NONE. `start` and `end` are
    where it stands in the format."""

    kind: str
    flags: str
    width: int
    precision: int
    length: str
    start: int
    end: int

    @property
    def arguments(self) -> int:
        """How many arguments it takes."""
        return 1 + (self.width == STAR) + (self.precision == STAR)


class Problem(NamedTuple):
    """What is wrong and what to write instead. `argument` is the one at fault, -1 for none; `start` and `end` are where
    it stands in the format's bytes."""

    what: str
    cure: str
    argument: int
    start: int
    end: int


class Format(NamedTuple):
    """A format in pieces, texts and conversions in turn. What begins with `%` and is none stays text: `strange` says
    where, because then the number of arguments is rarely right."""

    source: bytes
    pieces: tuple[bytes | Conversion, ...]
    strange: tuple[tuple[int, int], ...] = ()

    @property
    def conversions(self) -> list[Conversion]:
        return [piece for piece in self.pieces if isinstance(piece, Conversion)]


def parse(source: bytes | str) -> Format:
    """Read a format; this never fails."""
    data = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
    pieces: list[bytes | Conversion] = []
    strange: list[tuple[int, int]] = []
    text, at = b"", 0
    while (found := data.find(b"%", at)) >= 0:
        text += data[at:found]
        if data[found + 1:found + 2] == b"%":
            text, at = text + b"%", found + 2
            continue
        conversion, at = _conversion(data, found)
        if conversion is None:
            strange.append((found, at))
            text += data[found:at]
            continue
        if text:
            pieces.append(text)
        pieces.append(conversion)
        text = b""
    text += data[at:]
    return Format(data, (*pieces, text) if text else tuple(pieces), tuple(strange))


def _conversion(data: bytes, start: int) -> tuple[Conversion | None, int]:
    """The conversion at a `%`, or nothing and the end of what looks like one."""
    at = start + 1
    flags = ""
    while data[at:at + 1] and data[at:at + 1] in b"-+ #0":
        flags += chr(data[at])
        at += 1
    width, at = _number(data, at)
    precision = NONE
    if data[at:at + 1] == b".":
        precision, at = _number(data, at + 1)
        precision = 0 if precision == NONE else precision
    length = next(length for length in _LENGTHS if data.startswith(length.encode(), at))
    at += len(length)
    for kind in _KINDS:
        if data.startswith(kind.encode(), at):
            at += len(kind)
            return Conversion("d" if kind == "i" else kind, flags, width, precision, length, start, at), at
    if data[at:at + 1] and data[at:at + 1] in _FLOATS.encode():
        return Conversion(chr(data[at]), flags, width, precision, length, start, at + 1), at + 1
    return None, min(at + 1, len(data)) if at == start + 1 else at


def _number(data: bytes, at: int) -> tuple[int, int]:
    if data[at:at + 1] == b"*":
        return STAR, at + 1
    end = at
    while data[end:end + 1].isdigit():
        end += 1
    return (int(data[at:end]), end) if end > at else (NONE, end)


# -------------------------------------------------------------------------------------------------------------- checks


def check(format: Format, types: tuple[Type, ...] | list[Type]) -> list[Problem]:
    """All that is wrong with a format and the types of its arguments."""
    conversions = format.conversions
    wanted = sum(conversion.arguments for conversion in conversions)
    problems: list[Problem] = []
    if wanted != len(types):
        problems.append(_count(format, wanted, len(types)))
    place = 0
    for conversion in conversions:
        problems += _sizes(conversion)
        stars = conversion.arguments - 1
        for index in range(place, min(place + stars, len(types))):
            if not _is_number(types[index]):
                problems.append(_problem(f"`*` takes a number, and this is a {types[index]}",
                                         "Write the width into the format.", index, conversion))
        place += stars
        if place < len(types):
            problems += _mismatch(conversion, types[place], place)
        place += 1
    return problems


def _problem(what: str, cure: str, argument: int, conversion: Conversion) -> Problem:
    return Problem(what, cure, argument, conversion.start, conversion.end)


def _count(format: Format, wanted: int, given: int) -> Problem:
    what = f"the format takes {_arguments(wanted)}, and there {'is' if given == 1 else 'are'} {given}"
    if format.strange:
        start, end = format.strange[0]
        said = format.source[start:end].decode("utf-8", "replace")
        return Problem(what, f"`{said}` is no conversion; `%%` prints a percent sign.", -1, start, end)
    if given > wanted:
        return Problem(what, "Write a conversion for each argument: `%d` for numbers, `%s` for anything.", wanted,
                       len(format.source), len(format.source))
    place = 0
    for conversion in format.conversions:
        place += conversion.arguments
        if place > given:
            return Problem(what, "Add the arguments that are missing; `%%` prints a percent sign.", -1,
                           conversion.start, conversion.end)
    raise AssertionError(format)


def _arguments(count: int) -> str:
    return {0: "no arguments", 1: "1 argument"}.get(count, f"{count} arguments")


def _sizes(conversion: Conversion) -> list[Problem]:
    return [_problem(f"a {name} of {size}", f"Ask for at most {WIDEST}.", -1, conversion)
            for name, size in (("width", conversion.width), ("precision", conversion.precision)) if size > WIDEST]


def _is_number(type: Type) -> bool:
    return bool(code(type)[0])


def _mismatch(conversion: Conversion, type: Type, argument: int) -> list[Problem]:
    kind = conversion.kind
    said = f"%{conversion.length}{kind}"
    if kind in _FLOATS:
        return [_problem(f"`{said}` prints floating point, which the language does not have",
                         "Write `%d`; scale the number first for more digits.", argument, conversion)]
    if isinstance(type, Nothing):
        return [_problem("this has no value that could be printed", "", argument, conversion)]
    if kind == "s":
        return []
    if kind in ("r", "rx", "rh"):
        if isinstance(type, Buffer):
            return []
        cure = "Write `%d`." if _is_number(type) else "Write `%s`, or `buf(address, length)` for the bytes."
        return [_problem(f"`{said}` prints a buffer, and this is a {type}", cure, argument, conversion)]
    if _is_number(type):
        return []
    cure = "Write `%r`." if isinstance(type, Buffer) else "Write `%s`."
    return [_problem(f"`{said}` prints a number, and this is a {type}", cure, argument, conversion)]


# ----------------------------------------------------------------------------------------------------------- rendering


class _Maker:
    """The source of one rendering function: an expression for each conversion, and what they refer to."""

    def __init__(self, types: tuple[Type, ...], world: World, start: int) -> None:
        self.types = types
        self.places = [start + at for at in offsets(types)]
        self.world = world
        self.names: dict[str, Any] = {"cut": raw_text, "trailer": world.trailer, "nothing": b"", "number": _number_as,
                                      "text": _text_as, "gfp": gfp_flags, "bounded": _bounded}
        self.letters: dict[int, str] = {}
        self.next = 0

    def value(self, letter: str = "") -> str:
        """The next argument as a number, by its own letter of `struct` or another of the same size."""
        index, self.next = self.next, self.next + 1
        self.letters[index] = letter or code(self.types[index])[0]
        return f"v{index}"

    def number(self, conversion: Conversion) -> str:
        """The next argument as the number that a conversion is about."""
        letter, size = code(self.types[self.next])
        signed = conversion.kind == "d"
        bits = {"hh": 8, "h": 16}.get(conversion.length, 64)
        if bits == 8 * size:
            return self.value(letter.lower() if signed else letter.upper())
        if bits > 8 * size and (signed or letter.isupper()):
            return self.value()
        found = f"({self.value()} & {(1 << bits) - 1})"
        return f"(({found} ^ {1 << bits - 1}) - {1 << bits - 1})" if signed else found

    def read(self) -> str:
        """The next argument as text."""
        index, self.next = self.next, self.next + 1
        at, type = self.places[index], self.types[index]
        if isinstance(type, Text):
            follows = "nothing" if isinstance(type, Chars) else "trailer"
            return (f"(r[{at}:e] if (e := r.find(0, {at}, {at + type.length})) >= 0 else "
                    f"cut(r, {at}, {type.length}, {follows}))")
        if code(type)[0] and not isinstance(type, Enumeration):
            self.next = index
            return self.plain(type)
        self.names[f"read{index}"] = text_reader(type, self.world)
        return f"read{index}(r, {at})"

    def plain(self, type: Type) -> str:
        """A number where text is wanted; a tiny one's own function would cost more than the rest of the format."""
        if isinstance(type, Boolean):
            return f"(b'true' if {self.value()} else b'false')"
        return f"b'{'0x%x' if isinstance(type, Pointer) else '%d'}' % {self.value()}"

    def buffer(self, kind: str) -> str:
        """The next argument's bytes, shown as `%r`, `%rx` or `%rh` do."""
        index, self.next = self.next, self.next + 1
        type = self.types[index]
        assert isinstance(type, Buffer)
        self.names[f"show{index}"] = _BUFFERS[kind]
        self.names["buffer"] = buffer_at
        return f"show{index}(buffer(r, {self.places[index]}, {type.length}))"

    def unpacking(self) -> str:
        """The line that takes all numbers out of the record."""
        if not self.letters:
            return ""
        form, end = "=", 0
        for index, letter in sorted(self.letters.items()):
            form += f"{self.places[index] - end}x{letter}"
            end = self.places[index] + Packed(f"={letter}").size
        self.names["unpack"] = Packed(form).unpack_from
        return f"    {', '.join(f'v{index}' for index in sorted(self.letters))}, = unpack(r)\n"


def compile(format: Format, types: tuple[Type, ...], world: World, start: int = 8) -> Renderer:
    """A function from a record to what the format prints; the arguments stand in the record from byte `start` on.

    `check` must have found nothing wrong.
    """
    maker = _Maker(tuple(types), world, start)
    template, expressions = b"", []
    for piece in format.pieces:
        if isinstance(piece, bytes):
            template += piece.replace(b"%", b"%%")
            continue
        form, found = _one(maker, piece)
        template += form
        expressions += found
    if not expressions:
        constant = template.replace(b"%%", b"%")
        return lambda record: constant
    unpacking = maker.unpacking()
    if template == b"%b":
        body = f"    return {expressions[0]}\n"
    else:
        body = f"    return template % ({', '.join(expressions)},)\n"
    maker.names["template"] = template
    exec(f"def render(r):\n{unpacking}{body}", maker.names)
    made: Renderer = maker.names["render"]
    return made


def _one(maker: _Maker, c: Conversion) -> tuple[bytes, list[str]]:
    """A conversion as a piece of a template for `%`, and the expressions that go into it."""
    stars = [f"bounded({maker.value()})" for _ in range(c.arguments - 1)]
    width = stars[0] if c.width == STAR else str(c.width)
    precision = stars[-1] if c.precision == STAR else str(c.precision)
    if c.kind in _BASES:
        value = maker.number(c)
        if c.precision != NONE or "#" in c.flags:
            return b"%b", [f"number({value}, {c.flags!r}, {width}, {precision}, {c.kind!r})"]
        flags = c.flags if c.kind == "d" else c.flags.replace("+", "").replace(" ", "")
        return _spec(flags, c.width, _BASES[c.kind]), [*stars, value]
    left = "-" if "-" in c.flags else ""
    if c.kind == "c":
        expression, form = f"{maker.value()} & 255", b"%c"
    else:
        expression, form = _text_of(maker, c), b"%b"
    if c.precision != NONE and c.kind == "s":
        return b"%b", [f"text({expression}, {left!r}, {width}, {precision})"]
    return _spec(left, c.width, form), [*stars[:c.width == STAR], expression]


def _text_of(maker: _Maker, c: Conversion) -> str:
    if c.kind == "p":
        value = maker.value()
        return f"(b'0x%x' % ({value} & {_MASK}) if {value} else b'(nil)')"
    if c.kind == "gr":
        return f"gfp({maker.value()})"
    return maker.read() if c.kind == "s" else maker.buffer(c.kind)


def _spec(flags: str, width: int, form: bytes) -> bytes:
    sized = b"" if width == NONE else b"*" if width == STAR else b"%d" % width
    return b"%" + flags.encode() + sized + form[1:]


def _bounded(size: int) -> int:
    return max(-WIDEST, min(WIDEST, size))


def _number_as(value: int, flags: str, width: int, precision: int, kind: str) -> bytes:
    """A number as C's printf writes it; NONE is no width or no precision, and so is a negative precision."""
    exact = precision >= 0
    digits = _BASES[kind] % abs(value)
    if exact:
        digits = digits.rjust(precision, b"0") if value or precision else b""
    sign = b"-" if value < 0 else (b"+" if "+" in flags else b" " if " " in flags else b"") if kind == "d" else b""
    if "#" in flags and kind == "o" and not digits.startswith(b"0"):
        digits = b"0" + digits
    elif "#" in flags and kind in "xX" and value:
        sign = b"0" + kind.encode()
    if "0" in flags and "-" not in flags and not exact and width > 0:
        digits = digits.rjust(width - len(sign), b"0")
    return _padded(sign + digits, flags, width)


def _text_as(text: bytes, flags: str, width: int, precision: int) -> bytes:
    return _padded(text[:precision] if precision >= 0 else text, flags, width)


def _padded(text: bytes, flags: str, width: int) -> bytes:
    if width == NONE:
        return text
    return text.ljust(abs(width)) if "-" in flags or width < 0 else text.rjust(width)


_BUFFERS: dict[str, Callable[[bytes], bytes]] = {
    "r": escaped,
    "rx": lambda data: b"".join([b"\\x%02x" % byte for byte in data]),
    "rh": lambda data: data.hex(" ").encode(),
}
