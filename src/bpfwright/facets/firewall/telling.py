"""Packets that rules tell of: lines of a log, and samples in a capture."""
from __future__ import annotations

from bpfwright import _host
from bpfwright._typing import Any, Callable, NamedTuple, Sequence
from bpfwright.datapath.buckets import Bucket
from bpfwright.facets.firewall.model import Rule
from bpfwright.facets.firewall.tokens import SAMPLES, SCALE, take
from bpfwright.helpers import now_ns, random_u32
from bpfwright.maps import Array, RingBuf
from bpfwright.types import L, Struct, array, u8, u32, u64

__all__ = ["SNAP", "Teller", "Told"]

SNAP = 256
"""Bytes of a packet that are kept."""
_LOG, _SAMPLE = 1, 2


class Told(Struct):
    """A packet of a rule (its bit): `what` says whether it is for the log, for the capture, or for both."""

    time_ns: u64
    ifindex: u32
    length: u32
    rule: u32
    what: u32
    outward: u32
    kept: u32
    data: array[u8, L[256]]  # SNAP


class Teller(NamedTuple):
    """The ring, the buckets of what rules log, and the files."""

    ring: Any
    buckets: Any
    log: str
    samples: str

    @classmethod
    def of(cls, rules: int, log: str, samples: str) -> Teller:
        """For bits of so many rules."""
        return cls(RingBuf[Told](size_bytes=1 << 20), Array[Bucket](max_entries=rules), log, samples)

    def tell(self, outward: bool) -> Callable[..., Any]:
        """`tell(ctx, packet, number, action)` of a hook."""
        ring, buckets = self.ring, self.buckets

        def tell(ctx: Any, packet: Any, number: Any, action: Any) -> None:
            what = 0
            if action.log_interval != 0:
                bucket = buckets.get(number)
                if bucket is not None and take(bucket, packet, action.log_interval >> SCALE, action.log_burst_ns):
                    what = _LOG
            if action.flags & SAMPLES and random_u32() <= action.sample:
                what |= _SAMPLE
            if what == 0:
                return
            with ring.reserve() as event:
                if event is not None:
                    event.time_ns = now_ns()
                    event.ifindex = ctx.ifindex
                    event.length = ctx.length
                    event.rule = number
                    event.what = what
                    event.outward = outward
                    event.kept = min(ctx.length, SNAP)
                    if not ctx.fetch(0, event.data, size=event.kept):
                        event.kept = 0

        return tell

    def write(self, maps: Any, rules: Sequence[Rule], bits: Sequence[int]) -> None:
        """Write what came since into the files."""
        events = maps.taken(self.ring)
        if not events:
            return
        since = _host.wall_ns() - _host.now_ns()
        names = dict(zip(bits, rules, strict=True))
        logged = [_line(event, names[event.rule], since) for event in events if event.what & _LOG]
        if logged:
            with open(self.log, "a", encoding="utf-8") as file:
                file.writelines(logged)
        kept = [event for event in events if event.what & _SAMPLE]
        if kept:
            self._sampled(kept, since)

    def _sampled(self, events: list[Any], since: int) -> None:
        from bpfwright.formats.pcap import capture_header, capture_record
        with open(self.samples, "ab") as file:
            if file.tell() == 0:
                file.write(capture_header())
            for event in events:
                file.write(capture_record(event.time_ns + since, _data(event), event.length))


def _data(event: Any) -> bytes:
    return bytes(event.data[:event.kept])


def _line(event: Any, rule: Rule, since: int) -> str:
    import json
    from socket import if_indextoname
    try:
        interface = if_indextoname(event.ifindex)
    except OSError:  # it is gone
        interface = str(event.ifindex)
    found = {"time": (event.time_ns + since) / 1e9, "rule": rule.name, "action": rule.action, "interface": interface,
             "direction": "out" if event.outward else "in", "length": event.length, **_ends(_data(event))}
    if rule.prefix:
        found["prefix"] = rule.prefix
    return json.dumps(found) + "\n"


def _ends(data: bytes) -> dict[str, Any]:
    """What the headers say, as far as they go."""
    from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6
    from bpfwright.spec.packet import Packet
    packet = Packet.parse(data)
    found: dict[str, Any] = {}
    frame: Any = packet.find(Ethernet)
    if frame is not None:
        found |= {"source_mac": str(frame.source), "destination_mac": str(frame.destination)}
    ip: Any = packet.find(IPv4) or packet.find(IPv6)
    if ip is not None:
        protocol = ip.protocol if isinstance(ip, IPv4) else ip.next_header
        found |= {"source": str(ip.source), "destination": str(ip.destination), "protocol": int(protocol)}
    transport: Any = packet.find(TCP) or packet.find(UDP)
    if transport is not None:
        found |= {"source_port": transport.sport, "destination_port": transport.dport}
    return found
