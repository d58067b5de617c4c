"""Sets of numbers as sorted spans: what rules say about ports and addresses."""
from __future__ import annotations

import ipaddress
from bisect import bisect_right

from bpfwright._typing import Callable, Iterable, Mapping, NamedTuple

__all__ = ["ADDRESSES", "ANY_ADDRESS", "ANY_PORT", "PORTS", "Domain", "Spans", "Wrong", "complement", "holds",
           "intersection", "parsed", "union"]

Spans = tuple[tuple[int, int], ...]
"""Sorted spans, both ends within, with room between them."""
_MAPPED = 0xFFFF << 32
_MOST_NESTED = 16


class Wrong(Exception):
    """What is wrong with a text: (what, at which character of it, cure)."""

    def __init__(self, what: str, at: int = 0, cure: str = "") -> None:
        super().__init__(what)
        self.what, self.at, self.cure = what, at, cure


class Domain(NamedTuple):
    """A kind of numbers: the largest one, what one of them is called, and what reads one or a span of them."""

    highest: int
    word: str
    read: Callable[[str], tuple[int, int]]


def union(spans: Iterable[tuple[int, int]]) -> Spans:
    """Spans in any order as a set."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return tuple(found)


def complement(spans: Spans, highest: int) -> Spans:
    """The numbers from 0 to `highest` that are not in a set."""
    found, at = [], 0
    for low, high in spans:
        if low > at:
            found.append((at, low - 1))
        at = high + 1
    return (*found, (at, highest)) if at <= highest else tuple(found)


def intersection(one: Spans, other: Spans) -> Spans:
    """What is in both."""
    found = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return union((low, high) for low, high in found if low <= high)


def holds(spans: Spans, number: int) -> bool:
    """Whether a number is in a set."""
    if len(spans) == 1:
        return spans[0][0] <= number <= spans[0][1]
    at = bisect_right(spans, (number, 1 << 130)) - 1
    return at >= 0 and spans[at][0] <= number <= spans[at][1]


def _port(text: str) -> tuple[int, int]:
    low, colon, high = text.partition(":")
    first = int(low) if low or not colon else 0
    last = int(high) if high else 65535 if colon else first
    if not 0 <= first <= last <= 65535:
        raise ValueError(f"{text} is no port or range of ports")
    return first, last


def _address(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if dash:
        return _number(ipaddress.ip_address(first)), _number(ipaddress.ip_address(last))
    network = ipaddress.ip_network(text, strict=False)
    return _number(network[0]), _number(network[-1])


def _number(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    return int(address) | _MAPPED if address.version == 4 else int(address)


PORTS = Domain(65535, "port", _port)
ADDRESSES = Domain((1 << 128) - 1, "address", _address)
"""Addresses as numbers of 128 bits, IPv4 mapped."""
ANY_PORT: Spans = ((0, PORTS.highest),)
ANY_ADDRESS: Spans = ((0, ADDRESSES.highest),)


def parsed(text: str, domain: Domain, variables: Mapping[str, str], known: tuple[str, ...] = ()) -> Spans:
    """The set that a text of the rule language means: `any`, one, a range, `!`, [lists], $VARIABLES. Wrong, else."""
    at = len(text) - len(text.lstrip())
    body = text.strip()
    if body.startswith("!"):
        return complement(_within(body[1:], domain, variables, known, at + 1), domain.highest)
    if body.startswith("["):
        return _listed(body, domain, variables, known, at)
    if body.startswith("$"):
        return _variable(body[1:], domain, variables, known, at)
    if body == "any":
        return ((0, domain.highest),)
    try:
        low, high = domain.read(body)
    except (ValueError, IndexError):
        low, high = 1, 0
    if low > high:
        raise Wrong(f"{body!r} is no {domain.word}", at, f"Write any, one {domain.word}, a range, [a list] or $NAME.")
    return ((low, high),)


def _within(text: str, domain: Domain, variables: Mapping[str, str], known: tuple[str, ...], at: int) -> Spans:
    try:
        return parsed(text, domain, variables, known)
    except Wrong as wrong:
        raise Wrong(wrong.what, wrong.at + at, wrong.cure) from None


def _variable(name: str, domain: Domain, variables: Mapping[str, str], known: tuple[str, ...], at: int) -> Spans:
    if name in known:
        raise Wrong(f"${name} is made of itself", at)
    if name not in variables:
        raise Wrong(f"there is no variable ${name}", at, f"Give it a value: `variables: {{{name}: ...}}`.")
    try:
        return parsed(variables[name], domain, variables, (*known, name))
    except Wrong as wrong:
        raise Wrong(f"${name}: {wrong.what}", at, wrong.cure) from None


def _listed(text: str, domain: Domain, variables: Mapping[str, str], known: tuple[str, ...], at: int) -> Spans:
    """A list: what its plain members hold, less what its negated ones do."""
    if len(known) > _MOST_NESTED or text.count("[") > 1000:
        raise Wrong("this list is nested too deeply", at)
    plain: list[tuple[int, int]] = []
    without: list[tuple[int, int]] = []
    negated = True
    for start, member in _members(text, at):
        spans = _within(member.lstrip("!") if member.startswith("!") else member, domain, variables, known, at + start)
        if member.startswith("!") and not member.startswith("!!"):
            without += spans
        elif member.startswith("!!"):
            raise Wrong(f"{member!r} is negated twice", at + start)
        else:
            negated = False
            plain += spans
    return intersection(((0, domain.highest),) if negated else union(plain),
                        complement(union(without), domain.highest))


def _members(text: str, at: int) -> list[tuple[int, str]]:
    depth, start, found = 0, 1, []
    for place, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if depth == 0 and place < len(text) - 1:
            raise Wrong("there is more behind the list's end", at + place + 1)
        if (letter == "," and depth == 1) or (letter == "]" and depth == 0):
            member = text[start:place]
            if not member.strip():
                raise Wrong("a member of this list is empty", at + start)
            found.append((start + len(member) - len(member.lstrip()), member.strip()))
            start = place + 1
    if depth:
        raise Wrong("this list has no end", at, "Close it with ].")
    return found
