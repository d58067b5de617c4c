"""How a tool is declared: options, columns, and one of three shapes: rows, a histogram, a table."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence
from bpfwright.errors import (BpfwrightError, BtfError, NotSupported, PrivilegeError, TargetError, UsageError,
                              VerifierError, WrongType)
from bpfwright.types.config import Config

if TYPE_CHECKING:
    from bpfwright.facets.tools._running import Running
    from bpfwright.session import Session

__all__ = ["EACH", "REQUIRED", "Cell", "Column", "Either", "Histogram", "MSECS", "Option", "Options", "Rows", "SINCE",
           "STAMP", "Table", "Tool", "bucket"]

Cell = str | int | float | bool | None
REQUIRED: Any = object()


class Column(NamedTuple):
    """A column: its head, how a table writes it, what it shows, and the option that it is shown with.

    `form` is Python's format specification (`<6`, `>9.2f`), for texts with a sign before a space (`> <20`). `of` is a
    field of the record, or a function of it; the name in JSON and CSV by default, which is the head in lower case.
    `@elapsed` and `@clock` are the event's field `at` in seconds since the first one, and as time of day; other names
    with @ are the tool's `cells`. A function that gives numbers has a form that ends in d or f.
    """

    head: str
    form: str = ""
    of: Any = ""
    when: str = ""

    @property
    def name(self) -> str:
        """The name in JSON and CSV."""
        return "_".join("".join(ch if ch.isalnum() else " " for ch in self.head.lower()).split())


class Option(NamedTuple):
    """An option (`-x, --failed`) or, without a dash, a positional argument. Its default's type is its own.

    A member of the tool's Config that has the option's name takes its value into the kernel program.
    """

    flags: str
    help: str
    default: Any = False
    choices: tuple[str, ...] = ()
    many: bool = False

    @property
    def name(self) -> str:
        """What it is called in Python."""
        return self.flags.split(", ")[-1].lstrip("-").replace("-", "_")

    @property
    def words(self) -> list[str]:
        """As they are typed."""
        return self.flags.split(", ")


STAMP = Option("-T, --timestamp", "show the time of day")
SINCE = Option("-t, --timestamp", "show seconds since the first")
EACH = Option("-i, --interval", "seconds between outputs", 0.0)
MSECS = Option("-m, --milliseconds", "in milliseconds")


class Options:
    """What was asked for: one attribute for each option."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


FILTERS = {
    "pid": Option("-p, --pid", "of this process only", None), "tid": Option("-t, --tid", "of this thread only", None),
    "uid": Option("-u, --uid", "of this user only", None),
    "comm": Option("--comm", "of threads with this name only", ""),
    "cgroup": Option("--cgroup", "of a cgroup (version 2) and those below it only", ""),
    "container": Option("--container", "of a container only, by name or id", ""),
}
NUMBERS = ("pid", "tid", "uid")
INTERVAL = (Option("interval", "seconds between outputs (until Ctrl-C)", 0.0),
            Option("count", "how many outputs (until Ctrl-C)", 0))


class Tool:
    """Programs and what is shown of what they find.

    `programs`: a tuple of programs; a list of such tuples, of which the first that this kernel can run is taken; or a
    function of the options that gives either. `config`: a Config class whose members are options of the same name, or
    a function of the options that makes one; or a tuple of such. `cells`: of the tool at work and a record, what
    `@name` shows.
    """

    name = ""
    doc = ""
    periodic = False
    own: tuple[Option, ...]
    filters: tuple[Option, ...]

    def __init__(self, programs: Any, *, options: Sequence[Option] = (), config: Any = None,
                 filters: str = "pid comm cgroup", columns: Sequence[Column] = (),
                 prepare: Callable[[Options, Session], None] | None = None, positional: bool = True,
                 cells: dict[str, Callable[[Running, Any], Cell]] | None = None) -> None:
        names = filters.split()
        self.programs = programs
        self.filters = tuple(FILTERS[name] for name in (*names, *(("container",) if "cgroup" in names else ())))
        self.own = tuple(options)
        self.config = config
        self.columns = tuple(columns)
        self.prepare = prepare
        self.positional = positional
        self.cells = cells or {}

    @property
    def options(self) -> tuple[Option, ...]:
        """Everything that start() takes."""
        return (*self.own, *self.filters, *self.intervals)

    @property
    def intervals(self) -> tuple[Option, ...]:
        """Interval and count, as words without a dash."""
        return INTERVAL if self.periodic and self.positional else ()

    def chosen(self, **given: Any) -> Options:
        """Defaults and what was given."""
        values: dict[str, Any] = {name: None if name in NUMBERS else "" for name in FILTERS}
        values.update({option.name: option.default for option in (*INTERVAL, *self.options)})
        for name, value in given.items():
            if name not in values or (name in FILTERS and FILTERS[name] not in self.filters):
                raise UsageError(f"{self.name} has no option {name!r}",
                                 cure=f"It has: {', '.join(option.name for option in self.options)}.")
            values[name] = value
        for name, value in values.items():
            if value is REQUIRED:
                raise UsageError(f"{self.name} needs {name}", cure=f"`bpfwright tool {self.name} --help` says more.")
        return Options(**values)

    def start(self, **given: Any) -> Running:
        """Load and attach; what comes is taken out of the Running, which undoes all when it closes."""
        from bpfwright.facets.tools._running import Running
        from bpfwright.facets.tools._who import who_of
        options = self.chosen(**given)
        programs = self.programs(options) if callable(self.programs) else self.programs
        kinds = self.config if isinstance(self.config, tuple) else (self.config,) if self.config else ()
        configs = [who_of(options), *(_config(kind, options) for kind in kinds)]
        session = self._attach(programs, tuple(configs))
        try:
            if self.prepare is not None:
                self.prepare(options, session)
            return Running(self, options, session)
        except BaseException:
            session.close()
            raise

    def _attach(self, programs: Any, configs: tuple[Config, ...]) -> Session:
        if not isinstance(programs, list):
            if callable(self.programs):  # the user's own targets: what is wrong with them is said as it is
                return self._attached(programs, configs)
            programs = [programs]
        reasons: list[BpfwrightError] = []
        for some in programs:
            try:
                return self._attached(some, configs)
            except (NotSupported, TargetError, PrivilegeError, BtfError) as problem:
                reasons.append(problem)
        refused = next((problem for problem in reasons if isinstance(problem, PrivilegeError)), None)
        if refused is not None:  # what those who may load are refused, this kernel refuses to all
            from bpfwright.kernel.explain import effective_capabilities
            if not effective_capabilities() & (1 << 21 | 1 << 39):  # CAP_SYS_ADMIN, CAP_BPF
                raise refused
        raise NotSupported(f"{self.name} finds no source of its events on this kernel",
                           why="; ".join(problem.what for problem in reasons),
                           cure="`bpfwright doctor` says what this kernel has.")

    def _attached(self, programs: tuple[Any, ...], configs: tuple[Config, ...]) -> Session:
        from bpfwright.session import attach
        try:
            return attach(*programs, config=configs)
        except VerifierError as problem:
            if "invalid func unknown" not in problem.log and "unknown func" not in problem.log:
                raise
            raise NotSupported(f"{self.name} calls a helper that this kernel lacks", why=problem.what) from None

    def columns_of(self, options: Options) -> tuple[Column, ...]:
        """The columns that these options show."""
        return tuple(column for column in self.columns if _shown(column.when, options))


def _config(kind: Any, options: Options) -> Config:
    if not isinstance(kind, type):
        made: Config = kind(options)
        return made
    try:
        made = kind(**{name: getattr(options, name) for name in kind.types()})  # type: ignore[attr-defined]
    except WrongType as problem:
        raise UsageError(problem.what) from None
    return made


def _shown(when: str, options: Options) -> bool:
    """`failed` when the option is set, `!brief` when it is not; all of several."""
    return all(bool(getattr(options, word.lstrip("!"))) != word.startswith("!") for word in when.split())


class Either(Tool):
    """One shape or another, by an option: `Either("dist", histogram, table)`."""

    def __init__(self, option: str, then: Tool, other: Tool) -> None:
        self._option, self._then, self._other = option, then, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)

    @property
    def options(self) -> tuple[Option, ...]:
        return self._other.options

    @property
    def intervals(self) -> tuple[Option, ...]:
        return self._other.intervals

    def start(self, **given: Any) -> Running:
        asked = bool(given.get(self._option.lstrip("!"))) != self._option.startswith("!")
        chosen = self._then if asked else self._other
        chosen.name, chosen.doc = self.name, self.doc
        return chosen.start(**given)


class Rows(Tool):
    """A row an event, as it comes, out of a ring. `rank` is the column that --top goes by, the latest else.

    `keep(record, options)` drops records that the kernel program could not tell apart. `tally` names the columns that
    are counted, at the end, when the option `count` is set.
    """

    def __init__(self, ring: Any, programs: Any, columns: Sequence[Column], *, rank: str = "",
                 keep: Callable[[Any, Options], bool] | None = None, tally: Sequence[str] = (), **more: Any) -> None:
        super().__init__(programs, columns=columns, **more)
        self.tally = tuple(tally)
        self.keep = keep
        self.ring = ring
        self.rank = rank

    def start(self, **given: Any) -> Running:
        """As of every tool; `buffer_pages` of those that have it are the ring's."""
        size = given.get("buffer_pages", 0) << 12
        if not size or size == self.ring.max_entries:
            return super().start(**given)
        if size < 0 or size & (size - 1):
            raise UsageError(f"a ring of {size >> 12} pages", cure="Ask for a power of two.")
        before = self.ring.max_entries
        self.ring.max_entries = size
        try:
            return super().start(**given)
        finally:
            self.ring.max_entries = before


class Histogram(Tool):
    """Distributions out of a `Hash[Slot, u64]`: `Slot.slot` is the bucket, its other fields are keys in `columns`.

    `unit` names what is counted (a function of the options may tell); `linear` buckets are numbers themselves.
    """

    periodic = True

    def __init__(self, counts: Any, programs: Any, *, unit: Any, columns: Sequence[Column] = (), linear: bool = False,
                 **more: Any) -> None:
        super().__init__(programs, columns=columns, **more)
        self.counts = counts
        self.unit = unit
        self.linear = linear


class Table(Tool):
    """The entries of a map, or what `entries(running)` makes of maps, by `sort` (largest first; not with a +).

    `fresh`: what was shown is cleared. `screen`: each output replaces the last on a terminal, as top does. `each` is an
    interval that is meant when none is given. `lines(running)` stand before each output; `block(row, options)` writes a
    row as lines of its own.
    """

    periodic = True

    def __init__(self, counts: Any, programs: Any, columns: Sequence[Column], *, sort: Any = "", fresh: bool = True,
                 screen: bool = False, each: float = 0.0, top: int = 0, entries: Any = None, lines: Any = None,
                 block: Callable[[dict[str, Any], Options], list[str]] | None = None, **more: Any) -> None:
        super().__init__(programs, columns=columns, **more)
        self.counts = counts
        self.sort = sort
        self.fresh = fresh
        self.screen = screen
        self.each = each
        self.top = top
        self.entries = entries
        self.lines = lines
        self.block = block


def bucket(value: int) -> int:
    """The power of two that a value falls under; the slot of a histogram."""
    return max(value.bit_length(), 1)
