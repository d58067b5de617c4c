"""Configuration files: YAML whose values are read as what they are to be, each with its line.

What a value means is asked by whoever reads it (`number`, `flag`, `seconds`), never guessed from how it looks, so that
`no` is a name where a name is meant. Keys that nobody asked for are errors.
"""
from __future__ import annotations

import os

from bpfwright._typing import Any, Iterator, NoReturn, Sequence, TypeVar
from bpfwright.datapath.sources import Sources
from bpfwright.errors import ConfigurationError, UsageError

__all__ = ["Scalar", "Section", "read"]

T = TypeVar("T")
_REQUIRED: Any = object()
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def read(text: str, file: str, sources: Sources | None = None) -> Section:
    """The mapping that a file holds; ConfigurationError with its line for what is no YAML, or no mapping. Files that it
    names are read by way of `sources`."""
    import yaml
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigurationError(f"this is not YAML: {getattr(error, 'problem', None) or error}", file=file,
                                 line=mark.line + 1 if mark else 1) from None
    finally:
        loader.dispose()
    sources = sources or Sources()
    made = Section({}, file, 1, "") if node is None else _made(node, file, "", frozenset(), sources)
    if not isinstance(made, Section):
        raise ConfigurationError("the file holds no mapping", file=file, line=made[0].line if isinstance(made, list)
                                 and made else 1, cure="Write `key: value` lines.")
    return made


def _made(node: Any, file: str, name: str, above: frozenset[int], sources: Sources) -> Any:
    line = node.start_mark.line + 1
    if id(node) in above:
        raise ConfigurationError("this value holds itself", file=file, line=line)
    above |= {id(node)}
    if node.id == "scalar":
        return Scalar(node.value, file, line, name, quoted=node.style in ("'", '"'))
    if node.id == "sequence":
        return [_made(item, file, name, above, sources) for item in node.value]
    values: dict[str, Any] = {}
    for key, value in node.value:
        if key.id != "scalar":
            raise ConfigurationError("a key is a word", file=file, line=key.start_mark.line + 1)
        if key.value in values:
            raise ConfigurationError(f"{key.value} stands here twice", file=file, line=key.start_mark.line + 1)
        values[key.value] = _made(value, file, f"{name}.{key.value}" if name else key.value, above, sources)
    return Section(values, file, line, name, sources)


class Scalar:
    """One value as it is written."""

    __slots__ = ("file", "line", "name", "quoted", "text")

    def __init__(self, text: str, file: str, line: int, name: str, *, quoted: bool = False) -> None:
        self.text = text
        self.file = file
        self.line = line
        self.name = name
        self.quoted = quoted

    def wrong(self, what: str, cure: str = "") -> NoReturn:
        """Refuse it, at its line."""
        raise ConfigurationError(f"{self.name}: {what}", file=self.file, line=self.line, cure=cure)

    def number(self, low: int = 0, high: int = (1 << 64) - 1) -> int:
        """A whole number: decimal, 0x hexadecimal, or with k, M, G, Ki, Mi, Gi behind it."""
        digits = self.text.rstrip("kKMGi").replace("_", "")
        unit = _UNITS.get(self.text[len(self.text.rstrip("kKMGi")):])
        try:
            value = int(digits, 0) * (unit or 0)
        except ValueError:
            unit = None
        if unit is None:
            self.wrong(f"{self.text!r} is not a number", "Write digits, as in 4096, 0x10 or 64k.")
        if not low <= value <= high:
            self.wrong(f"{self.text} is not between {low} and {high}")
        return value

    def seconds(self, low: float = 0.0, high: float = 1e9) -> float:
        """A time: digits and ns, us, ms, s, m, h or d."""
        digits = self.text.rstrip("nsumhd")
        unit = _UNITS_S.get(self.text[len(digits):])
        try:
            value = float(digits) * (unit or 0.0)
        except ValueError:
            unit = None
        if unit is None:
            self.wrong(f"{self.text!r} is not a time", "Write digits and a unit, as in 30s, 5m or 250ms.")
        if not low <= value <= high:
            self.wrong(f"{self.text} is not between {low:g} and {high:g} seconds")
        return value

    def flag(self) -> bool:
        """true or false."""
        if self.text not in ("true", "false") or self.quoted:
            self.wrong(f"{self.text!r} is neither true nor false")
        return self.text == "true"

    def choice(self, allowed: Sequence[str]) -> str:
        """One of some words."""
        if self.text not in allowed:
            self.wrong(f"{self.text!r} is none of {', '.join(allowed)}", _near(self.text, allowed))
        return self.text

    def parsed(self, parse: Any) -> Any:
        """What a function makes of the text; its UsageError becomes this line's."""
        try:
            return parse(self.text)
        except UsageError as error:
            self.wrong(error.what, error.cure)

    def __repr__(self) -> str:
        return f"Scalar({self.text!r}, line {self.line})"


class Section:
    """A mapping of the file. Ask for what may stand in it, then call `done()`: what nobody asked for is an error."""

    def __init__(self, values: dict[str, Any], file: str, line: int, name: str, sources: Sources | None = None) -> None:
        self._values = values
        self.sources = sources or Sources()
        self._asked: set[str] = set()
        self.file = file
        self.line = line
        self.name = name

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def wrong(self, what: str, cure: str = "", *, at: str = "") -> NoReturn:
        """Refuse it, at its line or that of one of its keys."""
        value = self._values.get(at)
        line = getattr(value[0] if isinstance(value, list) and value else value, "line", self.line)
        where = ".".join(part for part in (self.name, at) if part)
        raise ConfigurationError(f"{where}: {what}" if where else what, file=self.file, line=line, cure=cure)

    def value(self, key: str) -> Any:
        """Whatever stands there: a Scalar, a Section, a list of them, or None."""
        self._asked.add(key)
        return self._values.get(key)

    def scalar(self, key: str) -> Scalar | None:
        """The one value of a key; None when the key is not there."""
        found = self.value(key)
        if found is None or isinstance(found, Scalar):
            return found
        self.wrong("one value is meant here, not several", at=key)

    def _typed(self, key: str, default: Any, read: Any) -> Any:
        found = self.scalar(key)
        if found is None:
            if default is _REQUIRED:
                self.wrong(f"{key} is missing")
            return default
        return read(found)

    def text(self, key: str, default: T = _REQUIRED) -> str | T:
        """The text of a key."""
        return self._typed(key, default, lambda found: found.text)  # type: ignore[no-any-return]

    def path(self, key: str, default: T = _REQUIRED) -> str | T:
        """A file by its name, relative to the folder of this one: so whoever reads it again means the same file."""
        folder = os.path.dirname(os.path.abspath(self.file))
        return self._typed(key, default, lambda found: os.path.join(folder, found.text))  # type: ignore[no-any-return]

    def contents(self, key: str) -> tuple[str, bytes]:
        """The path of a file as `path` gives it, and what the file holds. A generation that is made again, or looked
        at, has what the file held when it was applied."""
        found = self.path(key)
        try:
            return found, self.sources.read(found)
        except OSError as error:
            self.wrong(f"{found} cannot be read: {error.strerror}", "The path is relative to this file.", at=key)

    def number(self, key: str, default: T = _REQUIRED, *, low: int = 0, high: int = (1 << 64) - 1) -> int | T:
        """A whole number; see Scalar.number."""
        return self._typed(key, default, lambda found: found.number(low, high))  # type: ignore[no-any-return]

    def seconds(self, key: str, default: T = _REQUIRED, *, low: float = 0.0, high: float = 1e9) -> float | T:
        """A time; see Scalar.seconds."""
        return self._typed(key, default, lambda found: found.seconds(low, high))  # type: ignore[no-any-return]

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        return bool(self._typed(key, default, lambda found: found.flag()))

    def choice(self, key: str, allowed: Sequence[str], default: T = _REQUIRED) -> str | T:
        """One of some words."""
        return self._typed(key, default, lambda found: found.choice(allowed))  # type: ignore[no-any-return]

    def items(self, key: str) -> list[Any]:
        """The values of a list, each a Scalar or a Section; a value alone is a list of one, no key an empty one."""
        found = self.value(key)
        return [] if found is None else found if isinstance(found, list) else [found]

    def scalars(self, key: str) -> list[Scalar]:
        """The values of a list of plain values."""
        found = self.items(key)
        for item in found:
            if not isinstance(item, Scalar):
                self.wrong("plain values are meant here", at=key)
        return found

    def section(self, key: str) -> Section | None:
        """The mapping of a key; None when the key is not there."""
        found = self.value(key)
        if found is None or isinstance(found, Section):
            return found
        self.wrong("`key: value` lines are meant here", at=key)

    def sections(self, key: str) -> list[Section]:
        """The mappings of a list."""
        found = self.items(key)
        for item in found:
            if not isinstance(item, Section):
                self.wrong("a list of `key: value` blocks is meant here", at=key)
        return found

    def done(self) -> None:
        """Refuse the first key that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                self.wrong("there is no such key", _near(key, sorted(self._asked)), at=key)


def _near(word: str, known: Sequence[str]) -> str:
    import difflib
    close = difflib.get_close_matches(word, known, 1)
    return f"Did you mean {close[0]}?" if close else f"There is {', '.join(known)}." if known else ""
