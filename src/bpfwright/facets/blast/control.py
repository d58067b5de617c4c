"""Sends frames and gathers what came of them: loads the programs, runs a thread on each CPU, reads the counters."""
from __future__ import annotations

import errno
import os
import threading

from bpfwright._abi import bpf as B
from bpfwright._host import now_ns, sleep_s, thread_cpu_ns
from bpfwright._typing import Any, Callable, Self
from bpfwright.errors import BpfwrightError, KernelError, NotSupported, TargetError, UsageError
from bpfwright.facets.blast import arrivals
from bpfwright.facets.blast.expression import Expression, addressed
from bpfwright.facets.blast.frames import Frames
from bpfwright.facets.blast.kernel import Maker, State, maker_of
from bpfwright.facets.blast.model import Latency, Options, Report, Second, percentile
from bpfwright.facets.blast.pacing import AtOnce, AtTimes, Evenly, Pace
from bpfwright.facets.blast.places import Place, inside, look_at, usable_cpus
from bpfwright.hooks import xdp
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.session import Session, attach
from bpfwright.spec.header import Header
from bpfwright.spec.packet import Packet

__all__ = ["Blaster", "Reflector", "blast"]

Source = str | Packet | Header | bytes | Expression | Frames
_TICK_S, _SETTLED_S, _LATE_S = 0.02, 0.06, 0.5


class Blaster:
    """A run, from `start` to `finish`; closing it detaches everything.

        with Blaster("Ethernet() / IPv4() / UDP()", Options("left", receive="right", frames=1000)) as blaster:
            report = blaster.finish()
    """

    def __init__(self, frames: Source, options: Options, *, length: int | str | None = None, seed: int = 1) -> None:
        options.check()
        self._source = frames
        self._length = length
        self._seed = seed
        self.options = options
        self._closers: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._workers: list[_Worker] = []
        self._magic = 0
        self.seconds: list[Second] = []
        self._arrived: Session | None = None

    # beginning

    def start(self) -> Self:
        """Look at the interfaces, load, attach, and begin to send.

        Raises UsageError, TargetError, NotSupported (before Linux 5.18), PrivilegeError.
        """
        _need_live_frames()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        self._began_ns = self._last_ns = now_ns()
        self._last: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._last_counts: dict[int, int] = {}
        for worker in self._workers:
            worker.start()
        return self

    def _prepare(self) -> None:
        options = self.options
        target = None
        if options.receive:
            with inside(options.receive_netns):
                target = look_at(options.receive)
        with inside(options.netns):
            place = look_at(options.interface)
        self.frames = self._made_frames(place, target)
        place.check(self.frames.longest, options.allow_default_route)
        self._place = place
        if target is not None:
            target.check(0, True)
        if options.own_times and not self.frames.times_ns:
            raise UsageError("frames have times of their own in captures only", cure="Give --rate.")
        cpus = options.cpus or (usable_cpus()[0],)
        unusable = set(cpus) - set(usable_cpus())
        if unusable or len(cpus) > arrivals.STREAMS:
            raise UsageError(f"CPU {min(unusable, default=arrivals.STREAMS)} cannot be used",
                             cure=f"There are: {', '.join(map(str, usable_cpus()))}.")
        self._magic = int.from_bytes(os.urandom(2), "big") % 0xFFFF + 1 if self.frames.signed else 0
        with inside(options.netns):
            self._load_maker(place, cpus)
        if target is not None:
            with inside(options.receive_netns):
                self._attach_receiver(len(cpus))
        self._workers = [_Worker(self, index, cpu, len(cpus)) for index, cpu in enumerate(cpus)]

    def _made_frames(self, place: Place, target: Place | None) -> Frames:
        source, options = self._source, self.options
        if isinstance(source, Frames):
            if self._length is not None:
                raise UsageError("these frames have their lengths already")
            return source
        signed = options.signed if options.signed is not None else bool(options.receive)
        if not isinstance(source, bytes):
            source = addressed(source, place.address, target.address if target is not None else "")
        return Frames.of(source, length=self._length, seed=self._seed, signed=signed)

    def _load_maker(self, place: Place, cpus: tuple[int, ...]) -> None:
        """Load the program, and attach it where no frame ever comes: to `lo`, which is down, of an empty namespace.

        A test run of more than one frame puts its program into XDP's dispatcher and takes it out again, which waits
        for RCU, some 25 ms (bpf_prog_change_xdp() in net/bpf/test_run.c). Of what is attached it is there already.
        """
        self._maker: Maker = maker_of(self.frames, stamped=self.options.stamped)
        idle = NetworkNamespace.create()
        self._closers.append(idle.close)
        with idle.entered():
            session = attach(self._maker.program.on(xdp.Interface("lo", mode="generic")))
        self._closers.append(session.close)
        self._session = session
        self._program: Any = session.program(self._maker.program)
        _fill(session, self._maker, self.frames)
        session[self._maker.devices][0] = place.name
        states: Any = session[self._maker.states]
        rows = [State(0, 0, 0, 0, 0)] * len(states[0])
        for index, cpu in enumerate(cpus):
            rows[cpu] = State(index, len(cpus), 0, 0, self._magic)
        states[0] = rows
        counting = attach(arrivals.blast_handed, arrivals.blast_lost)
        self._closers.append(counting.close)
        self._aim = counting[arrivals.aim]
        self._aim.ifindex = place.number
        self._aim.pid = os.getpid()

    def _attach_receiver(self, streams: int) -> None:
        options = self.options
        session = attach(arrivals.blast_arrive.on(xdp.Interface(options.receive, mode=options.mode)))
        self._closers.append(session.close)
        arrivals.look_for(session, self._magic, streams, options.pass_on)
        self._arrived = session

    # while it runs

    def tick(self) -> Second:
        """What happened since the last time; also kept in `seconds`."""
        now = now_ns()
        sent, refused, received, received_bytes = current = self._counters()
        before, self._last = self._last, current
        counts = self._latencies()
        changed = {bucket: n - self._last_counts.get(bucket, 0) for bucket, n in counts.items()}
        self._last_counts, self._last_ns = counts, now
        row = Second((now - self._began_ns) / 1e9, sent - before[0], refused - before[1], received - before[2],
                     received_bytes - before[3], percentile(changed, 50, 1 << 62), percentile(changed, 99, 1 << 62))
        self.seconds.append(row)
        return row

    def _counters(self) -> tuple[int, int, int, int]:
        tally = self._tally()
        return (self._aim.sent, self._aim.refused, tally.counted if tally else 0,
                tally.counted_bytes if tally else 0)

    def _tally(self) -> Any:
        return self._arrived[arrivals.tallies][0].total() if self._arrived is not None else None

    def _latencies(self) -> dict[int, int]:
        if self._arrived is None:
            return {}
        rows: Any = self._arrived[arrivals.buckets]
        found = {}
        for raw, values in rows.handle.items(batch=arrivals.BUCKETS):
            total = sum(int.from_bytes(values[at:at + 8], "little") for at in range(0, len(values), 8))
            if total:
                found[int.from_bytes(raw, "little")] = total
        return found

    def wait(self, each_second: Callable[[Second], object] | None = None) -> None:
        """Until the run is over; `each_second` is called with what each second brought."""
        next_s = 1.0
        while any(worker.is_alive() for worker in self._workers):
            self._check()
            sleep_s(_TICK_S)
            if (now_ns() - self._began_ns) / 1e9 >= next_s:
                next_s += 1.0
                row = self.tick()
                if each_second is not None:
                    each_second(row)
        self._check()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    def _check(self) -> None:
        """Raise what a thread met, or why nothing at all leaves."""
        for worker in self._workers:
            if worker.problem is not None:
                raise worker.problem
        if self._aim.sent == 0 and self._aim.error:
            raise _unsendable(self._place, int(self._aim.error))

    @property
    def stopped(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._stop.is_set()

    def pace(self, share: int) -> Pace:
        """When the frames of one of `share` threads are due."""
        if self.options.own_times:
            return AtTimes(self.frames.times_ns, self.options.speed)
        return Evenly(self.options.rate / share) if self.options.rate else AtOnce()

    # the end

    def finish(self) -> Report:
        """Wait until all is sent and nothing more arrives, and report. Raises what kept frames from leaving."""
        self.wait()
        duration_s = max([worker.ended_ns - self._began_ns for worker in self._workers]) / 1e9
        self._settle()
        self._check()
        if not self.seconds or now_ns() - self._last_ns > 50_000_000:
            self.tick()
        total: Any = self._session[self._maker.states][0].total()
        aim = self._aim
        spent = sum(worker.cpu_ns for worker in self._workers)
        report = Report(total.made, total.made_bytes, aim.sent, aim.refused, total.made - aim.sent - aim.refused,
                        duration_s, spent / max(total.made, 1), seconds=tuple(self.seconds))
        if report.failed:
            why = os.strerror(int(aim.error)) if aim.error else "the program could not make them"
            report = report._replace(notes=(f"{report.failed} frames did not come to the driver: {why}",))
        return report if self._arrived is None else self._with_arrivals(report)

    def _with_arrivals(self, report: Report) -> Report:
        tally = self._tally()
        received = tally.counted - tally.duplicates
        least = min((each.least_ns for each in self._arrived[arrivals.tallies][0]  # type: ignore[index]
                     if each.least_ns), default=0)
        most = max(each.most_ns for each in self._arrived[arrivals.tallies][0])  # type: ignore[index]
        latency = Latency(tally.timed, tally.latency_ns / tally.timed, least, most, self._latencies()) \
            if tally.timed else None
        notes = report.notes
        if not self._magic:
            notes += ("frames have no signature: all that arrived count, whoever sent them",)
        return report._replace(received=received, received_bytes=tally.counted_bytes, lost=report.sent - received,
                               duplicates=tally.duplicates, reordered=tally.late, latency=latency, notes=notes)

    def _settle(self) -> None:
        """Wait until what was sent has come, or nothing has for a while."""
        if self._arrived is None:
            return
        ends = now_ns() + int(self.options.settle_s * 1e9)
        last, since = -1, now_ns()
        while now_ns() < ends:
            now = self._tally().counted
            if now >= self._aim.sent and now_ns() - since > _TICK_S * 1e9:
                return
            if now != last:
                last, since = now, now_ns()
            elif now_ns() - since > max(_SETTLED_S, self.options.settle_s / 2) * 1e9:
                return
            sleep_s(_TICK_S / 4)

    def close(self) -> None:
        """Stop, detach and unload, whatever the state."""
        self._stop.set()
        for worker in self._workers:
            if worker.ident is not None:
                worker.join()
        closers, self._closers = self._closers, []
        problems: list[Exception] = []
        for close in reversed(closers):
            try:
                close()
            except Exception as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Worker(threading.Thread):
    """Sends one CPU's share, on that CPU."""

    def __init__(self, blaster: Blaster, index: int, cpu: int, share: int) -> None:
        super().__init__(name=f"blast-{cpu}", daemon=True)
        self.blaster = blaster
        self.cpu = cpu
        count = blaster.options.frames
        self.count = None if count is None else (count - index + share - 1) // share
        self.pace = blaster.pace(share)
        self.problem: BpfwrightError | None = None
        self.cpu_ns = 0
        self.ended_ns = 0

    def run(self) -> None:
        try:
            os.sched_setaffinity(0, {self.cpu})
            self._send()
        except BpfwrightError as problem:
            self.problem = problem
        finally:
            self.cpu_ns = thread_cpu_ns()
            self.ended_ns = now_ns()

    def _send(self) -> None:
        blaster = self.blaster
        data = max(blaster.frames.shapes, key=len)
        batch = blaster.options.batch
        began, sent = now_ns(), 0
        ends_s = blaster.options.duration_s or float("inf")
        while not blaster.stopped and sent != self.count:
            elapsed_s = (now_ns() - began) / 1e9
            over = elapsed_s >= ends_s
            due = self.pace.due(min(elapsed_s, ends_s), sent)
            if self.count is not None:
                due = min(due, self.count - sent)
            # A thread that had to wait for its CPU sends what was due until then, if that does not take long.
            if over and (due <= 0 or not self.pace.makes_up or elapsed_s > ends_s + max(_LATE_S, ends_s / 10)):
                return
            if due <= 0:
                sleep_s(min(self.pace.wait_s(elapsed_s, sent), ends_s - elapsed_s))
                continue
            blaster._program.test_run(data, repeat=due, flags=B.BPF_F_TEST_XDP_LIVE_FRAMES, batch=min(batch, due))
            sent += due


class Reflector:
    """Sends what arrives at an interface back to where it came from, addresses exchanged, while it is open.

        with Reflector("right", netns="far") as reflector:
            ...
            reflector.frames
    """

    def __init__(self, interface: str, *, netns: str = "", mode: str = "auto",
                 allow_default_route: bool = False) -> None:
        self._where = (interface, netns, mode, allow_default_route)
        self._session: Session | None = None

    def start(self) -> Self:
        """Attach. Raises TargetError, UsageError."""
        interface, netns, mode, allowed = self._where
        with inside(netns):
            look_at(interface).check(0, allowed)
            self._session = attach(arrivals.blast_reflect.on(xdp.Interface(interface, mode=mode)))
        return self

    @property
    def frames(self) -> int:
        """How many were sent back."""
        assert self._session is not None
        return int(self._session[arrivals.reflected][0].total().frames)

    def close(self) -> None:
        """Detach."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()


def blast(frames: Source, *, interface: str, length: int | str | None = None, seed: int = 1, rate: float = 0.0,
          count: int | None = None, duration_s: float | None = None, receive: str = "", **more: Any) -> Report:
    """Send frames and report; `more` are fields of Options. Needs `count` or `duration_s`.

        report = blast("Ethernet() / IPv4(source='198.18.0.0/16') / UDP()", interface="left", receive="right",
                       count=1_000_000)
    """
    if count is None and duration_s is None:
        raise UsageError("this would send for ever", cure="Give count= or duration_s=.")
    try:
        options = Options(interface, rate=rate, frames=count, duration_s=duration_s, receive=receive, **more)
    except TypeError as error:
        raise UsageError(str(error), cure=f"The options are: {', '.join(Options._fields)}.") from None
    with Blaster(frames, options, length=length, seed=seed) as blaster:
        return blaster.finish()


def _fill(session: Session, maker: Maker, frames: Frames) -> None:
    """Lay the shapes and lists into their maps."""
    shapes: Any = session[maker.shapes]
    laid_out = frames.laid_out()
    for at in range(0, len(frames), 4096):
        part = laid_out[at:at + 4096]
        keys = b"".join((at + i).to_bytes(4, "little") for i in range(len(part)))
        shapes.handle.update_batch(keys, b"".join(map(maker.filled, part)), len(part))
    values = [value for slot in frames.slots for value in slot.varying.listed]
    if values:
        listed: Any = session[maker.listed]
        listed.handle.update_batch(b"".join(i.to_bytes(4, "little") for i in range(len(values))),
                                   b"".join(value.to_bytes(8, "little") for value in values), len(values))


def _need_live_frames() -> None:
    from bpfwright.kernel.features import Features
    features = Features()
    verdict = features.helper(B.BPF_PROG_TYPE_XDP, "xdp_store_bytes")  # it came with live frames
    if not verdict.works and features.program_type(B.BPF_PROG_TYPE_XDP).works:
        raise NotSupported("this kernel sends no live frames from test runs", since="5.18", why=verdict.why)


_WHY: dict[int, tuple[type[BpfwrightError], str, str]] = {
    errno.EOPNOTSUPP: (NotSupported, "its driver cannot send from XDP (no ndo_xdp_xmit)",
                       "Use a veth, or a network card whose driver has native XDP."),
    errno.ENETDOWN: (TargetError, "it is down, or its peer is", "Type: ip link set NAME up"),
    errno.EMSGSIZE: (UsageError, "the frames are longer than its MTU", ""),
}


def _unsendable(place: Place, number: int) -> BpfwrightError:
    what = f"no frame leaves by {place.name!r}"
    if place.kind == "veth" and number in (errno.EOPNOTSUPP, errno.ENXIO):
        return TargetError(what, why="nobody takes frames at the other end of this veth",
                           cure="Its peer needs an XDP program (--receive PEER), or: ethtool -K PEER gro on")
    kind, why, cure = _WHY.get(number, (KernelError, os.strerror(number), ""))
    return KernelError(what, number, why=why) if kind is KernelError else kind(what, why=why, cure=cure)
