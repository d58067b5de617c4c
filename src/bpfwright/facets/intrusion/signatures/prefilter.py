"""What the kernel looks for, for each rule: whatever matches the rule must be found by it.

A rule about a payload has one of its contents looked for. One about a buffer of a protocol may match where that content
is not in the packet: letters of a URI are written as %XX, a header goes over lines, a body comes in pieces or packed.
So a part of a content is taken that only such a thing can break, and the thing itself is looked for too (`signs`). That
holds for a request that lies whole in one segment, and in what is searched of it; all other requests are copied, from
the segment where they begin. Answers are copied from where one begins, hellos and the like from their first byte.
"""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.facets.intrusion.signatures.buffers import BUFFERS, sure_parts
from bpfwright.facets.intrusion.signatures.model import Content, Signature, worth
from bpfwright.facets.intrusion.signatures.protocols.http import METHODS

__all__ = ["BY_THE_CLIENT", "Wanted", "wanted_of"]

BY_THE_CLIENT = ("ftp", "smtp")
"""Protocols that are recognised by what the client says, also for rules about what the server does."""
_COMMON = ("http.method", "http.protocol")
_ANSWER = Content(b"HTTP/1.")
_CHUNKED = Content(b"chunked", nocase=True)
_LETTERS = {"http": "".join(sorted({each[0] for each in METHODS})) + "h", "ftp": "upfsa", "smtp": "eh"}
_OPENERS: dict[str, frozenset[int]] = {
    "tls": frozenset({0x16}), "ssh": frozenset(b"S"), "dns": frozenset(range(16)),  # a length, of TCP
    **{name: frozenset((letters + letters.upper()).encode()) for name, letters in _LETTERS.items()}}


_ANY = frozenset(range(256))  # what a flow does not speak is known when its beginning was seen


class Wanted(NamedTuple):
    """`patterns`: one of these is in a packet. `headed`: none is sure, the header says all. `signs`: what is copied as
    well. `requests`: requests that are not whole in a segment are copied; all, where there is no pattern. `openers`:
    streams are copied from the beginning when this is their first byte."""

    patterns: tuple[Content, ...]
    headed: bool
    signs: tuple[str, ...] = ()
    requests: bool = False
    openers: frozenset[int] = frozenset()


def wanted_of(rule: Signature) -> Wanted:
    """What the kernel looks for."""
    if not rule.on_messages:
        pattern = rule.fast
        there = pattern is not None and len(pattern.pattern) > 1
        openers = _ANY if rule.unspoken else _OPENERS[rule.speaks] if rule.speaks else frozenset()
        return Wanted((pattern,) if pattern is not None and there else (), not there, openers=openers)
    if rule.speaks == "http" and rule.groups:
        return _of_http(rule)
    openers = _OPENERS[rule.speaks]
    if rule.speaks == "dns":
        parts = [part for group in rule.groups for part in sure_parts(group)]
        return Wanted((_best(parts),), False, openers=openers) if parts else Wanted((), True, openers=openers)
    return Wanted((), False, openers=openers, requests=rule.speaks == "http")


def _best(parts: list[Content]) -> Content:
    return max(parts, key=lambda part: (part.fast, *worth(part)))


def _of_http(rule: Signature) -> Wanted:
    patterns: list[Content] = [] if rule.side == "server" else [_ANSWER]
    signs: tuple[str, ...] = ()
    if rule.side != "client":
        known = [(part, group) for group in rule.groups for part in sure_parts(group)]
        telling = [part for part, group in known if part.fast or group.buffer not in _COMMON]
        best = _best(telling or [part for part, _ in known]) if known else None
        signs = next((BUFFERS[group.buffer].signs for part, group in known if part is best), ())
        patterns += [best] if best is not None else []
        patterns += [_CHUNKED] if "chunked" in signs else []
        if best is None:
            return Wanted((), False, requests=True, openers=_OPENERS["http"] if rule.side == "" else frozenset())
    return Wanted(tuple(patterns), False, signs, requests=rule.side != "client")
