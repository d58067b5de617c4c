"""The fields of `match` and `not`: each key's words as ranges of a field's numbers, or as sets of addresses."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NoReturn
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.datapath.protocols import OwnField
from bpfwright.datapath.words import DSCP, PROTOCOLS
from bpfwright.errors import ConfigurationError, UsageError
from bpfwright.facets.firewall import elements as e
from bpfwright.facets.firewall import words as w
from bpfwright.facets.firewall.elements import Ranges
from bpfwright.facets.firewall.model import DOMAINS, Look, Mark, Ports
from bpfwright.facets.firewall.sets import Sets, port

__all__ = ["BASES", "Matching", "behind_none", "complement", "hexadecimal", "intersection", "mark_of", "merged"]

_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_FOUR, _SIX = 256, 512  # where a family's protocols begin
Groups = dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]


class Matching:
    """What a rule asks for, gathered key by key."""

    def __init__(self, sets: Sets, file: str, rule: str) -> None:
        self._sets = sets
        self._file = file
        self._rule = rule
        self._ranges: dict[str, Ranges] = {}
        self.networks: Groups = {}
        self.endpoints: Groups = {}
        self.macs: Groups = {}
        self.looks: dict[Look, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self.asked_ports: dict[str, tuple[Ports, ...]] = {}

    def take(self, section: Section, wanted: bool) -> None:
        """Read `match` (wanted) or `not`."""
        for key, reader in _KEYS.items():
            if key in section:
                values = section.scalars(key)
                if not values:
                    section.wrong("nothing is listed here", "Leave the key out, or list something.", at=key)
                reader(self, key, values, wanted)
        inside = section.section("bytes")
        if inside is not None:
            self._bytes(inside, wanted)
        for key, own in section.sources.own_fields.items():
            if key in section:
                self._own(own, section.scalars(key), wanted)
        for key in _KEYS:
            section.value(key)
        section.done()

    @property
    def ports(self) -> dict[str, tuple[Ports, ...]]:
        """What made the ranges of ports, where sets had a part in it."""
        return {key: asked for key, asked in self.asked_ports.items() if any(each.sets for each in asked)}

    @property
    def fields(self) -> frozenset[str]:
        """The fields with ranges that were asked for."""
        return frozenset(self._ranges)

    def ranges(self, line: int) -> dict[str, Ranges]:
        """Ranges by field. ConfigurationError when nothing can match."""
        for field, found in self._ranges.items():
            if not found:
                raise ConfigurationError(f"{self._rule} can match no packet: nothing is left of {field}",
                                         file=self._file, line=line,
                                         cure="Take out what contradicts: of a field, all that is asked for holds at "
                                              "once (ports are those of TCP and UDP).")
        return dict(self._ranges)

    def narrow(self, field: str, ranges: Ranges, wanted: bool = True) -> None:
        """A field must be in these ranges, or must not."""
        chosen = ranges if wanted else complement(ranges, DOMAINS[field])
        known = self._ranges.get(field)
        self._ranges[field] = chosen if known is None else intersection(known, chosen)

    def protocols(self, *numbers: int, family: int = 0) -> None:
        """It must be one of these protocols, of a family or any."""
        starts = (_FOUR, _SIX) if not family else (family,)
        self.narrow("protocol", merged([(start + number, start + number) for start in starts for number in numbers]))

    def _group(self, groups: Groups, field: str, found: tuple[Any, ...], wanted: bool) -> None:
        yes, no = groups.get(field, ((), ()))
        groups[field] = (yes + found, no) if wanted else (yes, no + found)

    def _bytes(self, section: Section, wanted: bool) -> None:
        """Places with what stands there, as `payload+0: [47455420, 48454144]`; with /mask not all bits count."""
        for place in section:
            values = [value.parsed(hexadecimal) for value in section.scalars(place)]
            base, plus, digits = place.partition("+")
            if base not in BASES or not plus or not digits.isascii() or not digits.isdigit() or int(digits) > 2047:
                section.wrong("this is no place in a packet", f"Write one of {', '.join(BASES)} and how far behind its "
                              "beginning, as payload+0.", at=place)
            if not values or len({(size, mask) for _, size, mask in values}) > 1:
                section.wrong("values of one place have one length and one mask", "Write another rule for the others.",
                              at=place)
            _, size, mask = values[0]
            self._look(Look(base, int(digits), size, mask), [value for value, _, _ in values], wanted)

    def _own(self, own: OwnField, values: list[Scalar], wanted: bool) -> None:
        found = [value.number(0, (1 << own.bits) - 1) for value in values]
        self._look(Look("own", 0, 8, (1 << own.bits) - 1, own), found, wanted)

    def _look(self, look: Look, values: list[int], wanted: bool) -> None:
        yes, no = self.looks.get(look, ((), ()))
        self.looks[look] = ((*yes, *values), no) if wanted else (yes, (*no, *values))

    # keys

    def mark(self, key: str, values: list[Scalar], wanted: bool) -> None:
        found = [value.parsed(mark_of) for value in values]
        if len({each.mask for each in found}) > 1:
            values[0].wrong("marks of one rule have one mask", "Write another rule for the others.")
        self._look(Look("mark", 0, 4, found[0].mask), [each.value for each in found], wanted)

    def family(self, key: str, values: list[Scalar], wanted: bool) -> None:
        start = {"ipv4": _FOUR, "ipv6": _SIX, "none": 0}
        found = [start[value.choice(tuple(start))] for value in values]
        self.narrow("protocol", merged([(each, each + 255) for each in found]), wanted)

    def protocol(self, key: str, values: list[Scalar], wanted: bool) -> None:
        found = _spans(values, PROTOCOLS, 255, "protocol")
        self.narrow("protocol", merged([(start + low, start + high) for start in (_FOUR, _SIX) for low, high in found]),
                    wanted)

    def address(self, key: str, values: list[Scalar], wanted: bool) -> None:
        named = [self._sets.named(value, "networks") for value in values if value.text.startswith("@")]
        inline = [value.parsed(e.one_network) for value in values if not value.text.startswith("@")]
        if inline:
            named.append(self._sets.inline(e.networks(inline)))
        self._group(self.networks, key, tuple(named), wanted)

    def of_port(self, key: str, values: list[Scalar], wanted: bool) -> None:
        named = [self._sets.named(value, "ports") for value in values if value.text.startswith("@")]
        others = [value.parsed(port) for value in values if not value.text.startswith("@")]
        found = _checked([*others, *(each for name in named for each in self._sets.ports[name])], values[0])
        self.asked_ports[key] = (*self.asked_ports.get(key, ()), Ports(tuple(named), tuple(others), wanted))
        self.narrow(key, behind_none(found), wanted)
        self.narrow(key, ((1, 65536),))
        self.protocols(_TCP, _UDP)

    def endpoint(self, key: str, values: list[Scalar], wanted: bool) -> None:
        for value in values:
            if not value.text.startswith("@"):
                value.wrong("endpoints are sets", "Declare one under `sets` with `kind: endpoints`, and write @NAME.")
        self._group(self.endpoints, key, tuple(self._sets.named(value, "endpoints") for value in values), wanted)
        self.protocols(_TCP, _UDP)

    def icmp(self, key: str, values: list[Scalar], wanted: bool) -> None:
        six = key == "icmpv6-type"
        found = []
        for value in values:
            kind, slash, code = value.text.partition("/")
            low, high = _spanned(value, kind, w.ICMPV6 if six else w.ICMP, 255, "ICMP type")
            first, last = _spanned(value, code, {}, 255, "ICMP code") if slash else (0, 255)
            found += [(each << 8 | first, each << 8 | last) for each in range(low, high + 1)]
        self.narrow("icmp", _checked(found, values[0]), wanted)
        self.protocols(_ICMPV6 if six else _ICMP, family=_SIX if six else _FOUR)

    def flags(self, key: str, values: list[Scalar], wanted: bool) -> None:
        """Each value is one way to match: flags that are set, and with ! those that are not; the others are free."""
        found = []
        for value in values:
            yes, no = _flags(value)
            found += [(each, each) for each in range(256) if each & yes == yes and not each & no]
        self.narrow("tcp-flags", merged(found), wanted)
        self.protocols(_TCP)

    def of_ip(self, key: str, values: list[Scalar], wanted: bool) -> None:
        words, high = {"dscp": (DSCP, 63), "length": ({}, 65535), "ttl": ({}, 255)}[key]
        self.narrow(key, _checked(_spans(values, words, high, key), values[0]), wanted)
        self.narrow("protocol", ((_FOUR, _SIX + 255),))

    def fragment(self, key: str, values: list[Scalar], wanted: bool) -> None:
        numbers = {"none": 0, "first": 1, "later": 2}
        found = [numbers[value.choice(tuple(numbers))] for value in values]
        self.narrow("fragment", merged([(each + more, each + more) for each in found for more in (0, 3)]), wanted)
        self.narrow("protocol", ((_FOUR, _SIX + 255),))

    def malformed(self, key: str, values: list[Scalar], wanted: bool) -> None:
        is_so = values[0].flag() == wanted
        self.narrow("fragment", ((3, 5),) if is_so else ((0, 2),))

    def vlan(self, key: str, values: list[Scalar], wanted: bool) -> None:
        self.narrow("vlan", _checked(_spans(values, {"none": 4096}, 4095, "VLAN id"), values[0]), wanted)

    def ethertype(self, key: str, values: list[Scalar], wanted: bool) -> None:
        self.narrow("ethertype", _checked(_spans(values, w.ETHERTYPES, 65535, "EtherType"), values[0]), wanted)

    def state(self, key: str, values: list[Scalar], wanted: bool) -> None:
        found = [w.STATES[value.choice(tuple(w.STATES))] for value in values]
        self.narrow("state", merged([(each, each) for each in found]), wanted)

    def mac(self, key: str, values: list[Scalar], wanted: bool) -> None:
        self._group(self.macs, key, tuple(value.parsed(mac_address) for value in values), wanted)


_KEYS: dict[str, Callable[[Matching, str, list[Scalar], bool], None]] = {
    "family": Matching.family, "protocol": Matching.protocol, "source": Matching.address,
    "destination": Matching.address, "source-port": Matching.of_port, "destination-port": Matching.of_port,
    "source-endpoint": Matching.endpoint, "destination-endpoint": Matching.endpoint, "icmp-type": Matching.icmp,
    "icmpv6-type": Matching.icmp, "tcp-flags": Matching.flags, "dscp": Matching.of_ip, "length": Matching.of_ip,
    "ttl": Matching.of_ip, "fragment": Matching.fragment, "malformed": Matching.malformed, "vlan": Matching.vlan,
    "ethertype": Matching.ethertype, "state": Matching.state, "source-mac": Matching.mac,
    "destination-mac": Matching.mac, "mark": Matching.mark,
}
BASES = ("payload", "transport", "network", "frame")
"""What `bytes` count from: behind the transport's header, at it, at the IP header, at the frame's start."""


def hexadecimal(text: str) -> tuple[int, int, int]:
    """`47455420` or `4745/ff00`: the number, how many bytes it has, and its mask; UsageError."""
    digits, slash, mask = text.partition("/")
    try:
        value, bits = bytes.fromhex(digits), bytes.fromhex(mask) if slash else b""
    except ValueError:
        raise UsageError(f"{text!r} is not hexadecimal", cure="Write bytes as 47455420, or 4745/fff0.") from None
    size = len(value)
    if not 0 < size <= 8 or (slash and len(bits) != size):
        raise UsageError(f"{text!r} is not 1 to 8 bytes, with a mask as long", cure="Write it as 4745 or 4745/fff0.")
    number, bounds = int.from_bytes(value, "big"), int.from_bytes(bits, "big") if slash else (1 << 8 * size) - 1
    if number & ~bounds or not bounds:
        raise UsageError(f"{text!r} asks for bits outside of its mask", cure="Take them out.")
    return number, size, bounds


def mark_of(text: str) -> Mark:
    """`7`, `0x10` or `0x10/0xf0`; UsageError."""
    digits, slash, mask = text.partition("/")
    value = w.number_of(digits, {}, 0xFFFF_FFFF, "mark")
    bounds = w.number_of(mask, {}, 0xFFFF_FFFF, "mask") if slash else 0xFFFF_FFFF
    if value & ~bounds or not bounds:
        raise UsageError(f"{text!r} has bits outside of its mask", cure="Take them out.")
    return Mark(value, bounds)


def mac_address(text: str) -> int:
    """A MAC address as `Parsed` has it; UsageError."""
    parts = text.replace("-", ":").split(":")
    try:
        found = bytes(int(part, 16) for part in parts if 0 < len(part) < 3)
    except ValueError:
        found = b""
    if len(found) != 6 or len(parts) != 6:
        raise UsageError(f"{text!r} is no MAC address", cure="Write it as 02:00:00:aa:bb:cc.")
    return int.from_bytes(found, "big")


def complement(ranges: Ranges, domain: int) -> Ranges:
    """What of 0 to domain - 1 is not in sorted ranges."""
    found, at = [], 0
    for first, last in ranges:
        if at < first:
            found.append((at, first - 1))
        at = last + 1
    return (*found, (at, domain - 1)) if at < domain else tuple(found)


def intersection(one: Ranges, two: Ranges) -> Ranges:
    """What is in both."""
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in two]
    return tuple(sorted((first, last) for first, last in found if first <= last))


def behind_none(ports: Ranges) -> Ranges:
    """Ports as their field has them, where 0 is none."""
    return tuple((low + 1, high + 1) for low, high in ports)


def merged(ranges: list[tuple[int, int]]) -> Ranges:
    """The union, sorted."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found)


def _spanned(value: Scalar, text: str, words: dict[str, int], high: int, what: str) -> tuple[int, int]:
    found: tuple[int, int] = value.parsed(lambda _: e.span(text, words, high, what))
    return found


def _spans(values: list[Scalar], words: dict[str, int], high: int, what: str) -> list[tuple[int, int]]:
    return [_spanned(value, value.text, words, high, what) for value in values]


def _checked(found: list[tuple[int, int]], value: Scalar) -> Ranges:
    try:
        return e.ranges_of(found)
    except UsageError as error:
        return _refused(value, error)


def _refused(value: Scalar, error: UsageError) -> NoReturn:
    value.wrong(error.what, error.cure)


def _flags(value: Scalar) -> tuple[int, int]:
    yes = no = 0
    for word in value.text.replace("+", " ").replace(",", " ").split():
        bit = w.FLAGS.get(word.removeprefix("!"))
        if bit is None:
            value.wrong(f"{word!r} is no TCP flag", f"There is {', '.join(w.FLAGS)}; with ! it must not be set.")
        if word.startswith("!"):
            no |= bit
        else:
            yes |= bit
    if yes & no:
        value.wrong("a flag is asked for set and not set")
    if not yes | no:
        value.wrong("no flag is named", "Write for example `syn !ack`.")
    return yes, no
