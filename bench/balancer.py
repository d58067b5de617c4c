"""The balancer's path: what a packet of a known connection costs, beside a program that drops at once.

    .venv/bin/python bench/balancer.py [--quick] [--million] [--changes N] [--nat]

Test runs with repeat=1, since the program grows the packet: each is one call, so caches hold what calls leave of them.
Both programs see the same frames in turns, all cases in each round; the medians of the best round count, the median of
all rounds stands beside: with 1,000 flows it is what other jobs on the machine leave of the caches. `--million`:
1,000,000 flows, each seen once in turn; what that costs above 1,000 is the look-up's share. `--changes`: so many
configurations in place while packets of known connections go through; how many connections moved. `--nat`: packets of
known connections that are translated, there at XDP and back at tc egress.
"""
from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring

BARS = {"ipip": 2.5, "gue": 4.5}
SOURCES = {"ipip": "", "gue": "source: [192.0.2.1, '2001:db8::1']"}
PATHS = {"IPv4 in IPv4": ("198.51.100.80", 80), "IPv4 in IPv6": ("198.51.100.80", 81),
         "IPv6 in IPv6": ("2001:db8::80", 80)}
TEXT = """hash: katran
gateway: 02:00:00:00:00:fe
encapsulation: {kind}
connections: {connections}
{source}
vips:
- {{address: 198.51.100.80, port: 80, backends: [10.0.0.1, 10.0.0.2, 10.0.0.3]}}
- {{address: 198.51.100.80, port: 81, backends: ["2001:db8:1::1", "2001:db8:1::2"]}}
- {{address: "2001:db8::80", port: 80, backends: ["2001:db8:1::1", "2001:db8:1::2"]}}
"""


class Flows:
    """So many flows to a VIP, as one frame whose source is written over."""

    def __init__(self, vip: str, dport: int, count: int) -> None:
        from bpfwright.headers import TCP, Ethernet, IPv4, IPv6
        segment = TCP(sport=1, dport=dport, ack=1)
        ip: Any = IPv4(source="10.0.0.0", destination=vip) if "." in vip else IPv6(source="fc00::", destination=vip)
        self.frame = bytearray(bytes(Ethernet(destination="02:00:00:00:00:01") / ip / segment))
        self.address, self.port = (34, 54) if ":" in vip else (26, 34)
        chance = random.Random(1)
        self.sources = [(chance.randrange(1 << 24).to_bytes(4, "big"), chance.randrange(1024, 65536).to_bytes(2, "big"))
                        for _ in range(count)]

    def __iter__(self) -> Iterator[bytes]:
        frame, at, port = self.frame, self.address, self.port
        for source, sport in self.sources:
            frame[at:at + 4] = source
            frame[port:port + 2] = sport
            yield bytes(frame)


def spent(program: Any, frames: list[bytes]) -> float:
    """The median of single runs, in ns."""
    run = program.test_run
    return statistics.median([run(frame, repeat=1).duration_ns for frame in frames])


def main() -> int:
    from bpfwright import load
    from bpfwright.hooks import xdp
    from bpfwright.kernel import Kernel
    from tests.facets.balancer.loaded import balancing

    @xdp.program
    def drop(ctx: xdp.Context) -> xdp.Action:
        return xdp.DROP

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="five rounds")
    parser.add_argument("--million", action="store_true", help="a million connections too")
    parser.add_argument("--changes", type=int, default=0, help="configurations in place, under packets")
    parser.add_argument("--nat", action="store_true", help="translated connections too")
    chosen = parser.parse_args()
    rounds = 5 if chosen.quick else chosen.rounds
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    machine = Kernel()
    rows: list[list[object]] = []
    missed = False
    with ExitStack() as stack:
        dropped = stack.enter_context(load(drop, machine=machine)).program(drop)
        cases: list[tuple[str, Any, list[bytes], float]] = []
        for kind, bar in BARS.items():
            text = TEXT.format(kind=kind, source=SOURCES[kind], connections="1M")
            program = stack.enter_context(balancing(text, machine)).program
            cases += [(f"{kind} {path}, {count:,} flows", program, list(Flows(*end, count)), bar)
                      for path, end in PATHS.items() for count in (1, 100, 1000)]
        found: list[list[tuple[float, float]]] = [[] for _ in cases]
        for _ in range(rounds):
            for (_, program, frames, _), pairs in zip(cases, found, strict=True):
                spent(program, frames)  # into the table, and hot
                again = frames * (1000 // len(frames))
                pairs.append((spent(program, again), spent(dropped, again)))
        for (name, _, _, bar), pairs in zip(cases, found, strict=True):
            ours, floor = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
            median = statistics.median(pair[0] / pair[1] for pair in pairs)
            rows.append([name, ours, floor, ours / floor, median, bar])
            missed |= ours / floor > bar
    print(f"{measuring.machine()}\n")
    print(measuring.table(["a packet of a known connection", "ns", "drop ns", "ratio", "median", "bar"], rows))
    if chosen.million:
        _million(machine)
    if chosen.nat:
        _translation(machine, rounds)
    if chosen.changes:
        missed |= _changes(machine, chosen.changes)
    print(f"\nbars: {measuring.verdict(not missed)}")
    return int(missed)


def _million(machine: Any) -> None:
    """Each of a million connections once, after all were put into the table."""
    from tests.facets.balancer.loaded import balancing
    rows: list[list[object]] = []
    for path in ("IPv4 in IPv4", "IPv6 in IPv6"):
        text = TEXT.format(kind="ipip", source="", connections="2M")
        with balancing(text, machine) as balancer:
            vip, dport = PATHS[path]
            hot = list(Flows(vip, dport, 1000)) * 3
            spent(balancer.program, hot)
            few = spent(balancer.program, hot)
            run, flows = balancer.program.test_run, Flows(vip, dport, 1_000_000)
            for frame in flows:
                run(frame, repeat=1)
            misses = balancer.counters()["misses"]
            many = statistics.median([run(frame, repeat=1).duration_ns for frame in flows])
            again = balancer.counters()["misses"] - misses
            rows.append([path, few, many, many - few, f"{(many - few) / many:.0%}", again])
    print()
    print(measuring.table(["1,000,000 flows (IPIP)", "1,000: ns", "ns", "look-up's share", "of it", "lost"], rows))


NAT = """nat-connections: 4k
vips:
- {address: 198.51.100.80, port: 80, mode: nat, backends: [10.0.0.1]}
- {address: "2001:db8::80", port: 80, mode: nat, backends: ["2001:db8:1::1"]}
"""


def _turned(frame: bytes) -> bytes:
    """The answer to a frame."""
    size, at = (16, 22) if frame[12:14] == b"\x86\xdd" else (4, 26)
    ports = at + 2 * size
    return (frame[:at] + frame[at + size:ports] + frame[at:at + size] + frame[ports + 2:ports + 4]
            + frame[ports:ports + 2] + frame[ports + 4:])


def _translation(machine: Any, rounds: int) -> None:
    from tests.facets.balancer.loaded import balancing
    rows: list[list[object]] = []
    with balancing(NAT, machine) as balancer:
        for family, vip in (("IPv4", "198.51.100.80"), ("IPv6", "2001:db8::80")):
            frames = list(Flows(vip, 80, 1000))
            flags = 47 if family == "IPv4" else 67
            opening = [frame[:flags] + b"\x02" + frame[flags + 1:] for frame in frames]
            answers = [_turned(balancer.send(frame)[1]) for frame in opening]
            assert balancer.egress is not None
            for way, program, these in (("there", balancer.program, frames), ("back", balancer.egress, answers)):
                for count in (1, 1000):
                    again = these[:count] * (1000 // count)
                    found = [spent(program, again) for _ in range(rounds)]
                    rows.append([f"{family} {way}, {count:,} flows", min(found), statistics.median(found)])
        assert balancer.counters()["nat_new"] >= 1990 and "nat_unknown" not in balancer.counters()
    print()
    print(measuring.table(["a packet that is translated", "ns", "median"], rows))


def _changes(machine: Any, count: int) -> bool:
    """Configurations in place, one behind the other, a few packets of known connections between any two."""
    from tests.facets.balancer.loaded import balancing
    stay = "10.0.0.1, 10.0.0.2, 10.0.0.3"
    changes = [f"{stay}, 10.0.0.4", "10.0.0.1, {backend: 10.0.0.2, weight: 5}, 10.0.0.3",
               "10.0.0.3, 10.0.0.2, {backend: 10.0.0.1, weight: 0}, 10.0.0.5", f"{stay}, 10.0.0.6, 10.0.0.7", stay]
    base = TEXT.format(kind="ipip", source="", connections="64k")
    with balancing(base, machine) as balancer:
        frames = list(Flows("198.51.100.80", 80, 1000))
        home = {frame: balancer.send(frame)[1][30:34] for frame in frames}
        moved, sent = 0, 0
        began = time.perf_counter()
        for number in range(count):
            balancer.refill(base.replace(f"[{stay}]", f"[{changes[number % len(changes)]}]"))
            for frame in frames[number % 50::50]:
                moved += balancer.send(frame)[1][30:34] != home[frame]
                sent += 1
        spent_s = time.perf_counter() - began
    print(f"\n{count:,} configurations in place, {sent:,} packets of {len(frames):,} connections between them: "
          f"{moved} connections moved ({1e3 * spent_s / count:.1f} ms a change)")
    return moved > 0


if __name__ == "__main__":
    sys.exit(main())
