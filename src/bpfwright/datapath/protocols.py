"""Protocols of one's own: a header class in a Python file of the configuration, whose fields any facet matches.

    protocols:
      telemetry: {file: telemetry.py}      # declares `class Telemetry(Header)`; its fields are telemetry.kind and so on

A field is read where the header stands: `read(ctx, absent)` gives its number, or `absent` where the packet has no such
header. Functions of the file whose one argument is annotated with the class are fields too, with the number that they
give: rules of one's own. The file is Python of whoever configures the data path; it is run, by root who applies it.
"""
from __future__ import annotations

import linecache

from bpfwright._typing import TYPE_CHECKING, Any, Callable, NamedTuple
from bpfwright.datapath.configuration import Section
from bpfwright.types import be16, be32, be64, u8, u64
from bpfwright.types.ctype import Int

if TYPE_CHECKING:
    from bpfwright.spec.header import Header

__all__ = ["OwnField", "own_fields"]

_WORDS: dict[int, Any] = {1: u8, 2: be16, 4: be32, 8: be64}
_loaded: dict[tuple[str, bytes], dict[str, Any]] = {}


class OwnField(NamedTuple):
    """A field of a header of one's own: its numbers are below 2 ** `bits`; `read(ctx, absent)` is of the dialect."""

    name: str
    header: type[Header]
    bits: int
    read: Callable[[Any, Any], Any]


def own_fields(whole: Section) -> dict[str, OwnField]:
    """The fields of the protocols of a configuration, by their names; ConfigurationError by line."""
    section = whole.section("protocols")
    found: dict[str, OwnField] = {}
    for name in section or ():
        assert section is not None
        inside = section.section(name)
        if inside is None or not name.isidentifier():
            section.wrong(f"{name!r} is no protocol", "Write `name: {file: name.py}`.", at=name)
        header, names = _header(inside)
        inside.done()
        fields = [_field(f"{name}.{field}", header, field) for field in header.__layout__().fields]
        fields += [OwnField(f"{name}.{rule}", header, 64, _ruled(header, function))
                   for rule, function in names.items() if _is_rule(function, header)]
        found.update({each.name: each for each in fields if each is not None})
    return found


def _header(section: Section) -> tuple[type[Header], dict[str, Any]]:
    """The header class of a protocol, and the names of its file."""
    from bpfwright.spec.header import Header
    path, content = section.contents("file")
    wanted = section.text("header", "")
    names = _run(section, path, content)
    classes = {name: value for name, value in names.items() if isinstance(value, type) and issubclass(value, Header)
               and value.__module__ == names["__name__"]}
    if wanted and wanted not in classes:
        section.wrong(f"{path} has no header {wanted}", f"It has {', '.join(classes) or 'none'}.", at="header")
    if not wanted and len(classes) != 1:
        section.wrong(f"{path} has {len(classes)} header classes", "Say which: `header: NAME`.", at="file")
    chosen: type[Header] = classes[wanted] if wanted else next(iter(classes.values()))
    if not chosen.follows:
        section.wrong(f"{chosen.__name__} follows no header, so that it cannot be found",
                      "Give it `follows = (Link(UDP, 'dport', (4790,)),)`.", at="file")
    return chosen, names


def _is_rule(value: Any, header: type[Header]) -> bool:
    """Whether it is a function of one argument, which is annotated with the class."""
    code = getattr(value, "__code__", None)
    if code is None or code.co_argcount != 1:
        return False
    return value.__annotations__.get(code.co_varnames[0]) in (header, header.__name__)


def _ruled(header: type[Header], function: Any) -> Any:
    def read(ctx: Any, absent: Any) -> Any:
        there = ctx.find(header)
        if there is None:
            return u64(absent)
        return u64(function(there))

    return read


def _run(section: Section, path: str, content: bytes) -> dict[str, Any]:
    """The names of a file; the same file is run once, so that its classes stay the same."""
    key = path, content
    if key not in _loaded:
        names: dict[str, Any] = {"__name__": f"bpfwright_protocol_{len(_loaded)}", "__file__": path}
        shown = f"<{path}, {len(_loaded)}>"  # not the file's own name: what is compiled is what was read
        lines = content.decode(errors="replace").splitlines(keepends=True)
        linecache.cache[shown] = len(content), None, lines, shown
        try:
            exec(compile(content, shown, "exec"), names)
        except Exception as problem:
            section.wrong(f"{path} fails: {type(problem).__name__}: {problem}", at="file")
        _loaded[key] = names
    return _loaded[key]


def _field(name: str, header: type[Header], field: str) -> OwnField | None:
    """A field that is a number; None for addresses, arrays and what is not in network order."""
    known = header.__layout__().fields[field]
    storage = getattr(known.type, "storage", known.type)
    word = _WORDS.get(storage.size)
    if word is None or not isinstance(storage, Int) or storage.signed or (storage.size > 1 and not storage.big):
        return None
    bits = known.width or storage.size * 8
    return OwnField(name, header, bits, _reader(header, known.offset, word, known.shift, (1 << bits) - 1))


def _reader(header: type[Header], offset: int, word: Any, shift: int, mask: int) -> Any:
    def read(ctx: Any, absent: Any) -> Any:
        there = ctx.find(header)
        if there is None:
            return u64(absent)
        found = ctx.read(ctx.offset_of(there) + offset, word)
        if found is None:
            return u64(absent)
        return u64(found) >> shift & mask

    return read
