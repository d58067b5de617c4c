"""Scripts from Python: run one, and have what its maps gathered as columns, for data frames and notebooks."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, Iterator
from bpfwright.errors import UsageError
from bpfwright.facets.trace.output.merging import Entry, Spread, entries
from bpfwright.facets.trace.plan import Map
from bpfwright.facets.trace.types import (Array, Average, Boolean, Buffer, Enumeration, Histogram, Integer,
                                          LinearHistogram, Pointer, Series, Stack, Statistics, Text, Tuple,
                                          Type, offsets)

__all__ = ["Gathered", "Traced", "trace"]


def trace(script: str, *words: str | int, seconds: float | None = None, command: str | None = None,
          pid: int | None = None, unsafe: bool = False, named: dict[str, str] | None = None,
          during: Callable[[], object] | None = None, file: str = "") -> Traced:
    """Run a script of bpftrace's language to its end, and give what it printed and gathered.

    It ends when the script says exit(), after `seconds`, when `command` (a program that is started for it) or the
    process `pid` ends, when the function `during`, which is called once everything is attached, returns, or on Ctrl-C.
    `words` are the script's $1, $2, ..., `named` what getopt finds. Raises CompileError (6 lines say where and what to
    do), PrivilegeError, NotSupported, VerifierError; nothing stays attached.

        >>> opens = trace("tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }", seconds=5)
        >>> opens["@"].to_pandas()
    """
    from bpfwright.facets.trace.children import program_of, started
    from bpfwright.facets.trace.options import Options
    from bpfwright.facets.trace.configuration import DEFAULTS
    from bpfwright.facets.trace.running import Running
    from bpfwright.facets.trace.scripts import compiled
    from bpfwright.kernel import Kernel
    if not isinstance(script, str) or not script.strip():
        raise UsageError("no script", cure='Write trace("begin { ... }"), or the text of a file.')
    options = Options(words=tuple(map(str, words)), named=named, unsafe=unsafe, pid=pid,
                      traces_child=command is not None, program=program_of(command) if command is not None else "")
    out, errors = _Kept(), _Kept()
    with Kernel() as machine:
        made = compiled(script, file, options, machine)
        child = started(command) if command is not None else None
        try:
            with Running(made, machine, out, errors, quiet=True, warnings=True, defaults=DEFAULTS, pid=pid,
                         command=command or "") as running:
                running.print_maps = False
                running.start(child=child.pid if child is not None else None)
                if child is not None:
                    child.go()
                if during is not None:
                    during()
                    seconds = 0.0
                code = running.follow(child=child, pid=pid, seconds=seconds)
                maps = {map.name: Gathered(map, entries(map, running.loaded.maps[map.store]), running.world)
                        for map in made.plan.maps}
                lost = {f"{kind} {name}".strip(): number for kind in ("lost", "full", "stack", "unfinished")
                        for name, number in running.counted(kind).items() if number}
        finally:
            if child is not None:
                child.close()
    return Traced(maps, out.text(), errors.text(), code, lost)


class _Kept:
    """A stream into memory."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def text(self) -> str:
        return b"".join(self._parts).decode("utf-8", "surrogateescape")


class Traced:
    """What a script left: `output` (all it printed), `errors` (warnings and what was lost, as text), `exit_code`,
    `lost` (what was lost, by kind), and its maps: `traced["@name"]`, or by iterating over their names."""

    def __init__(self, maps: dict[str, Gathered], output: str, errors: str, exit_code: int, lost: dict[str,
                                                                                                       int]) -> None:
        self.maps = maps
        self.output = output
        self.errors = errors
        self.exit_code = exit_code
        self.lost = lost

    def __getitem__(self, name: str) -> Gathered:
        for known in (name, f"@{name}"):
            if known in self.maps:
                return self.maps[known]
        raise UsageError(f"this script has no map {name!r}", cure=f"It has {', '.join(self.maps) or 'none'}.")

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)

    def __repr__(self) -> str:
        return f"<Traced: {', '.join(f'{name}: {len(map)}' for name, map in self.maps.items()) or 'no maps'}>"

    def _repr_html_(self) -> str:
        from bpfwright.facets.trace.pictures import page
        return page(self)


class Gathered:
    """One map's entries as Python values; a mapping from key to value, and a table of columns.

    Keys are single values, or tuples where the map has several; None where it has none. Values are numbers, texts,
    tuples, lists of frames for stacks; (count, average, total) for stats; for histograms a list of (low, high, count),
    the low of the first and the high of the last perhaps None; for series a list of (nanoseconds since 1970, value).
    """

    def __init__(self, map: Map, found: list[Entry], world: Any) -> None:
        self.name = map.name
        self.type = str(map.value)
        self._map = map
        keys = _reader_of_keys(map.keys, world)
        value = _value_of(map.value, world)
        self._items = {keys(entry.key): value(entry.value) for entry in found}

    def __getitem__(self, key: Any) -> Any:
        return self._items[key]

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or the default."""
        return self._items.get(key, default)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def keys(self) -> list[Any]:
        """All keys."""
        return list(self._items)

    def items(self) -> list[tuple[Any, Any]]:
        """Keys and values, the largest values last."""
        return sorted(self._items.items(), key=lambda item: _order(item[1]))

    @property
    def value(self) -> Any:
        """The value of a map without keys; None when it was never set."""
        return self._items.get(None)

    @property
    def is_histogram(self) -> bool:
        """Whether values are histograms."""
        return isinstance(self._map.value, (Histogram, LinearHistogram))

    def columns(self) -> dict[str, list[Any]]:
        """Equally long lists by name: `key` (or `key0`, `key1`, ...), then `value`; for stats `count`, `average` and
        `total`; for histograms a row each counter, `low`, `high`, `count`; for series `time_ns` and `value`."""
        rows = [(*_key_cells(key, len(self._map.keys)), *cells) for key, value in self.items()
                for cells in _value_cells(self._map.value, value)]
        names = [*_key_names(len(self._map.keys)), *_value_names(self._map.value)]
        return {name: [row[at] for row in rows] for at, name in enumerate(names)}

    def to_pandas(self) -> Any:
        """A pandas.DataFrame of the columns (pandas is yours to install)."""
        import pandas  # type: ignore[import-untyped,unused-ignore]
        return pandas.DataFrame(self.columns())

    def to_arrow(self) -> Any:
        """A pyarrow.Table of the columns (pyarrow is yours to install)."""
        import pyarrow  # type: ignore[import-untyped,unused-ignore]
        return pyarrow.table(self.columns())

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} x {self.type}>"

    def _repr_html_(self) -> str:
        from bpfwright.facets.trace.pictures import picture
        return picture(self)


def _order(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) == 3 and all(isinstance(part, int) for part in value):
        return (0, value[2])
    if isinstance(value, list):
        return (0, sum(part[-1] for part in value if isinstance(part, tuple) and isinstance(part[-1], int)))
    return (0, value) if isinstance(value, int) else (1, str(value))


def _key_names(count: int) -> list[str]:
    return ["key"] * (count == 1) or [f"key{at}" for at in range(count)]


def _key_cells(key: Any, count: int) -> tuple[Any, ...]:
    return () if not count else (key,) if count == 1 else tuple(key)


def _value_names(type: Type) -> list[str]:
    match type:
        case Statistics():
            return ["count", "average", "total"]
        case Histogram() | LinearHistogram():
            return ["low", "high", "count"]
        case Series():
            return ["time_ns", "value"]
    return ["value"]


def _value_cells(type: Type, value: Any) -> list[tuple[Any, ...]]:
    match type:
        case Statistics():
            return [tuple(value)]
        case Histogram() | LinearHistogram() | Series():
            return [tuple(each) for each in value]
    return [(value,)]


def _reader_of_keys(keys: tuple[Type, ...], world: Any) -> Callable[[bytes], Any]:
    if not keys:
        return lambda data: None
    if len(keys) == 1:
        only = _reader(keys[0], world)
        return lambda data: only(data, 0)
    readers = [(_reader(kind, world), at) for kind, at in zip(keys, offsets(keys), strict=True)]
    return lambda data: tuple(read(data, at) for read, at in readers)


def _value_of(type: Type, world: Any) -> Callable[[Any], Any]:
    from bpfwright.facets.trace.output.histograms import buckets
    match type:
        case Histogram() | LinearHistogram():
            return lambda counters: [(bucket.low, bucket.high, count) for bucket, count in buckets(type, counters)]
        case Statistics():
            return lambda found: (found.events, found.average, found.total)
        case Average():
            return lambda found: found.average if isinstance(found, Spread) else found
        case Series():
            return lambda found: [(epoch * type.interval_ns + world.boot_to_wall_ns, value)
                                  for epoch, value in sorted(found.items())]
    read = _reader(type, world)
    return lambda found: read(bytes(found), 0) if isinstance(found, (bytes, bytearray, memoryview)) else found


def _reader(type: Type, world: Any) -> Callable[[bytes, int], Any]:
    """What turns bytes into a Python value."""
    from bpfwright.facets.trace.output.values import integer_reader, text_reader
    match type:
        case Integer():
            return integer_reader(type)
        case Boolean():
            return lambda data, at: bool(data[at])
        case Pointer():
            return lambda data, at: int.from_bytes(data[at:at + 8], "little")
        case Enumeration():
            number, names = integer_reader(type), dict(type.values)
            return lambda data, at: names.get(number(data, at), number(data, at))
        case Text():
            return lambda data, at: bytes(data[at:at + type.length]).partition(b"\0")[0].decode("utf-8",
                                                                                                "surrogateescape")
        case Buffer():
            return lambda data, at: bytes(data[at + 4:at + 4 + int.from_bytes(data[at:at + 4], "little")])
        case Array():
            element = _reader(type.of, world)
            return lambda data, at: tuple(element(data, at + index * type.of.size) for index in range(type.count))
        case Tuple():
            parts = [(_reader(kind, world), place) for kind, place in zip(type.items, offsets(type.items), strict=True)]
            return lambda data, at: tuple(read(data, at + place) for read, place in parts)
        case Stack():
            return lambda data, at: _frames(type, world, data, at)
    shown = text_reader(type, world)
    return lambda data, at: shown(data, at).decode("utf-8", "surrogateescape")


def _frames(type: Stack, world: Any, data: bytes, at: int) -> tuple[str, ...]:
    """A stack's frames, innermost first."""
    number, pid = (int.from_bytes(data[place:place + 4], "little") for place in (at, at + 4))
    text = world.stack(type, number, pid, 0)
    return tuple(line.strip() for line in text.decode("utf-8", "surrogateescape").splitlines() if line.strip())


