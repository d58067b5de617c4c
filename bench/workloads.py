"""What the programs of bench/code_quality.py are run on: packets, map contents, and system calls that hit tracers."""
from __future__ import annotations

import os
import socket
from collections.abc import Callable
from struct import pack
from typing import NamedTuple

from bpfwright.headers import (TCP, UDP, Arp, Authentication, DestinationOptions, Ethernet, Fragment, HopByHop, IPv4,
                               IPv6, IPv6Option, Vlan)

PAD = [IPv6Option(kind=1, data=bytes(4))]
FRAME = Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02")
V4 = IPv4(source="192.0.2.7", destination="198.51.100.9", identification=1)
V6 = IPv6(source="2001:db8::7", destination="2001:db8:0:1::9")
SYN = TCP(sport=1024, dport=8080, syn=1)
TAG = Vlan(vid=7)

PACKETS: dict[str, bytes] = {name: bytes(packet).ljust(64, b"\0") for name, packet in {
    "tcp": FRAME / V4 / SYN / b"hello",
    "tcp, no syn": FRAME / V4 / TCP(sport=1024, dport=80, ack=1) / b"hello",
    "syn and ack": FRAME / V4 / TCP(sport=1024, dport=80, ack=1, syn=1),
    "udp": FRAME / V4 / UDP(sport=53, dport=5353) / b"hello",
    "other source": FRAME / IPv4(source="203.0.113.1", destination="198.51.100.9") / SYN,
    "options": FRAME / IPv4(source="192.0.2.7", destination="1.2.3.4", ihl=6, options=b"\x94\x04\0\0") / SYN,
    "later fragment": FRAME / IPv4(source="192.0.2.7", fragment_offset=5) / SYN,
    "short header": FRAME / IPv4(source="192.0.2.7", ihl=4) / SYN,
    "wrong checksum": FRAME / IPv4(source="192.0.2.7", checksum=0x1234) / SYN,
    "tcp6": FRAME / V6 / SYN / b"hello",
    "udp6": FRAME / V6 / UDP(sport=53, dport=8080),
    "tcp6 behind options": FRAME / V6 / HopByHop(options=PAD) / DestinationOptions(options=PAD) / SYN,
    "tcp6 behind fragment": FRAME / V6 / Fragment(identification=5) / SYN,
    "later fragment6": FRAME / V6 / Fragment(fragment_offset=9) / SYN,
    "tcp6 behind ah": FRAME / V6 / Authentication(check=bytes(12)) / SYN,
    "one tag": FRAME / TAG / V4 / SYN,
    "two tags": FRAME / TAG / TAG / V4 / SYN,
    "two tags, tcp6": FRAME / TAG / TAG / V6 / SYN,
    "three tags": FRAME / TAG / TAG / TAG / V4 / SYN,
    "arp": FRAME / Arp(operation=1),
}.items()}
PACKETS["cut ip"] = PACKETS["tcp"][:30]
PACKETS["cut tcp"] = PACKETS["tcp"][:50]
PACKETS["frame only"] = PACKETS["tcp"][:14]


class Work(NamedTuple):
    """How one program is run.

    `packet` names what it is timed on by test runs; without one it is attached and `drive(times)` hits it, so that the
    kernel's own statistics tell. `fill` is what its maps hold beforehand.
    """

    packet: str = ""
    fill: dict[str, list[tuple[bytes, bytes]]] = {}
    drive: Callable[[int], None] | None = None
    times: int = 20_000


def opening(times: int) -> None:
    for _ in range(times):
        os.close(os.open("/dev/null", os.O_RDONLY))


def writing(times: int) -> None:
    file = os.open("/dev/null", os.O_WRONLY)
    for _ in range(times):
        os.write(file, b"x")
    os.close(file)


def asking(times: int) -> None:
    for _ in range(times):
        os.getppid()


def ending(times: int) -> None:
    for _ in range(times):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def connecting(times: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _ in range(times):
            client.connect(("127.0.0.9", 4444))


BLOCKED = [(pack("=I", 24) + socket.inet_aton("192.0.2.0"), bytes(16))]
BACKENDS = [(pack("=I", i), bytes([2, 0, 0, 0, 1, i]) + pack("=HQ", i % 4, 0)) for i in range(64)]

WORK: dict[str, Work] = {
    "l2_counter": Work("tcp"), "firewall": Work("tcp", {"blocked": BLOCKED}), "ports": Work("tcp"),
    "limit": Work("tcp"), "reflect": Work("udp"), "syns": Work("tcp"), "balance": Work("tcp", {"backends": BACKENDS}),
    "checksum": Work("tcp"), "hashing": Work("tcp"), "marker": Work("tcp"), "flows": Work("tcp"),
    "samples": Work("tcp"),
    "opens": Work(drive=opening), "latency": Work(drive=writing), "exits": Work(drive=ending, times=400),
    "connects": Work(drive=connecting), "names": Work(drive=asking, times=50_000),
}
