"""show real kernel programs at work on real traffic

Two network namespaces are made (and removed), an HTTP server and two clients run in them. An XDP firewall drops one of
the clients at the driver, while tracing programs watch the whole machine: files opened, connections, TCP states, and
how long write() takes. All of it is Python, from this one process.

Without privilege the same programs run in bpfwright's own machine: the firewall on generated traffic and a capture, the
others on what was recorded of this demo.
"""
from __future__ import annotations

import sys

from bpfwright._host import now_ns, sleep_s
from bpfwright._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

EXAMPLES = ("bpfwright demo", "bpfwright demo --seconds 5")
_STATES = ("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
           "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV")
SHOWN = 3  # events of a kind, each second
_DRAINS = 5  # times a second that rings are emptied


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--seconds", type=int, default=20, metavar="N", help="how long it runs (20)")


def run(chosen: argparse.Namespace) -> int:
    """The whole demo; see the module."""
    missing = _privilege()
    if missing:
        from bpfwright.cli.demo.without import show
        return show(missing, max(1, chosen.seconds))
    from bpfwright.cli.demo.network import Stage
    with Stage() as stage:
        stage.serve()
        return _show(stage, max(1, min(chosen.seconds, 3600)))


def _privilege() -> str:
    """The privileges that are missing; nothing when none is."""
    try:
        with open("/proc/self/status") as status:
            held = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff")), 0)
    except OSError:
        return "a Linux kernel"
    names = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}
    return " and ".join(name for bit, name in names.items() if not held >> bit & 1)


class Counts:
    """Events seen and lost, by kind."""

    def __init__(self, readers: dict[str, Any]) -> None:
        self.readers = readers
        self.seen = dict.fromkeys(readers, 0)

    def take(self) -> dict[str, list[Any]]:
        """Everything that is there now."""
        found = {name: list(events.within(0.0)) for name, events in self.readers.items()}
        for name, events in found.items():
            self.seen[name] += len(events)
        return found

    @property
    def lost(self) -> int:
        return sum(events.lost for events in self.readers.values())


def _show(stage: Any, seconds: int) -> int:
    from bpfwright import attach
    from bpfwright.cli.demo import programs as p
    from bpfwright.cli.demo.addresses import BLOCKED, FRIEND, SERVER
    from bpfwright.hooks import xdp
    started = now_ns()
    watchers = (p.opening, p.opened, p.connecting, p.connected, p.changed, p.write_started, p.write_ended)
    with stage.server.entered():
        session = attach(p.firewall.on(xdp.Interface("server")), *watchers)
    with session:
        session.machine.keep_statistics()  # type: ignore[attr-defined]
        ready = (now_ns() - started) / 1e6
        p.blocked[BLOCKED] = p.Verdicts(0, 0)
        print(f"8 kernel programs written in Python, compiled, verified and attached in {ready:.0f} ms:")
        for link in session.links:
            print(f"  {link.description}")
        print(f"\nServer {SERVER}, clients {FRIEND} and {BLOCKED}; the firewall drops {BLOCKED}.", flush=True)
        stage.call(seconds)
        counts = Counts({"files": session.events(p.opens), "connections": session.events(p.connections),
                          "TCP states": session.events(p.states)})
        try:
            for second in range(1, seconds + 1):
                taken: dict[str, list[Any]] = {name: [] for name in counts.readers}
                for _ in range(_DRAINS):
                    sleep_s(1 / _DRAINS)
                    for name, events in counts.take().items():
                        taken[name] += events[-SHOWN:]
                show_second(second, taken, p)
        except KeyboardInterrupt:
            print("\nstopped")
        counts.take()
        show_summary(session, counts, p)
    return 0


def show_second(second: int, events: dict[str, list[Any]], p: Any) -> None:
    passed, dropped = (p.verdicts[i].total().packets for i in (p.PASSED, p.DROPPED))
    print(f"\n{second:3} s   passed {passed:>7,}   dropped {dropped:>5,}")
    for event in events["files"][-SHOWN:]:
        print(f"        open     {event.comm:<15} {event.pid:>7}  {event.path}{_failed(event.result)}")
    for event in events["connections"][-SHOWN:]:
        print(f"        connect  {event.comm:<15} {event.pid:>7}  {_duration(event.latency)}{_failed(event.result)}")
    for event in events["TCP states"][-SHOWN:]:
        print(f"        tcp      {event.source}:{event.sport} > {event.destination}:{event.dport}  "
              f"{_STATES[event.old]} -> {_STATES[event.new]}")
    sys.stdout.flush()


def _failed(result: int) -> str:
    if result >= 0:
        return ""
    import errno
    return f"  {errno.errorcode.get(-result, result)}"


def show_summary(session: Any, counts: Counts, p: Any) -> None:
    print("\nwrite() latency, all processes")
    buckets = [p.latencies[i].total() for i in range(64)]
    most = max(buckets) or 1
    for power, count in enumerate(buckets):
        if count:
            print(f"  {_duration(1 << max(power - 1, 0)):>8} .. {_duration(1 << power):<8} {count:>8,} "
                  f"{'#' * max(1, count * 40 // most)}")
    passed, dropped = (p.verdicts[i].total().packets for i in (p.PASSED, p.DROPPED))
    print(f"\npackets passed   {passed:>10,}\npackets dropped  {dropped:>10,}")
    for name, seen in counts.seen.items():
        print(f"{name:<16} {seen:>10,} events")
    print(f"events lost      {counts.lost:>10,}")
    print("\nprogram            runs     ns per run")
    for name, (runs, nanoseconds, _) in session.statistics().items():
        print(f"{name:<15} {runs:>8,}   {nanoseconds / runs if runs else 0:>10.0f}")


def _duration(nanoseconds: int) -> str:
    for size, unit in ((10**9, "s"), (10**6, "ms"), (10**3, "us")):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds} ns"
