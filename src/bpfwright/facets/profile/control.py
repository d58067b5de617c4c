"""Takes a profile: attaches the programs, looks at processes as they come, empties the counters, and names the rest."""
from __future__ import annotations

import os

import numpy as np

from bpfwright._host import Suspended, now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Self
from bpfwright.errors import TargetError, UsageError
from bpfwright.facets.profile import kernel, pythons
from bpfwright.facets.profile.cpython import code_frame
from bpfwright.facets.profile.model import STATES, Options, Profile, Quality
from bpfwright.facets.profile.naming import Count, Naming, RawStack
from bpfwright.facets.profile.watching import ProfileWatch, by_tables, with_python
from bpfwright.hooks import perf_event
from bpfwright.session import attach
from bpfwright.stacks import unwinding
from bpfwright.stacks.processes import own_namespace

if TYPE_CHECKING:
    from bpfwright.stacks.tables import Tables
    from bpfwright.session import Session

__all__ = ["Profiler", "profile"]

_LOOK_S = 5.0        # how often the counters' fill is looked at; processes wake us on their own
_NEARLY_FULL = 0.5
_EAGER = -10
_FOR_NEXT_TIME_NS = 2_000_000_000
_MOST_NOTES = 8
_DEPTH = unwinding.DEPTH
_STACK = np.dtype([("count", "<u4"), ("flags", "<u4"), ("frames", "<u8", (_DEPTH,))])
_KEY = np.dtype([("comm", "S16"), ("pid", "<u4"), ("life", "<u4"), ("kernel", "<u8"), ("user", "<u8"),
                 ("python", "<u8")])


class Profiler:
    """A profile that is being taken, from `start` to `finish`.

        with Profiler(Options(pid=4711)) as profiler:
            profiler.wait(10)
            taken = profiler.finish()
    """

    def __init__(self, options: Options) -> None:
        options.check()
        self._options = options
        self._naming = Naming(options)
        self._session: Session | None = None
        self._watch: ProfileWatch | None = None
        self.tables: Tables | None = None
        self._child: Suspended | None = None
        self._stacks: dict[int, RawStack] = {}
        self._counts: list[Count] = []
        self._from_ns = 0
        self._priority: int | None = None
        self._finished: Profile | None = None

    def start(self) -> Self:
        """Load and attach. Raises PrivilegeError, NotSupported, TargetError.

        Until `close` this thread goes before others (nice -10) where it may: it has little to do, but a process that
        was not looked at in time has no names.
        """
        options = self._options
        if options.command:  # before this thread goes first: the child is not to
            self._child = Suspended(*options.command)
        self._priority = _go_before(_EAGER)
        try:
            self._session = attach(*self._programs(), config=self._settings())
            kernel.wanted_name.text = options.comm
            self._watch = ProfileWatch(self._session, options, self._naming)
            self.tables = self._watch.tables
            if options.user:
                self._watch.meet(self._there())
            self._session[kernel.totals].begun = 1
            if self._child is not None:
                self._session[kernel.followed][self._child.pid] = 1
                self._child.go()
        except BaseException:
            self.close()
            raise
        self._from_ns = now_ns()
        return self

    def _there(self) -> list[int]:
        """The processes that are there already."""
        if self._options.pid is not None:
            return [self._options.pid]
        if self._child is not None:
            from shutil import which
            if self.tables is not None:
                self.tables.prepare(which(self._options.command[0]) or "")
            return []
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]

    def _programs(self) -> list[Any]:
        main = kernel.switched if self._options.off_cpu else kernel.sampled.on(perf_event.Sampling(hz=self._options.hz))
        programs = [main, kernel.executed, kernel.exited]
        return [*programs, kernel.forked] if self._child is not None else programs

    def _settings(self) -> kernel.Settings:
        options = self._options
        cgroup, level = _cgroup(options.cgroup) if options.cgroup else (0, 0)
        if options.pid is not None:
            _must_run(options.pid)
        return kernel.Settings(
            namespace=own_namespace(), pid=options.pid or 0, tid=options.tid or 0,
            follow=int(self._child is not None), cgroup=cgroup, level=level,
            cpu=-1 if options.cpu is None else options.cpu, comm=int(bool(options.comm)),
            kernel=int(options.kernel), user=int(options.user), tables=int(by_tables(options)),
            python=int(with_python(options)),
            off_cpu=int(options.off_cpu), running=int("running" in options.states),
            states=sum(STATES[state] for state in options.states),
            least_ns=int(options.least_us * 1000),
            most_ns=(1 << 64) - 1 if options.most_us is None else int(options.most_us * 1000))

    # while it runs

    def wait(self, seconds: float | None = None) -> None:
        """Let it run: for a time, until the command or process ends, or until KeyboardInterrupt."""
        deadline = None if seconds is None else now_ns() + int(seconds * 1e9)
        while not self._over():
            left = _LOOK_S if deadline is None else min(_LOOK_S, (deadline - now_ns()) / 1e9)
            if left <= 0:
                return
            if self._child is not None:
                left = min(left, 0.1)
            assert self._watch is not None
            self._watch.wait(left)
            self.look()

    def _over(self) -> bool:
        if self._child is not None:
            return self._child.ended()
        return self._options.pid is not None and not os.path.exists(f"/proc/{self._options.pid}")

    def look(self) -> None:
        """See the processes that have come, and empty the counters when they fill up."""
        assert self._session is not None and self._watch is not None
        self._watch.look()
        totals = self._session[kernel.totals]
        if totals.stacks_kept > _NEARLY_FULL * kernel.stacks.max_entries or \
                totals.counts_kept > _NEARLY_FULL * kernel.counts.max_entries:
            self.gather()

    def gather(self) -> None:
        """Take what was counted out of the kernel, and name it.

        Counters first: the stacks that they name were there before them, and stay with us when they are taken out.
        """
        assert self._session is not None
        totals = self._session[kernel.totals]
        totals.counts_kept = 0
        totals.stacks_kept = 0
        for keys, values, _ in self._session[kernel.counts].handle.lookup_batches(4096, delete=True):
            self._counts += _read_counts(keys, values)
        for keys, values, _ in self._session[kernel.stacks].handle.lookup_batches(1024, delete=True):
            self._stacks.update(_read_stacks(keys, values))
        for key, code in self._session[pythons.codes].items() if with_python(self._options) else ():
            self._naming.know(key.pid, key.life, key.address, code_frame(code))
        self._naming.fold(self._counts, self._stacks)
        self._counts = []
        if len(self._stacks) > 1 << 17:  # those that come again are sent again
            self._stacks = {}

    # the end

    def finish(self) -> Profile:
        """Stop, and give the profile."""
        if self._finished is not None:
            return self._finished
        session = self._session
        assert session is not None
        duration_s = (now_ns() - self._from_ns) / 1e9
        for link in session.links:
            link.close()
        self.look()
        self.gather()
        totals = session[kernel.totals]
        naming = self._naming
        lost = totals.counts_lost + session[kernel.counts].lost
        notes = list(naming.notes)
        if totals.stacks_lost:
            notes.append(f"{totals.stacks_lost} stacks found no room in the kernel")
        assert self._watch is not None
        if self._watch.lost:
            notes.append(f"{self._watch.lost} new processes found no room in the ring")
        if self.tables is not None:
            self.tables.complete(_FOR_NEXT_TIME_NS)
        if self.tables is not None and self.tables.refused:
            notes.append(f"{self.tables.refused} files or processes had no room among the tables")
        if self.tables is not None:
            notes += [f"no table of {path}: {why}" for path, why in self.tables.problems.items() if path != "[vdso]"]
        if len(notes) > _MOST_NOTES:
            notes[_MOST_NOTES:] = [f"and {len(notes) - _MOST_NOTES} more of the kind"]
        quality = Quality(totals.samples, totals.idle, lost, naming.samples_unknown, naming.samples_cut,
                          naming.samples_unseen, tuple(notes))
        self._finished = Profile(naming.stacks, unit="ns" if self._options.off_cpu else "samples", title=self._title(),
                                 hz=0 if self._options.off_cpu else self._options.hz, duration_s=duration_s,
                                 quality=quality)
        return self._finished

    def _title(self) -> str:
        options = self._options
        what = "waiting" if options.off_cpu else f"CPU, {options.hz} Hz"
        process = f"process {options.pid}" if options.pid else ""
        return f"{' '.join(options.command) or process or options.comm or 'all processes'}: {what}"

    @property
    def samples(self) -> int:
        """How many there were so far (of waiting: how many waits)."""
        return self._finished.quality.samples if self._session is None and self._finished is not None else \
            int(self._session[kernel.totals].samples) if self._session is not None else 0

    @property
    def exit_code(self) -> int | None:
        """The command's, when it has ended."""
        return self._child.code if self._child is not None else None

    def close(self) -> None:
        """Detach, end the command, let go."""
        if self._priority is not None:
            _go_before(self._priority)
        session, self._session = self._session, None
        child, self._child = self._child, None
        watch, self._watch = self._watch, None
        try:
            if watch is not None:
                watch.close()
            if session is not None:
                session.close()
        finally:
            if child is not None:
                child.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()


def profile(duration_s: float | None = None, *, pid: int | None = None, command: tuple[str, ...] = (),
            options: Options | None = None) -> Profile:
    """Profile the machine, a process, or a command until it ends; `options` says the rest.

        from bpfwright.facets.profile import profile
        profile(10).top()
    """
    chosen = options if options is not None else Options()
    chosen = chosen._replace(duration_s=duration_s or chosen.duration_s, pid=pid or chosen.pid,
                             command=command or chosen.command)
    if chosen.duration_s is None and chosen.pid is None and not chosen.command:
        raise UsageError("a profile of the whole machine ends when its time is over", cure="Write profile(10).")
    with Profiler(chosen) as profiler:
        profiler.wait(chosen.duration_s)
        return profiler.finish()


def _go_before(nice: int) -> int | None:
    """Give this thread another priority; what it had, None where that may not be."""
    try:
        had = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        return had
    except OSError:
        return None


def _must_run(pid: int) -> None:
    if not os.path.exists(f"/proc/{pid}/stat"):
        raise TargetError(f"there is no process {pid}")


def _cgroup(path: str) -> tuple[int, int]:
    """The id of a cgroup v2 and how deep it is."""
    from bpfwright.kernel.mounts import cgroup2
    root = cgroup2()
    whole = path if path.startswith(root) else os.path.join(root, path.lstrip("/"))
    try:
        number = os.stat(whole).st_ino
    except OSError as error:
        raise TargetError(f"there is no cgroup {path!r}", why=f"{whole}: {error.strerror}") from None
    below = os.path.relpath(whole, root)
    return number, 0 if below == "." else below.count("/") + 1


def _read_counts(keys: bytes, values: bytes) -> list[Count]:
    rows = np.frombuffer(keys, _KEY)
    weights = np.frombuffer(values, "<u8")
    comms = [comm.partition(b"\0")[0].decode("utf-8", "replace") for comm in rows["comm"].tolist()]
    columns = [rows[name].tolist() for name in ("pid", "life", "kernel", "user", "python")]
    return [Count(*row) for row in zip(comms, *columns, weights.tolist(), strict=True)]


def _read_stacks(keys: bytes, values: bytes) -> dict[int, RawStack]:
    names = np.frombuffer(keys, "<u8").tolist()
    rows = np.frombuffer(values, _STACK)
    return {name: RawStack(tuple(frames[:count].tolist()), flags) for name, count, flags, frames in
            zip(names, rows["count"].tolist(), rows["flags"].tolist(), rows["frames"], strict=True)}
