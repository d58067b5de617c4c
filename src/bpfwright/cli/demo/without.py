"""The demo without privilege: its programs in the userspace machine, on generated traffic and a recorded run of it."""
from __future__ import annotations

import os
import sys

from bpfwright._host import now_ns
from bpfwright._typing import Any

__all__ = ["RECORDING", "show", "traffic"]

RECORDING = os.path.join(os.path.dirname(__file__), "live.rec")
_REQUESTS = 40  # of each client, a second
_PER_REQUEST = 6  # packets of a client that is answered: SYN, ACK, the request, and what it says of the answer
_RETRIES = 1  # packets of one that is not


def show(missing: str, seconds: int) -> int:
    """Everything that the demo shows, without the kernel."""
    from bpfwright import attach
    from bpfwright.cli.demo import SHOWN, Counts, show_second, show_summary
    from bpfwright.cli.demo import programs as p
    from bpfwright.cli.demo.addresses import BLOCKED, FRIEND, SERVER
    from bpfwright.formats.recording import Recording
    from bpfwright.hooks import xdp
    from bpfwright.recording import Replay
    from bpfwright.userspace.captures import drive
    recording = Recording.open(RECORDING)
    first, last = recording.runs[0].time_ns, recording.runs[-1].time_ns
    seconds = min(seconds, -(-(last - first) // 10**9))
    started = now_ns()
    watchers = (p.opening, p.opened, p.connecting, p.connected, p.changed, p.write_started, p.write_ended)
    with Replay(recording, strict=False) as machine, \
            attach(p.firewall.on(xdp.Interface("server")), *watchers, machine=machine) as session:
        ready = (now_ns() - started) / 1e6
        machine.run_until(first)
        p.blocked[BLOCKED] = p.Verdicts(0, 0)
        print(f"This process lacks {missing}, so nothing is loaded into a kernel: what follows ran without one.\n"
              f"8 kernel programs written in Python, loaded in bpfwright's own machine in {ready:.0f} ms:\n"
              f"  firewall         on generated traffic, {(_PER_REQUEST + _RETRIES) * _REQUESTS} packets a second, "
              "as a capture")
        for program in watchers:
            count, kernel = len(recording.runs_of(program.name)), recording.facts["kernel"]
            print(f"  {program.name:<16} on {count:,} of its runs in this demo, recorded on {kernel}")
        print(f"\nServer {SERVER}, clients {FRIEND} and {BLOCKED}; the firewall drops {BLOCKED}.", flush=True)
        firewall: Any = session.program(p.firewall)
        counts = Counts({"files": session.events(p.opens), "connections": session.events(p.connections),
                         "TCP states": session.events(p.states)})
        for second in range(1, seconds + 1):
            drive(firewall, traffic(SERVER, FRIEND, BLOCKED, second))
            machine.run_until(first + second * 10**9)
            show_second(second, {name: events[-SHOWN:] for name, events in counts.take().items()}, p)
        show_summary(session, counts, p)
    print(f"\nWithout the kernel: {seconds} s of traffic and events in {(now_ns() - started) / 1e9:.1f} s. "
          "The times of write() are those of the recorded run; ns per run are this machine's interpreter.")
    from bpfwright.cli.problems import as_root
    print(f"bpfwright: for the real thing: {as_root(['demo'])}", file=sys.stderr)
    return 0


def traffic(server: str, friend: str, blocked: str, second: int) -> bytes:
    """A second of requests at the server's interface, as a capture: of two clients, one of whom is never answered."""
    from bpfwright.formats.pcap import write_capture
    from bpfwright.headers import TCP, Ethernet, IPv4
    packets = []
    for number in range(_REQUESTS):
        port = 20_000 + (second * _REQUESTS + number) % 40_000
        at = second * 10**9 + number * 10**9 // _REQUESTS
        for source, count in ((friend, _PER_REQUEST), (blocked, _RETRIES)):
            for place in range(count):
                packet = Ethernet() / IPv4(source=source, destination=server) / TCP(sport=port, dport=8080)
                data = bytes(packet) + (b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n" if place == 2 else b"")
                packets.append((at + place * 100_000, data))
    return write_capture(packets)
