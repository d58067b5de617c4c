"""Packet headers, one file each; a name is imported from its file when it is first asked for.

Written by scripts/generate_headers.py from the `__all__` of the files beside it.
"""
from __future__ import annotations

from importlib import import_module

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING
from bpfwright.spec.packet import Packet, catalogue

if TYPE_CHECKING:
    from bpfwright.headers.arp import Arp
    from bpfwright.headers.ethernet import Ethernet, MacAddress
    from bpfwright.headers.geneve import Geneve, GeneveOption
    from bpfwright.headers.gre import GRE
    from bpfwright.headers.gue import GUE
    from bpfwright.headers.icmp import ICMP
    from bpfwright.headers.icmpv6 import ICMPv6
    from bpfwright.headers.ipv4 import IPv4, IPv4Option
    from bpfwright.headers.ipv6 import IPv6
    from bpfwright.headers.ipv6_extensions import (Authentication, DestinationOptions, Fragment,
        HopByHop, IPv6Option, Routing)
    from bpfwright.headers.mpls import MPLS
    from bpfwright.headers.sctp import SCTP
    from bpfwright.headers.tcp import MaximumSegment, Sack, SackPermitted, TCP, TcpOption, Timestamps, WindowScale
    from bpfwright.headers.udp import UDP
    from bpfwright.headers.vlan import Vlan
    from bpfwright.headers.vxlan import VXLAN

__all__ = ["Arp", "Authentication", "DestinationOptions", "Ethernet", "Fragment", "GRE", "GUE", "Geneve",
    "GeneveOption", "HopByHop", "ICMP", "ICMPv6", "IPv4", "IPv4Option", "IPv6", "IPv6Option", "MPLS", "MacAddress",
    "MaximumSegment", "Packet", "Routing", "SCTP", "Sack", "SackPermitted", "TCP", "TcpOption", "Timestamps", "UDP",
    "VXLAN", "Vlan", "WindowScale"]

_FILES = {
    "Arp": "arp", "Authentication": "ipv6_extensions", "DestinationOptions": "ipv6_extensions",
    "Ethernet": "ethernet", "Fragment": "ipv6_extensions", "GRE": "gre", "GUE": "gue", "Geneve": "geneve",
    "GeneveOption": "geneve", "HopByHop": "ipv6_extensions", "ICMP": "icmp", "ICMPv6": "icmpv6", "IPv4": "ipv4",
    "IPv4Option": "ipv4", "IPv6": "ipv6", "IPv6Option": "ipv6_extensions", "MPLS": "mpls", "MacAddress": "ethernet",
    "MaximumSegment": "tcp", "Routing": "ipv6_extensions", "SCTP": "sctp", "Sack": "tcp", "SackPermitted": "tcp",
    "TCP": "tcp", "TcpOption": "tcp", "Timestamps": "tcp", "UDP": "udp", "VXLAN": "vxlan", "Vlan": "vlan",
    "WindowScale": "tcp",
}


if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)


def _load_all() -> None:
    for file in sorted(set(_FILES.values())):
        import_module(f"{__name__}.{file}")


catalogue(_load_all)
