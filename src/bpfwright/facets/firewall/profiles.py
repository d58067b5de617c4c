"""Ready rules against amplification and floods: section `protect`."""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.facets.firewall.matching import Matching
from bpfwright.facets.firewall.model import Limit, Rule
from bpfwright.facets.firewall.rules import rate_of
from bpfwright.facets.firewall.sets import Sets

__all__ = ["REFLECTORS", "profiles"]

REFLECTORS = {
    "qotd": 17, "chargen": 19, "domain": 53, "tftp": 69, "sunrpc": 111, "ntp": 123, "netbios": 137, "snmp": 161,
    "cldap": 389, "slp": 427, "rip": 520, "openvpn": 1194, "l2tp": 1701, "ssdp": 1900, "ard": 3283, "rdp": 3389,
    "stun": 3478, "ws-discovery": 3702, "sip": 5060, "mdns": 5353, "coap": 5683, "bittorrent": 6881, "ubnt": 10001,
    "memcached": 11211, "source-engine": 27015, "quake": 27960, "fivem": 30120, "dvr-dhcpdiscover": 37810,
}
"""Services over UDP that answer whoever asks with much more than was asked, and whose address is in the question."""


class _Profile(NamedTuple):
    """Rules that continue: matches by key, what their limits are for, and how drops are counted."""

    per: str
    reason: str
    matches: list[dict[str, list[str]]]


_STRANGE = ["new", "invalid"]  # what nobody here asked for
PROFILES = {
    "amplification": _Profile("rule", "amplification", [
        {"protocol": ["udp"], "source-port": [str(port) for port in sorted(REFLECTORS.values())], "state": _STRANGE},
        {"protocol": ["udp"], "fragment": ["later"]},
    ]),
    "syn": _Profile("source", "SYN flood", [{"protocol": ["tcp"], "tcp-flags": ["syn !ack"]}]),
    "udp": _Profile("source", "UDP flood", [{"protocol": ["udp"]}]),
    "icmp": _Profile("source", "ICMP flood", [
        {"protocol": ["icmp"]}, {"family": ["ipv6"], "icmpv6-type": ["1-4", "128-129"]}]),
    "fragments": _Profile("source", "fragments", [{"fragment": ["first", "later"]}]),
}
"""By key of `protect`, whose value is the rate."""


def profiles(section: Section | None, sets: Sets) -> list[Rule]:
    """The rules of the profiles that are asked for; they stand before all others."""
    found: list[Rule] = []
    for name, profile in PROFILES.items() if section is not None else ():
        assert section is not None
        given = section.scalar(name)
        if given is None:
            continue
        rate = rate_of(given)
        for number, words in enumerate(profile.matches):
            matching = Matching(sets, section.file, f"profile {name}")
            matching.take(Section({key: [Scalar(each, section.file, given.line, key) for each in value]
                                   for key, value in words.items()}, section.file, given.line, name), True)
            found.append(Rule(f"protect {name}" + f" {number + 1}" * (len(profile.matches) > 1), "continue", given.line,
                              profile.reason, Limit(rate, max(rate, 1.0), False, profile.per),
                              ranges=matching.ranges(given.line), file=section.file))
    if section is not None:
        section.done()
    return found
