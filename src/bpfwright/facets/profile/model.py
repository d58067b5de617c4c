"""What is asked of a profile and what comes of it: options, frames, and a Profile that writes itself in formats."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Iterator, Mapping, NamedTuple, Sequence
from bpfwright.errors import UsageError

if TYPE_CHECKING:
    import pandas

__all__ = ["FORMATS", "Frame", "Options", "Profile", "Quality"]

# Format to the module here that writes it, and whether it is bytes.
FORMATS = {"table": ("table", False), "folded": ("folded", False), "flamegraph": ("flamegraph", False),
           "html": ("flamegraph", False), "pprof": ("pprof", True), "speedscope": ("speedscope", False),
           "json": ("saved", False)}
STATES = {"running": 0, "interruptible": 1, "uninterruptible": 2, "stopped": 4, "traced": 8}


class Options(NamedTuple):
    """What to profile. `off_cpu`: where threads wait instead of where they run."""

    hz: int = 99
    duration_s: float | None = None
    off_cpu: bool = False
    pid: int | None = None
    tid: int | None = None
    comm: str = ""
    cgroup: str = ""
    cpu: int | None = None
    kernel: bool = True
    user: bool = True
    unwind: str = "tables"
    python: bool = True
    states: tuple[str, ...] = ()
    least_us: float = 1.0
    most_us: float | None = None
    command: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises UsageError for what cannot be meant."""
        if not 1 <= self.hz <= 100_000:
            raise UsageError(f"{self.hz} samples a second", cure="Ask for 1 to 100000; 99 is usual.")
        if not (self.kernel or self.user):
            raise UsageError("neither kernel nor user stacks are wanted", cure="Give -K or -U, not both.")
        if self.unwind not in ("tables", "frames"):
            raise UsageError(f"no way to unwind is called {self.unwind!r}", cure="There are: tables, frames.")
        if self.duration_s is not None and self.duration_s <= 0:
            raise UsageError(f"a profile of {self.duration_s:g} seconds")
        unknown = [state for state in self.states if state not in STATES]
        if unknown:
            raise UsageError(f"no state is called {unknown[0]!r}", cure=f"There are: {', '.join(STATES)}.")
        if (self.states or self.least_us != 1.0 or self.most_us is not None) and not self.off_cpu:
            raise UsageError("states and times are of threads that wait", cure="Add --off-cpu.")
        if self.command and self.pid is not None:
            raise UsageError("a command and a process", cure="Give one of them.")


class Frame(NamedTuple):
    """One level of a stack.

    `kind`: process, kernel, user, python, jit; `mark` for what is said about the stack, as of one that was cut.
    """

    name: str
    kind: str = "user"
    module: str = ""
    file: str = ""
    line: int = 0

    @property
    def known(self) -> bool:
        """Whether it has a name of its own."""
        return self.kind == "mark" or not self.name.startswith("[")


class Quality(NamedTuple):
    """How far a profile is to be believed. Lost samples are in no stack; the others count samples that are."""

    samples: int = 0
    idle: int = 0
    lost: int = 0
    unknown: int = 0
    cut: int = 0
    unseen: int = 0
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """As it is printed to stderr."""
        share = 100 * self.unknown / self.samples if self.samples else 0.0
        said = [f"{self.samples} samples, {self.lost} lost, {self.idle} of idle CPUs left out; {share:.1f} % have a "
                f"frame without a name, {self.cut} stacks are cut"]
        if self.unseen:
            said.append(f"{self.unseen} samples of processes that ended before they could be looked at")
        return said + list(self.notes)


Stack = tuple[Frame, ...]


class Profile:
    """Stacks, outermost frame first, each with how many samples (or nanoseconds, of waiting) it has.

        taken = profile(duration_s=10)
        taken.top(10)                       # where the time went
        taken.write("flame.svg", "flamegraph")
        taken - before                      # what changed

    In a notebook it draws itself as a flame graph.
    """

    def __init__(self, stacks: Mapping[Stack, int], *, unit: str = "samples", title: str = "", hz: int = 0,
                 duration_s: float = 0.0, quality: Quality | None = None) -> None:
        self.stacks = dict(stacks)
        self.unit = unit
        self.title = title
        self.hz = hz
        self.duration_s = duration_s
        self.quality = quality if quality is not None else Quality(samples=sum(self.stacks.values()))

    @property
    def total(self) -> int:
        """All samples, or all nanoseconds."""
        return sum(self.stacks.values())

    def __len__(self) -> int:
        return len(self.stacks)

    def __iter__(self) -> Iterator[tuple[Stack, int]]:
        """Stacks and their weights, the heaviest first."""
        return iter(sorted(self.stacks.items(), key=lambda item: (-item[1], [frame.name for frame in item[0]])))

    def filtered(self, text: str) -> Profile:
        """Only the stacks in which a frame's name has `text`."""
        chosen = {s: n for s, n in self.stacks.items() if any(text in frame.name for frame in s)}
        return Profile(chosen, unit=self.unit, title=self.title, hz=self.hz, duration_s=self.duration_s,
                       quality=self.quality)

    def functions(self) -> dict[Frame, tuple[int, int]]:
        """By frame: its own weight, and that of all stacks it is in (once each, also where it recurs)."""
        found: dict[Frame, tuple[int, int]] = {}
        for stack, weight in self.stacks.items():
            frames = [frame for frame in stack if frame.kind != "process"]
            for frame in dict.fromkeys(frames):
                own, all_ = found.get(frame, (0, 0))
                found[frame] = (own + (weight if frame == frames[-1] else 0), all_ + weight)
        return found

    def top(self, count: int = 20) -> list[tuple[Frame, int, int]]:
        """The frames with the most weight of their own: (frame, own, total)."""
        rows = [(frame, own, all_) for frame, (own, all_) in self.functions().items()]
        return sorted(rows, key=lambda row: (-row[1], -row[2], row[0].name))[:count]

    def columns(self) -> dict[str, list[Any]]:
        """A row for each frame of each stack, for a DataFrame: stack, depth, name, kind, module, file, line, weight."""
        rows: dict[str, list[Any]] = {name: [] for name in ("stack", "depth", "name", "kind", "module", "file", "line",
                                                            "weight")}
        for number, (stack, weight) in enumerate(self):
            for depth, frame in enumerate(stack):
                for name, value in zip(rows, (number, depth, *frame[:2], frame.module, frame.file, frame.line, weight),
                                       strict=True):
                    rows[name].append(value)
        return rows

    def to_pandas(self) -> pandas.DataFrame:
        """The columns as a pandas DataFrame."""
        import pandas
        return pandas.DataFrame(self.columns())

    # formats

    def text(self, format: str) -> str | bytes:
        """The profile in one of FORMATS."""
        from importlib import import_module
        if format not in FORMATS:
            raise UsageError(f"no format is called {format!r}", cure=f"There are: {', '.join(FORMATS)}.")
        module: Any = import_module(f"bpfwright.facets.profile.{FORMATS[format][0]}")
        written: str | bytes = module.write(self, format)
        return written

    def write(self, path: str, format: str) -> None:
        """Write it to a file."""
        made = self.text(format)
        with open(path, "wb") as file:
            file.write(made.encode() if isinstance(made, str) else made)

    def folded(self) -> str:
        """A line a stack: frames by `;` and the weight, as flame graph tools read them."""
        return str(self.text("folded"))

    def to_html(self) -> str:
        """A page with the flame graph, which needs nothing else."""
        return str(self.text("html"))

    def to_svg(self) -> str:
        """The flame graph alone."""
        return str(self.text("flamegraph"))

    def _repr_html_(self) -> str:
        from html import escape
        # In a frame of its own, so that its script and styles touch nothing of the notebook.
        return (f'<iframe style="width:100%;height:480px;border:0" sandbox="allow-scripts" '
                f'srcdoc="{escape(self.to_html())}"></iframe>')

    def __repr__(self) -> str:
        return f"<Profile of {self.total} {self.unit} in {len(self)} stacks>"


def merged(profiles: Sequence[Profile]) -> Profile:
    """Several profiles as one."""
    stacks: dict[Stack, int] = {}
    for one in profiles:
        for stack, weight in one.stacks.items():
            stacks[stack] = stacks.get(stack, 0) + weight
    return Profile(stacks, unit=profiles[0].unit if profiles else "samples")
