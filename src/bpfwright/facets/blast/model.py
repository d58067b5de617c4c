"""What is asked of a run and what comes of it: options, seconds, latencies, and the report."""
from __future__ import annotations

from math import ceil

from bpfwright._typing import Any, NamedTuple
from bpfwright.errors import UsageError

__all__ = ["Latency", "Options", "Report", "Second"]

_MOST_BATCH = 256  # TEST_XDP_MAX_BATCH, net/bpf/test_run.c


class Options(NamedTuple):
    """How frames are sent, and where they are counted.

    `netns`, `receive_netns`: a name of `ip netns`, a process's number, or a path. `frames`: how many. `rate`: of these
    a second, 0 for as many as go. `own_times`: at a capture's own times, `speed` times as fast. `batch`: frames that
    the kernel makes before it hands them on. `signed`: None means when `receive` is given. `pass_on`: what was counted
    goes on to the stack.
    """

    interface: str
    netns: str = ""
    receive: str = ""
    receive_netns: str = ""
    rate: float = 0.0
    frames: int | None = None
    duration_s: float | None = None
    cpus: tuple[int, ...] = ()
    batch: int = 64
    own_times: bool = False
    speed: float = 1.0
    signed: bool | None = None
    stamped: bool = True
    pass_on: bool = False
    mode: str = "auto"
    settle_s: float = 1.0
    allow_default_route: bool = False

    def check(self) -> None:
        """Raises UsageError for what cannot be meant."""
        wrong = next((what for what, is_wrong in (
            ("an interface has no name", not self.interface),
            (f"a rate of {self.rate:g} frames a second", self.rate < 0 or self.rate != self.rate),
            (f"{self.frames} frames", self.frames is not None and self.frames < 1),
            (f"{self.duration_s} seconds", self.duration_s is not None and self.duration_s <= 0),
            (f"batches of {self.batch} frames: there are 1 to {_MOST_BATCH}", not 1 <= self.batch <= _MOST_BATCH),
            (f"{self.speed:g} times as fast", self.speed <= 0),
            ("CPUs are named twice", len(set(self.cpus)) != len(self.cpus)),
            ("a rate, and a capture's own times: one of them", self.own_times and self.rate > 0),
            ("own times keep the order of frames, so one CPU sends them", self.own_times and len(self.cpus) > 1),
            (f"mode {self.mode!r} is not auto, native or generic", self.mode not in ("auto", "native", "generic")),
        ) if is_wrong), None)
        if wrong is not None:
            raise UsageError(wrong)


class Second(NamedTuple):
    """What happened since the row before: until when (s since the start), frames, latencies in ns (0: none came)."""

    until_s: float
    sent: int
    refused: int
    received: int
    received_bytes: int
    p50_ns: int
    p99_ns: int


class Latency(NamedTuple):
    """Times from making a frame to its arrival, in ns: exact but for `percentile`, whose buckets are 3 % wide."""

    timed: int
    mean_ns: float
    least_ns: int
    most_ns: int
    counts: dict[int, int]

    def percentile(self, share: float) -> int:
        """The time that so many per cent of the frames stayed below."""
        if not 0 <= share <= 100:
            raise UsageError(f"{share} per cent")
        return percentile(self.counts, share, self.most_ns)

    def powers(self) -> dict[int, int]:
        """Frames by the power of two that their time is below: {2048: 17} for 17 of 1024 to 2047 ns."""
        from bpfwright.facets.blast.arrivals import bucket_edges
        found: dict[int, int] = {}
        for bucket, frames in sorted(self.counts.items()):
            edge = 1 << bucket_edges(bucket)[1].bit_length()
            found[edge] = found.get(edge, 0) + frames
        return found


def percentile(counts: dict[int, int], share: float, most: int) -> int:
    """The upper edge of the bucket in which the share is reached, not above `most`; 0 where nothing is."""
    from bpfwright.facets.blast.arrivals import bucket_edges
    wanted = ceil(share / 100 * sum(counts.values()) - 1e-6)
    passed = 0
    for bucket, frames in sorted(counts.items()):
        passed += frames
        if passed >= wanted:
            return min(bucket_edges(bucket)[1], most)
    return 0


class Report(NamedTuple):
    """What came of a run.

    `made`: frames that the program made; of these the driver took `sent`, had no room for `refused`, and `failed` never
    came to it. `received` counts no duplicates; `lost` is what was sent and did not come. `reordered` came after a
    higher number of their CPU's. Without a receiver these four are None. `cpu_ns` is a frame's, of the sending threads:
    of what the kernel does in them, which on a veth is the receiver's work too.
    """

    made: int
    made_bytes: int
    sent: int
    refused: int
    failed: int
    duration_s: float
    cpu_ns: float
    received: int | None = None
    received_bytes: int | None = None
    lost: int | None = None
    duplicates: int | None = None
    reordered: int | None = None
    latency: Latency | None = None
    seconds: tuple[Second, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Frames a second that the driver took."""
        return self.sent / self.duration_s if self.duration_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As it is written as JSON."""
        found: dict[str, Any] = {**self._asdict(), "rate": self.rate, "seconds": [s._asdict() for s in self.seconds]}
        if self.latency is not None:
            found["latency"] = {"timed": self.latency.timed, "mean_ns": self.latency.mean_ns,
                                "min_ns": self.latency.least_ns, "max_ns": self.latency.most_ns,
                                **{f"p{share:g}_ns": self.latency.percentile(share)
                                   for share in (50, 90, 99, 99.9)},
                                "below_ns": {str(edge): n for edge, n in self.latency.powers().items()}}
        return found
