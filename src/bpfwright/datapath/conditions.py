"""Conditions on packets, as `match` in net.yaml lists them: each a function of the dialect, for stages of any facet."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple, Sequence
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.datapath.parsed import V4_MAPPED
from bpfwright.datapath.stage import CONTINUE
from bpfwright.datapath.words import DSCP, PROTOCOLS
from bpfwright.errors import UsageError
from bpfwright.headers import IPv4, IPv6
from bpfwright.types.address import Network

__all__ = ["Prefix", "all_of", "always", "any_of", "conditions", "each_of", "first_of", "values"]

_ALL = (1 << 64) - 1
_MOST = 32  # values of one condition


class Prefix(NamedTuple):
    """A network as `Parsed` has addresses: two numbers, and the bits that count."""

    high: int
    low: int
    high_mask: int
    low_mask: int

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """An IPv4 or IPv6 network; UsageError."""
        if ":" in text:
            six: Network[Any] = Network.parse(IPv6.Address, text)
            number, length = int(six.address), six.length
        else:
            four: Network[Any] = Network.parse(IPv4.Address, text)
            number, length = V4_MAPPED | int(four.address), four.length + 96
        mask = (1 << 128) - (1 << 128 - length)
        return cls(number >> 64, number & _ALL, mask >> 64, mask & _ALL)


def conditions(section: Section) -> list[Any]:
    """`test(ctx, packet)` for each key of a `match` that is about the packet itself: source and destination (networks),
    ports, protocol, dscp, and fields of protocols of one's own. ConfigurationError by line; other keys are left."""
    tests = []
    for side in ("source", "destination"):
        prefixes = [scalar.parsed(Prefix.parse) for scalar in values(section, side)]
        tests += [any_of([_in_prefix(side, prefix) for prefix in prefixes])] if prefixes else []
        ports = [_range(scalar) for scalar in values(section, f"{side}-port")]
        tests += [any_of([_port(side, low, high) for low, high in ports])] if ports else []
    ports = [_range(scalar) for scalar in values(section, "port")]
    if ports:
        tests.append(any_of([_port(side, low, high) for low, high in ports for side in ("source", "destination")]))
    for name, words, make in (("protocol", PROTOCOLS, _protocol), ("dscp", DSCP, _dscp)):
        numbers = [_number(scalar, words, 255 if name == "protocol" else 63) for scalar in values(section, name)]
        tests += [any_of([make(number) for number in numbers])] if numbers else []
    for name, own in section.sources.own_fields.items():
        if name in section:
            ranges = [_range(scalar, (1 << own.bits) - 1) for scalar in values(section, name)]
            tests.append(any_of([_own(own.read, low, high) for low, high in ranges]))
    return tests


def values(section: Section, key: str) -> list[Scalar]:
    """The values of a key, as many as a program can compare one by one."""
    found = section.scalars(key)
    if len(found) > _MOST:
        section.wrong(f"{len(found)} values", f"{_MOST} are the most; the firewall has sets.", at=key)
    return found


def _range(scalar: Scalar, most: int = 65535) -> tuple[int, int]:
    low, dash, high = scalar.text.partition("-")
    ends = [Scalar(text, scalar.file, scalar.line, scalar.name).number(0, most)
            for text in (low, high if dash else low)]
    if ends[0] > ends[1]:
        scalar.wrong(f"{scalar.text} ends before it begins")
    return ends[0], ends[1]


def _number(scalar: Scalar, words: dict[str, int], most: int) -> int:
    if scalar.text in words:
        return words[scalar.text]
    if not scalar.text[:1].isdigit():
        return words[scalar.choice(tuple(words))]
    return scalar.number(0, most)


# tests

def always(ctx: Any, packet: Any) -> bool:
    """Holds for every packet."""
    return True


def _both(first: Any, second: Any) -> Any:
    def both(ctx: Any, packet: Any) -> Any:
        return first(ctx, packet) and second(ctx, packet)

    return both


def _either(first: Any, second: Any) -> Any:
    def either(ctx: Any, packet: Any) -> Any:
        return first(ctx, packet) or second(ctx, packet)

    return either


def all_of(tests: list[Any]) -> Any:
    """Holds where all do."""
    whole = tests[-1]
    for test in reversed(tests[:-1]):
        whole = _both(test, whole)
    return whole


def any_of(tests: list[Any]) -> Any:
    """Holds where one does."""
    whole = tests[-1]
    for test in reversed(tests[:-1]):
        whole = _either(test, whole)
    return whole


def _continue(ctx: Any, packet: Any) -> int:
    return CONTINUE


def first_of(choices: Sequence[tuple[Any, Any]], otherwise: Any = _continue) -> Any:
    """The first (test, act) of which the test holds acts, and gives the verdict; where none does, `otherwise`."""
    whole = otherwise
    for test, act in reversed(choices):
        whole = _chosen(test, act, whole)
    return whole


def _chosen(test: Any, act: Any, behind: Any) -> Any:
    if test is always:
        return act

    def run(ctx: Any, packet: Any) -> Any:
        if test(ctx, packet):
            return act(ctx, packet)
        return behind(ctx, packet)

    return run


def each_of(choices: Sequence[tuple[Any, Any]]) -> Any:
    """Every (test, act) of which the test holds acts, up to the first that does not say CONTINUE."""
    whole = _continue
    for test, act in reversed(choices):
        whole = _and_then(test, act, whole)
    return whole


def _and_then(test: Any, act: Any, behind: Any) -> Any:
    last = behind is _continue

    def run(ctx: Any, packet: Any) -> Any:
        if test(ctx, packet):
            verdict = act(ctx, packet)
            if last or verdict != CONTINUE:
                return verdict
        return CONTINUE if last else behind(ctx, packet)

    return run


def _in_prefix(side: str, prefix: Prefix) -> Any:
    if not 0 <= prefix.high_mask <= _ALL:
        raise UsageError("a prefix has 128 bits")
    high, low, high_mask, low_mask = prefix

    def source(ctx: Any, packet: Any) -> Any:
        return packet.family != 0 and packet.source_high & high_mask == high and packet.source_low & low_mask == low

    def destination(ctx: Any, packet: Any) -> Any:
        return (packet.family != 0 and packet.destination_high & high_mask == high
                and packet.destination_low & low_mask == low)

    return source if side == "source" else destination


def _port(side: str, low: int, high: int) -> Any:
    def source(ctx: Any, packet: Any) -> Any:
        return packet.protocol in (6, 17) and low <= packet.source_port <= high

    def destination(ctx: Any, packet: Any) -> Any:
        return packet.protocol in (6, 17) and low <= packet.destination_port <= high

    return source if side == "source" else destination


def _protocol(number: int) -> Any:
    def is_it(ctx: Any, packet: Any) -> Any:
        return packet.protocol == number

    return is_it


def _dscp(number: int) -> Any:
    def is_it(ctx: Any, packet: Any) -> Any:
        return packet.family != 0 and packet.dscp == number

    return is_it


def _own(read: Any, low: int, high: int) -> Any:
    absent = (1 << 64) - 1

    def is_it(ctx: Any, packet: Any) -> Any:
        found = read(ctx, absent)
        return found != absent and low <= found <= high

    return is_it
