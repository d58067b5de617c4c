"""Words that stand for numbers wherever packets are matched: protocols, and classes of DSCP."""
from __future__ import annotations

__all__ = ["DSCP", "PROTOCOLS"]

PROTOCOLS = {"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
             "icmpv6": 58, "icmp6": 58, "ospf": 89, "sctp": 132, "udplite": 136}
"""As IANA numbers them; `icmp6` is what pcap-filter(7) calls icmpv6."""
DSCP = {"be": 0, "le": 1, "lephb": 1, **{f"cs{n}": 8 * n for n in range(8)}, "ef": 46, "va": 44,
        **{f"af{n}{m}": 8 * n + 2 * m for n in range(1, 5) for m in range(1, 4)}}
"""RFC 2474, 2597, 3246, 5865, 8622; `lephb` is what nft prints."""
