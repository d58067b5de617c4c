"""A protocol of one's own, in one file: its header, and a rule. See net.yaml beside it for what is done with it."""
from bpfwright.headers import UDP
from bpfwright.spec.header import Header, Link
from bpfwright.types import L, be16, be32, bits, u8


class Telemetry(Header):
    """What sensors send to port 4790. Its fields are telemetry.kind, telemetry.sensor and so on in net.yaml."""

    follows = (Link(UDP, "dport", (4790,)),)
    version: bits[u8, L[4]] = 1
    kind: bits[u8, L[4]] = 0
    level: u8 = 0
    length: be16 = 0
    sensor: be32 = 0


def alarm(header: Telemetry) -> int:
    """telemetry.alarm: 1 where somebody should look at it."""
    return 1 if header.kind == 7 or header.level > 200 else 0
