"""Words that stand for numbers in rules: ICMP types, TCP flags, states, services; see datapath/words.py, too."""
from __future__ import annotations

from bpfwright._typing import Sequence
from bpfwright.errors import UsageError

__all__ = ["ETHERTYPES", "FLAGS", "ICMP", "ICMPV6", "SERVICES", "STATES", "number_of"]

ICMP = {"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
        "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
        "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
        "address-mask-request": 17, "address-mask-reply": 18}
ICMPV6 = {"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
          "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
          "mld-listener-done": 132, "nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135,
          "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138, "ind-neighbor-solicit": 141,
          "ind-neighbor-advert": 142, "mld2-listener-report": 143}
FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "ece": 64, "cwr": 128}
ETHERTYPES = {"ip": 0x0800, "ipv4": 0x0800, "arp": 0x0806, "vlan": 0x8100, "ip6": 0x86DD, "ipv6": 0x86DD,
              "pppoe": 0x8864, "lldp": 0x88CC}
STATES = {"untracked": 0, "new": 1, "established": 2, "related": 3, "invalid": 4}
SERVICES = {"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69,
            "http": 80, "pop3": 110, "ntp": 123, "imap": 143, "snmp": 161, "bgp": 179, "ldap": 389, "https": 443,
            "submission": 587, "imaps": 993, "pop3s": 995, "mysql": 3306, "postgresql": 5432}


def number_of(text: str, words: dict[str, int], high: int, what: str) -> int:
    """The number that a word stands for, or that is written as digits or 0x; UsageError."""
    found = words.get(text)
    if found is not None:
        return found
    try:
        value = int(text, 0)
    except ValueError:
        raise UsageError(f"{text!r} is no {what}", cure=_near(text, list(words)) or "Write a number.") from None
    if not 0 <= value <= high:
        raise UsageError(f"{value} is no {what}", cure=f"It is from 0 to {high}.")
    return value


def _near(text: str, known: Sequence[str]) -> str:
    import difflib
    close = difflib.get_close_matches(text, known, 1)
    return f"Did you mean {close[0]}?" if close else ""
