"""What two rules of others ask for together, where one jumps to the other: values of a key that are of both."""
from __future__ import annotations

from bpfwright._typing import NamedTuple, Sequence
from bpfwright.datapath.words import DSCP, PROTOCOLS
from bpfwright.facets.firewall.elements import Ranges, span
from bpfwright.facets.firewall.matching import complement, intersection, merged
from bpfwright.facets.firewall.words import ETHERTYPES, SERVICES, STATES

__all__ = ["both", "none_left"]


class _Numbers(NamedTuple):
    """A key whose values are numbers up to `high`, or words for them."""

    words: dict[str, int]
    high: int

    def ranges(self, key: str, values: Sequence[str]) -> Ranges:
        """Numbers of these values."""
        return merged([span(each, self.words, self.high, key) for each in values])


_NUMBERS = {
    "protocol": _Numbers({**PROTOCOLS, "ipv6-icmp": 58}, 255), "ethertype": _Numbers(ETHERTYPES, 65535),
    "family": _Numbers({"ipv4": 4, "ipv6": 6}, 255), "state": _Numbers(STATES, 4), "length": _Numbers({}, 65535),
    "ttl": _Numbers({}, 255), "dscp": _Numbers(DSCP, 63), "vlan": _Numbers({}, 4095),
    "source-port": _Numbers(SERVICES, 65535), "destination-port": _Numbers(SERVICES, 65535),
}


def both(key: str, one: Sequence[str], two: Sequence[str]) -> list[str] | None:
    """Those of both, none of them perhaps; None where a key's values cannot be told apart. UsageError for what is no
    value."""
    if [*one] == [*two]:
        return [*one]
    if key in _NUMBERS:
        return _numbers(_NUMBERS[key], key, one, two)
    if key in ("source", "destination"):
        return _networks(one, two)
    if key == "tcp-flags":
        return _flags(one, two)
    return None


def none_left(key: str, wanted: Sequence[str], but: Sequence[str]) -> bool:
    """Whether all that is wanted is excluded, as far as it shows. UsageError for what is no value."""
    if key in _NUMBERS and not any(each.startswith("@") for each in (*wanted, *but)):
        kind = _NUMBERS[key]
        return not intersection(kind.ranges(key, wanted), complement(kind.ranges(key, but), kind.high + 1))
    if key in ("source", "destination"):
        return all(any(_networks([each], [other]) == [each] for other in but) for each in wanted)
    return set(wanted) <= set(but)


def _numbers(kind: _Numbers, key: str, one: Sequence[str], two: Sequence[str]) -> list[str] | None:
    if any(each.startswith("@") for each in (*one, *two)):
        return None
    ranges = [kind.ranges(key, values) for values in (one, two)]
    alone = {number: word for word, number in kind.words.items()}
    return [text for first, last in intersection(*ranges) for text in (
        [alone.get(number, str(number)) for number in range(first, last + 1)] if key in ("family", "state")
        else [f"{first}-{last}" if first < last else str(first)])]


def _networks(one: Sequence[str], two: Sequence[str]) -> list[str] | None:
    import ipaddress
    try:
        pairs = [(ipaddress.ip_network(a, False), ipaddress.ip_network(b, False)) for a in one for b in two]
    except ValueError:
        return None  # sets, and what is refused by its own rule
    found = []
    for a, b in pairs:
        if a.version == b.version and a.overlaps(b):
            found.append(str(a if a.prefixlen >= b.prefixlen else b))
    return list(dict.fromkeys(found))


def _flags(one: Sequence[str], two: Sequence[str]) -> list[str]:
    """Each value is one way to match: all ways of the one with all of the other."""
    joined = [dict.fromkeys([*a.split(), *b.split()]) for a in one for b in two]
    return [" ".join(flags) for flags in joined if not any(f"!{flag}" in flags for flag in flags)]
