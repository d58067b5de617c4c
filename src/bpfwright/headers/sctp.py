"""SCTP (RFC 9260)."""
from __future__ import annotations

from bpfwright.headers.ipv6_extensions import over_ip
from bpfwright.spec.header import Checksum, Header
from bpfwright.types import be16, be32

__all__ = ["SCTP"]

_POLYNOMIAL = 0x82F63B78  # CRC32c, reflected (RFC 9260, appendix A)
_table: list[int] = []


def _crc32c(data: bytes) -> int:
    """The checksum as it reads in its big-endian field: the CRC goes out least significant byte first."""
    if not _table:
        for crc in range(256):
            for _ in range(8):
                crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
            _table.append(crc)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _table[(crc ^ byte) & 0xFF]
    return int.from_bytes((crc ^ 0xFFFFFFFF).to_bytes(4, "little"), "big")


class SCTP(Header):
    """The common header; chunks follow as payload."""

    follows = over_ip(132)
    checksum_rule = Checksum("checksum", compute=_crc32c)
    sport: be16 = 0
    dport: be16 = 0
    tag: be32 = 0
    checksum: be32 = 0
