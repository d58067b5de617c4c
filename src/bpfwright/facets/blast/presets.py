"""Ready expressions by name. Addresses are of the ranges kept for benchmarks and documentation (RFC 2544, 3849)."""
from __future__ import annotations

from bpfwright._typing import NamedTuple

__all__ = ["PRESETS", "Preset"]

_FOUR = 'Ethernet() / IPv4(source={}"198.18.0.0/16"{}, destination="198.19.0.1")'
_IN_TURN, _BY_CHANCE = _FOUR.format("", ""), _FOUR.format("random(", ")")
_SIX = 'Ethernet() / IPv6(source=random("2001:db8:1::/64"), destination="2001:db8:2::1")'
_PORTS = "random(range(1024, 65536))"
# A question for the address of example.com.
_QUESTION = r"b'\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x07example\x03com\0\0\1\0\1'"


class Preset(NamedTuple):
    """An expression, the length of its frames (None: as written), and what it is."""

    text: str
    length: str | None
    about: str


PRESETS = {
    "udp": Preset(f"{_IN_TURN} / UDP(sport=range(1024, 65536), dport=9)", "60", "UDP from 65,536 addresses"),
    "udp6": Preset(f"{_SIX} / UDP(sport={_PORTS}, dport=9)", "80", "the same over IPv6"),
    "syn-flood": Preset(f"{_BY_CHANCE} / TCP(sport={_PORTS}, dport=80, sequence=random(), syn=1, "
                        "options=[MaximumSegment(size=1460)])", "60", "TCP SYNs from addresses by chance"),
    "dns": Preset(f"{_BY_CHANCE} / UDP(sport={_PORTS}, dport=53) / {_QUESTION}", None, "questions for example.com"),
    "icmp": Preset(f"{_IN_TURN} / ICMP(type=8, identifier=1, sequence=range(65536))", "98", "echo requests"),
    "imix": Preset(f"{_IN_TURN} / UDP(sport=range(1024, 65536), dport=9)", "imix",
                   "UDP of 60, 590 and 1514 bytes, 7:4:1"),
    "vlan": Preset(f"Ethernet() / Vlan(vid=range(1, 4095)) / {_IN_TURN.partition(' / ')[2]} / UDP(dport=9)", "64",
                   "UDP in every VLAN"),
    "vxlan": Preset(f"{_IN_TURN} / UDP(sport={_PORTS}, dport=4789) / VXLAN(vni=range(1, 4096)) / "
                    f"{_BY_CHANCE} / UDP(sport={_PORTS}, dport=9)", "128", "UDP in VXLAN"),
}
