"""Rules loaded on a machine, frames through them, and the sids that are told."""
from __future__ import annotations

from typing import Any

from bpfwright.datapath.facet import Hooked, Part
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.stage import Stage
from bpfwright.facets.intrusion.signatures.engine import Bounds, Engine, Found, Memory
from bpfwright.facets.intrusion.signatures.kernel import COUNTS, Limits
from bpfwright.facets.intrusion.signatures.loading import InKernel
from bpfwright.facets.intrusion.signatures.reading import read_rules
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6

__all__ = ["A", "B", "Bed", "Talk", "rules_of", "udp"]

A, B = "192.0.2.9", "198.51.100.1"
NEEDS = frozenset({"network", "transport"})


def rules_of(*options: str, header: str = "alert tcp any any -> any any") -> str:
    """Rules of one header, numbered from 1."""
    return "".join(f"{header} ({text} sid:{number};)\n" for number, text in enumerate(options, 1))


def udp(data: bytes, *, source: str = A, to: str = B, sport: int = 5000, dport: int = 53) -> Any:
    ip: Any = IPv6(source=source, destination=to) if ":" in source else IPv4(source=source, destination=to)
    return Ethernet() / ip / UDP(sport=sport, dport=dport) / data


class Bed:
    """Rules at XDP, and where `egress` says so at tc egress: what is loaded twice is compiled twice."""

    def __init__(self, machine: Any, rules: str, limits: Limits | None = None, bounds: Bounds | None = None,
                 *, egress: bool = False, **variables: str) -> None:
        read = read_rules(rules, "bed.rules", variables)
        assert not read.refused, read.refused
        self.kernel = InKernel(read.signatures, limits or Limits(ring_bytes=1 << 20))
        stages = [Hooked("eth0", hook, Stage("signatures", self.kernel.run[hook], NEEDS, ("blocked", "signature")))
                  for hook in ("xdp", "egress")[:1 + egress]]
        self.generation = Generation.load(plan_of({"bed": Part(stages, self.kernel.kept, fill=self.kernel.fill)}),
                                          machine)
        self.generation.fill()
        self.programs = {made.places[0].hook: made.program for made in self.generation.plan.made}
        self.engine = Engine(read.signatures, Memory(bounds))
        self.copies: list[Any] = []

    def run(self, *frames: Any, hook: str = "xdp") -> list[str]:
        """The actions."""
        return [self.generation.session.test_of(self.programs[hook], frame).action.name for frame in frames]

    def found(self) -> list[Found]:
        """What is told of the copies so far."""
        self.copies = self.generation.maps.taken(self.kernel.maps.copies)
        return self.engine.judge(self.copies)

    def say(self, *frames: Any, hook: str = "xdp") -> list[int]:
        """The sids that are told, after these frames."""
        self.run(*frames, hook=hook)
        return [each.rule.sid for each in self.found()]

    def count(self, word: str) -> int:
        return int(self.generation.maps(self.kernel.maps.counts)[COUNTS.index(word)].total())

    def close(self) -> None:
        self.generation.close()


class Talk:
    """A TCP connection through a bed: the client is outside, at XDP."""

    def __init__(self, bed: Bed, *, sport: int = 40000, dport: int = 80, start: int = 1000, opened: bool = True,
                 ) -> None:
        self.bed, self.sport, self.dport, self.start = bed, sport, dport, start
        if opened:
            bed.run(self.client(-1, syn=1))
            bed.run(self.server(-1, syn=1, ack=1), hook="egress")
            bed.run(self.client(0, ack=1))

    def client(self, place: int, data: bytes = b"", **flags: Any) -> Any:
        """A segment of the client's, `place` bytes behind its first."""
        return Ethernet() / IPv4(source=A, destination=B) / TCP(
            sport=self.sport, dport=self.dport, sequence=self.start + place & 0xFFFFFFFF, **(flags or {"ack": 1}),
        ) / data

    def server(self, place: int, data: bytes = b"", **flags: Any) -> Any:
        return Ethernet() / IPv4(source=B, destination=A) / TCP(
            sport=self.dport, dport=self.sport, sequence=self.start + place & 0xFFFFFFFF, **(flags or {"ack": 1}),
        ) / data

    def send(self, *segments: tuple[int, bytes]) -> list[int]:
        return self.bed.say(*(self.client(place, data) for place, data in segments))
