"""Running a compiled script: loaded, `begin` run, attached, its messages handled until it ends, `end` run, detached."""
from __future__ import annotations

import os
import select

import _signal as signal  # type: ignore[import-not-found]  # signal itself makes enums

from bpfwright._host import boot_ns, now_ns, sleep_s, tai_offset_ns
from bpfwright._typing import Any, Callable
from bpfwright.errors import BpfwrightError, PrivilegeError
from bpfwright.facets.trace.attaching import attach, in_turn, pinned_at, subjects
from bpfwright.facets.trace.output.printer import Printer, Stream
from bpfwright.facets.trace.output.reading import MessageReader
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.plan import WATCH_ARGUMENT, Attachment
from bpfwright.facets.trace.scripts import Compiled
from bpfwright.facets.trace.target import Target
from bpfwright.facets.trace.watching import Watches

__all__ = ["Running"]

_RING, _STACKS, _COUNTERS = "messages", "stacks", ".data.counters"
_LOOK_MS = 1000
_GATHER_S = 0.001
_REMEMBER_MS = 100
_LEAST_CONTEXT = b"\0" * 8


class Running:
    """One running script; a context manager that leaves nothing attached.

        with Running(compiled, machine, out, errors) as running:
            running.start()
            code = running.follow()
    """

    def __init__(self, compiled: Compiled, machine: Any, out: Stream, errors: Stream, *, json: bool = False,
                 quiet: bool = False, buffering: str = "line", warnings: bool = True, defaults: Any = None,
                 pid: int | None = None, command: str = "") -> None:
        self.plan = compiled.plan
        self.machine = machine
        self.links: list[Any] = []
        self.places: list[Attachment] = []
        self.missed: list[str] = []
        self._closers: list[Callable[[], None]] = []
        self._watches = Watches(self)
        self.child = -1
        self._said_lost: dict[tuple[str, str], int] = {}
        self._signalled: set[int] = set()
        self.interrupted = False
        self.walked = False
        self.print_maps = True
        self.ended = False
        self._unwinder: Any = None
        self._named = pid, command
        try:
            self.loaded = _loaded(machine, compiled)
            self._closers.append(self.loaded.close)
            self._open(out, errors, json=json, quiet=quiet, buffering=buffering, warnings=warnings,
                       defaults=defaults or {})
        except BaseException:
            self.close()
            raise

    def _open(self, out: Stream, errors: Stream, *, json: bool, quiet: bool, buffering: str, warnings: bool,
              defaults: dict[str, Any]) -> None:
        from bpfwright.kernel.ring import MappedRing
        maps = self.loaded.maps
        values = maps[_COUNTERS].map_values()
        self._closers.append(values.close)
        self._counters = memoryview(values.view).cast("B")
        self._closers.append(self._counters.release)
        settings = {**defaults, **dict(self.plan.settings)}
        self.world = World(self.plan.texts, self.plan.probes, settings, maps.get(_STACKS))
        if self.plan.unwound:
            from bpfwright.facets.trace.unwinding import Unwinder
            whole = self._named == (None, "")
            self._unwinder = self.world.unwinder = Unwinder(self.machine, self.loaded, self.plan.unwound, whole=whole)
            self._closers.append(self._unwinder.close)
        self.printer = Printer(self.plan, self.world, {map.name: maps[map.store] for map in self.plan.maps}, out,
                               errors, json=json, quiet=quiet, buffering=buffering, warnings=warnings,
                               unwatch=self._watches.end, watch=self._watches.begin)
        self._reader = MessageReader(MappedRing(maps[_RING]), self.printer)
        self._closers.append(self._reader.close)

    # what programs are told, and what they count

    def counted(self, kind: str) -> dict[str, int]:
        """The counters of a kind, by name."""
        return {counter.name: int.from_bytes(self._counters[counter.offset:counter.offset + 8], "little")
                for counter in self.plan.counters if counter.kind == kind}

    # starting

    def start(self, *, child: int | None = None, ready: Callable[[], None] | None = None) -> None:
        """Run `begin`, attach everything. `ready` is called when it is attached."""
        self.tell("started", "", boot_ns())
        self.tell("cpid", "", child or 0)
        self.child = child if child is not None else -1
        self.tell("tai", "", tai_offset_ns())
        if self._unwinder is not None:
            self._unwinder.start(*self._met(child))
        for name in self.plan.begin:
            self._run(name)
        if not self._exits_at_once():
            for one in in_turn(self.plan.attachments):
                if one.how != WATCH_ARGUMENT:
                    self._attach(one)
        for message in self.missed:
            self.printer.warning(message)
        self.printer.attached(self.count)
        self.printer.flush()
        self.printer.prepare()
        if ready is not None:
            ready()
        self._iterate()

    def _met(self, child: int | None) -> tuple[list[int], list[str]]:
        """Whose stacks will be unwound: processes, and files that are about to run."""
        pid, command = self._named
        paths = [str(one.where[0]) for one in self.plan.attachments if one.how in ("uprobe", "usdt")]
        if command:
            from shutil import which
            paths.append(which(command.split()[0]) or "")
        return [each for each in (pid, child, os.getpid()) if each is not None], paths

    def _iterate(self) -> None:
        """Iterators run once, from here, and then the script is over; pinned ones run when their file is read."""
        walks = [(one, link) for one, link in zip(self.places, self.links, strict=True) if one.how == "iter"]
        for one, link in walks:
            if one.where[0]:
                self.printer.pending.append(f"Program pinned to {pinned_at(str(one.where[0]))}\n".encode())
            else:
                self.machine.iterate(link)
        self.printer.flush()
        self.walked = bool(walks)

    @property
    def count(self) -> int:
        """How many probes the script has: those that are attached, and those that are run from here."""
        plan = self.plan
        bulk = sum(1 for one in plan.attachments if one.how != WATCH_ARGUMENT)
        return bulk + len(plan.begin) + len(plan.end) + len(plan.signals) + len(plan.tests) + len(plan.benches)

    def _exits_at_once(self) -> bool:
        """Whether `begin` ended the script: then nothing has to be attached."""
        return self._reader.holds(frozenset(at for at, message in enumerate(self.plan.messages)
                                            if message.kind == "exit"))

    def _waits(self, child: Any, pid: int | None) -> bool:
        """Whether anything can still happen: scripts of `begin` and `end` alone are over when they have begun."""
        return bool(self.plan.attachments or self.plan.signals or child is not None or pid is not None)

    def _run(self, name: str) -> int:
        """Run a program from here."""
        result = self.loaded.programs[name].test_run(context=_LEAST_CONTEXT)
        return int(result.value)

    def _attach(self, one: Attachment) -> None:
        try:
            self.add(one)
        except PrivilegeError:
            raise
        except BpfwrightError as problem:
            mode = dict(self.plan.settings).get("missing_probes", "error")
            if mode == "error":
                from bpfwright.facets.trace.probes.instead import explained
                raise explained(one, problem, self.machine) from None
            if mode == "warn":
                self.missed.append(f"{one.probe}: {problem.what}")

    def add(self, one: Attachment) -> None:
        """Attach, and detach at the end."""
        self.links.append(attach(self.machine, self.loaded.programs[one.program], one, self.child))
        self.places.append(one)

    def tell(self, kind: str, name: str, value: int) -> None:
        """Put a number where programs look."""
        for counter in self.plan.counters:
            if (counter.kind, counter.name) == (kind, name):
                self._counters[counter.offset:counter.offset + 8] = value.to_bytes(8, "little")

    # following

    def follow(self, *, child: Any = None, pid: int | None = None, seconds: float | None = None) -> int:
        """Handle messages until the script, the child, the traced process or the time is over, or Ctrl-C is pressed.
        The exit code."""
        deadline = now_ns() + int(seconds * 1e9) if seconds is not None else None
        if self._unwinder is not None and child is not None:
            self._unwinder.begun(child.pid)
        self.printer.prepare(() if pid is None else (pid,))
        watched = _Watch(self._reader.fd, child, pid, -1 if self._unwinder is None else self._unwinder.fd)
        waits = self._waits(child, pid)
        target = Target(pid) if pid is not None else None
        with watched, _Signals(self, watched) as signals:
            while not self.printer.exiting and not self.interrupted:
                handled = self._reader.drain()
                busy = self._unwinder is not None and self._unwinder.work()
                look = _REMEMBER_MS if self.printer.remember() else _LOOK_MS
                for number in signals.taken():
                    for wanted, program in self.plan.signals:
                        if wanted == number:
                            self._run(program)
                if handled:
                    continue
                if not busy:
                    self._say_lost()
                became = target.became() if target is not None else ""
                if became:
                    self.printer.warning(became)
                    break
                if not waits or watched.ended or self.walked or (deadline is not None and now_ns() >= deadline):
                    break
                left = look if deadline is None else max(0, min(look, (deadline - now_ns()) // 1_000_000 + 1))
                watched.wait(0 if busy else left)
            return self.finish()

    def finish(self) -> int:
        """Detach, handle what is left, run `end`, print the maps; the exit code."""
        if self.ended:
            return self.printer.exit_code
        self.ended = True
        self._detach()
        while not self.printer.exiting and self._reader.drain():
            pass
        if self.printer.exiting:
            self._reader.skip()
        self.printer.resume()
        for name in self.plan.end:
            self._run(name)
        while self._reader.drain():
            pass
        self._say_lost()
        self._say_missed()
        if self.print_maps:
            self.printer.finish()
        else:
            self.printer.flush()
            self.printer.close()
        return self.printer.exit_code

    def _detach(self) -> None:
        links, self.links, self.places = self.links, [], []
        problems: list[BaseException] = []
        for link in reversed(links):
            try:
                link.close()
            except Exception as problem:
                problems.append(problem)
        self._watches.resume()
        if problems:
            raise problems[0]

    def drop(self, address: int) -> None:
        """Close the watchpoints of an address."""
        found = [(one, link) for one, link in zip(self.places, self.links, strict=True)
                 if one.how == "watchpoint" and one.where[0] == address]
        for one, link in found:
            self.places.remove(one)
            self.links.remove(link)
            link.close()

    def _say_lost(self) -> None:
        """What was lost since the last time, said once each."""
        for counter in self.plan.counters:
            form = _LOSSES.get(counter.kind)
            if form is None:
                continue
            now = int.from_bytes(self._counters[counter.offset:counter.offset + 8], "little")
            key = (counter.kind, counter.name)
            new = now - self._said_lost.get(key, 0)
            if new:
                self._said_lost[key] = now
                if counter.kind == "lost":
                    self._watches.resume()
                    self.printer.lost(new)
                else:
                    self.printer.warning(form.format(count=new, name=counter.name))

    def _say_missed(self) -> None:
        """Events that came while the same program ran on that CPU already: the kernel leaves them out, and counts."""
        named = {one.program: one.probe for one in self.plan.attachments}
        for program, probe in named.items():
            missed = self.loaded.programs[program].statistics()[2]
            if missed:
                self.printer.warning(f"{probe}: {missed} events came while it was busy with another, and were not seen")

    # tests and benchmarks

    def run_tests(self) -> int:
        """Run every `test` probe; 1 when one failed."""
        failed = 0
        for label, name in self.plan.tests:
            self.printer.exiting, self.printer.exit_code = False, 0
            value = self._run(name)
            while self._reader.drain():
                pass
            good = value == 0 and self.printer.exit_code == 0
            failed += not good
            self.printer.pending.append(f"{'PASS' if good else 'FAIL'} {label}\n".encode())
            self.printer.flush()
        total = len(self.plan.tests)
        self.printer.pending.append(f"{total - failed} of {total} tests passed\n".encode())
        self.printer.exiting = False
        self.printer.flush()
        return int(failed > 0)

    def run_benches(self) -> int:
        """Run every `bench` probe many times; the mean time of each."""
        found = []
        for label, name in self.plan.benches:
            self.loaded.programs[name].test_run(context=_LEAST_CONTEXT)
            start = now_ns()
            runs = 0
            while now_ns() - start < 50_000_000:
                runs += 1
                self.loaded.programs[name].test_run(context=_LEAST_CONTEXT)
                self._reader.skip()
            took = self.loaded.programs[name].statistics()
            found.append((label, took[1] // max(1, took[0]) if took[0] else (now_ns() - start) // max(1, runs)))
        self.printer.benchmarks(found)
        self.printer.flush()
        return 0

    # the end

    def close(self) -> None:
        """Detach and unload, whatever failed before."""
        problems: list[BaseException] = []
        for closer in (self._detach, *reversed(self._closers)):
            try:
                closer()
            except Exception as problem:
                problems.append(problem)
        self._closers = []
        if problems:
            raise problems[0]

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOSSES = {
    "lost": "",
    "full": "{name} is full: {count} entries found no room; raise max_map_keys",
    "stack": "{count} stacks could not be kept: the stack map is full, or they could not be read",
    "unfinished": "{count} loops ended before they were done: they went round too often",
}


def _loaded(machine: Any, compiled: Compiled) -> Any:
    """The object in the kernel."""
    held = subjects(compiled.plan)
    try:
        return machine.load(compiled.object, replaces=held) if held else machine.load(compiled.object)
    finally:
        for one, _ in held.values():
            one.close()


class _Watch:
    """What is waited for: the ring, a child's end, a process's end, and signals."""

    def __init__(self, ring: int, child: Any, pid: int | None, sights: int) -> None:
        self._poll = select.poll()
        if sights >= 0:
            self._poll.register(sights, select.POLLIN)
        self._ring = ring
        self._poll.register(ring, select.POLLIN)
        self.child = child
        self._processes: list[int] = []
        self.ended = False
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self.wake_read, select.POLLIN)
        for process in (child.pid if child is not None else None, pid):
            if process is not None:
                try:
                    fd = os.pidfd_open(process)
                except ProcessLookupError:
                    self.ended = True
                    continue
                self._processes.append(fd)
                self._poll.register(fd, select.POLLIN)

    def wait(self, milliseconds: int) -> None:
        """Until something happens."""
        found = self._poll.poll(milliseconds)
        if any(fd == self._ring for fd, _ in found):
            sleep_s(_GATHER_S)  # waking up for each record costs more than printing it
        for fd, _ in found:
            if fd in self._processes:
                self.ended = True
            elif fd == self.wake_read:
                try:
                    os.read(fd, 4096)
                except BlockingIOError:
                    pass

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        for fd in (*self._processes, self.wake_read, self.wake_write):
            os.close(fd)


class _Signals:
    """SIGINT, SIGTERM and SIGHUP (the terminal is gone) end the script, the signals of `self` probes run them. Outside
    of the main thread there are none."""

    def __init__(self, running: Running, watch: _Watch) -> None:
        self._running = running
        self._watch = watch
        self._before: dict[int, Any] = {}
        self._taken: list[int] = []
        self._wakeup = -1

    def taken(self) -> list[int]:
        """The signals that came since the last time."""
        found, self._taken = self._taken, []
        return found

    def _come(self, number: int, frame: object) -> None:
        if number in _ENDING:
            self._running.interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
        else:
            self._taken.append(number)

    def __enter__(self) -> _Signals:
        wanted = [*_ENDING, *(number for number, _ in self._running.plan.signals)]
        try:
            for number in wanted:
                self._before[number] = signal.signal(number, self._come)
            self._wakeup = signal.set_wakeup_fd(self._watch.wake_write, warn_on_full_buffer=False)
        except ValueError:  # not the main thread
            pass
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before:
            signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
