"""What is detected, what an alert holds, and what the section of net.yaml asks for."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, NamedTuple
from bpfwright.types import Struct, u8, u16, u32, u64

if TYPE_CHECKING:
    from bpfwright.facets.intrusion.watches import Watch
    from bpfwright.facets.intrusion.signatures.section import Wanted

__all__ = ["ALERTS", "Alert", "Beacon", "Flood", "Kind", "Scan", "Settings"]


class Kind(NamedTuple):
    """A kind of alert: `signature` and `category` as EVE has them, `severity` from 1 (worst) to 3."""

    name: str
    signature: str
    category: str
    severity: int


ALERTS = (
    Kind("scan", "port scan", "Attempted Information Leak", 2),
    Kind("slow-scan", "slow port scan", "Attempted Information Leak", 2),
    Kind("syn-flood", "SYN flood", "Attempted Denial of Service", 1),
    Kind("udp-flood", "UDP flood", "Attempted Denial of Service", 1),
    Kind("icmp-flood", "ICMP flood", "Attempted Denial of Service", 1),
    Kind("tiny-fragment", "first fragment without room for its header (RFC 1858)", "Potentially Bad Traffic", 2),
    Kind("second-fragment", "fragment that rewrites a TCP header (RFC 3128)", "Potentially Bad Traffic", 1),
    Kind("arp-change", "an address answers from another MAC address", "Potentially Bad Traffic", 1),
    Kind("dns-guessing", "many DNS answers with other ids to one port", "Potentially Bad Traffic", 1),
    Kind("beacon", "connections at even intervals", "A Network Trojan was detected", 2),
)
"""By the number that programs write."""


class Alert(Struct):
    """An alert: `value` is what was counted or seen, of `limit`. Numbers in host order, IPv4 addresses mapped."""

    time_ns: u64
    value: u64
    limit: u64
    source_high: u64
    source_low: u64
    destination_high: u64
    destination_low: u64
    ifindex: u32
    kind: u16
    source_port: u16
    destination_port: u16
    protocol: u8
    family: u8
    blocked: u32


class Scan(NamedTuple):
    """So many ports or hosts of one source within a time."""

    targets: int
    window_s: float


class Flood(NamedTuple):
    """Packets a second to one destination; 0: not looked for."""

    syn: int = 0
    udp: int = 0
    icmp: int = 0


class Beacon(NamedTuple):
    """So many connections of one source to one service, at intervals that differ by at most an eighth."""

    connections: int
    least_s: float


class Settings(NamedTuple):
    """The section as it was read; None and 0 are detectors that are off."""

    interfaces: tuple[str, ...]
    scan: Scan | None
    slow_scan: Scan | None
    flood: Flood
    fragments: bool
    arp: bool
    dns: int
    beacon: Beacon | None
    block_s: float
    log: str
    entries: int
    signatures: Wanted | None = None
    watches: tuple[Watch, ...] = ()
