"""ARP for IPv4 over Ethernet (RFC 826)."""
from __future__ import annotations

from bpfwright.headers.ethernet import Ethernet, MacAddress
from bpfwright.headers.ipv4 import IPv4
from bpfwright.headers.vlan import Vlan
from bpfwright.spec.header import Header, Link
from bpfwright.types import be16, u8

__all__ = ["Arp"]


class Arp(Header):
    """A question (`operation` 1) or an answer (2)."""

    follows = (Link(Ethernet, "protocol", (0x0806,)), Link(Vlan, "protocol", (0x0806,)))
    hardware: be16 = 1
    protocol: be16 = 0x0800
    hardware_size: u8 = 6
    protocol_size: u8 = 4
    operation: be16 = 1
    sender_mac: MacAddress = MacAddress("00:00:00:00:00:00")
    sender: IPv4.Address = IPv4.Address("0.0.0.0")
    target_mac: MacAddress = MacAddress("00:00:00:00:00:00")
    target: IPv4.Address = IPv4.Address("0.0.0.0")
