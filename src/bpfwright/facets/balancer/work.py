"""What the forwarding path knows of a packet while it decides, and the layouts that it reads."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import ETHERNET, IPV4, IPV6, TAGGED, frame
from bpfwright.types import Struct, u16, u32, u64

__all__ = ["GO", "ICMP", "IPV4_RAW", "IPV6_RAW", "RARE", "REASONS", "RST", "SYN", "TAG_RAW", "Work", "empty_work",
           "layouts", "reason"]

IPV4_RAW, IPV6_RAW, TAG_RAW = 0x0008, 0xDD86, 0x0081  # EtherTypes as raw words
ICMP, SYN, RST = 1, 2, 4
GO = 1 << 16
"""A step's answer: the next step decides. Everything else is the stage's verdict."""

RARE = 1 << 18
"""Beside a verdict: so it is unless this is a packet of a translated connection, whose headers stand elsewhere."""

REASONS = ("short frame", "IP options", "fragment", "short ICMP", "short TCP or UDP", "frame too big",
           "no backend", "backend of an id is gone", "no room for headers", "translated", "no connection",
           "no room for connections", "no free port")


def reason(word: str) -> int:
    """The verdict that drops for a reason."""
    from bpfwright.datapath.stage import drop
    return drop(REASONS.index(word))


class Work(Struct):
    """A packet's flow and what was found out about it, in registers."""

    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64
    ports: u32           # raw: the source port below
    protocol: u32
    real: u32            # the backend's number, 0: none yet
    sport: u32           # raw: what the outer header's entropy is made of
    tos: u32
    bytes: u32           # IPv4: total length; IPv6: payload length
    marks: u32           # ICMP, SYN, RST
    payload: u32         # where the transport header's data begins
    mac: u64             # where the frame came to, raw
    inner_sum: u64


def empty_work() -> Work:
    """Nothing is known."""
    return Work(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


_PORTS: Any = (("ports", u32),)
_UDP: Any = (("ports", u32), ("size", u16), ("sum", u16))
_TCP: Any = (("ports", u32), ("sequence", u32), ("acknowledgement", u32), ("flags", u16), ("window", u16),
             ("sum", u16), ("urgent", u16))
_ICMP: Any = (("about", u16), ("sum", u16), ("rest", u32))


def _quoted(fields: Any) -> Any:
    return tuple((f"quoted_{name}", kind) for name, kind in fields)


class layouts:
    """The frames of one family, with so many VLAN tags."""

    def __init__(self, family: int, tags: int) -> None:
        ethernet = TAGGED if tags else ETHERNET
        ip = IPV4 if family == 4 else IPV6
        name = f"{family}{'t' * tags}"
        self.ip = frame(f"ip{name}", ethernet, ip)
        self.udp = frame(f"udp{name}", ethernet, ip, _UDP)
        self.tcp = frame(f"tcp{name}", ethernet, ip, _TCP)
        self.icmp = frame(f"icmp{name}", ethernet, ip, _ICMP)
        self.quoted = frame(f"quoted{name}", ethernet, ip, _ICMP, _quoted(ip))
        self.quoted_udp = frame(f"quoted_udp{name}", ethernet, ip, _ICMP, _quoted(ip), _UDP_QUOTED)
        self.quoted_tcp = frame(f"quoted_tcp{name}", ethernet, ip, _ICMP, _quoted(ip), _TCP_QUOTED)
        self.transport = 14 + 4 * tags + (20 if family == 4 else 40)


_UDP_QUOTED: Any = (("ports", u32), ("size", u16), ("udp_sum", u16))
_TCP_QUOTED: Any = (("ports", u32), ("sequence", u32), ("acknowledgement", u32), ("flags", u16), ("window", u16),
                    ("tcp_sum", u16), ("urgent", u16))
