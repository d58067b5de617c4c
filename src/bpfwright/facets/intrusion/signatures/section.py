"""What the section of net.yaml says about signatures."""
from __future__ import annotations

import os

from bpfwright._typing import NamedTuple
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.errors import ConfigurationError
from bpfwright.facets.intrusion.signatures.kernel import Limits
from bpfwright.facets.intrusion.signatures.reading import Rules, read_files

__all__ = ["Wanted", "wanted"]


_DEPTH_OF_MESSAGES = 1472  # requests that are longer than what is searched are copied


class Wanted(NamedTuple):
    """Rules, and the kernel's limits."""

    rules: Rules
    limits: Limits


def wanted(section: Section) -> Wanted | None:
    """The keys `signatures`, `variables`, `unsupported`, `depth` and `streams`; None where no file is named."""
    files = section.scalars("signatures")
    variables = _variables(section.section("variables"))
    skips = section.choice("unsupported", ("refuse", "skip"), "refuse") == "skip"
    depth = section.number("depth", 0, low=32, high=1472) if "depth" in section else 0
    streams = section.section("streams")
    limits = Limits()
    if streams is not None:
        limits = limits._replace(follow=streams.number("follow", limits.follow, high=1 << 24),
                                 first=streams.number("first", 0, high=1 << 24),
                                 opening=streams.number("opening", limits.opening, high=1 << 24),
                                 most=streams.number("most", limits.most, low=1, high=1 << 30),
                                 sessions=streams.number("sessions", limits.sessions, low=16, high=1 << 22),
                                 ring_bytes=_power(streams.number("copies", limits.ring_bytes, low=1 << 16,
                                                                  high=1 << 30)))
        streams.done()
    if not files:
        for key in ("variables", "unsupported", "depth", "streams"):
            if key in section:
                section.wrong("no file of signatures is named", "Write `signatures: [local.rules]`.", at=key)
        return None
    folder = os.path.dirname(os.path.abspath(section.file))
    rules = read_files([_content(section, each, os.path.join(folder, each.text)) for each in files], variables)
    if rules.refused and not skips:
        raise _with_count(rules.refused)
    if not rules.signatures:
        section.wrong("these files hold no rule", at="signatures")
    depth = depth or (_DEPTH_OF_MESSAGES if any(rule.on_messages for rule in rules.signatures) else limits.depth)
    return Wanted(rules, limits._replace(depth=depth // 32 * 32))


def _content(section: Section, named: Scalar, path: str) -> tuple[str, bytes]:
    try:
        return path, section.sources.read(path)
    except OSError as error:
        named.wrong(f"{path} cannot be read: {error.strerror}", "The path is relative to this file.")


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _variables(section: Section | None) -> dict[str, str]:
    if section is None:
        return {}
    found = {}
    for name in section:
        items = section.items(name)
        for item in items:
            if not isinstance(item, Scalar):
                section.wrong("plain values are meant here", at=name)
        texts = [item.text for item in items]
        found[name] = texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"
    return found


def _with_count(refused: list[ConfigurationError]) -> ConfigurationError:
    """The first error; it says how many more there are."""
    first = refused[0]
    if len(refused) > 1:
        more = f"{len(refused) - 1} more rules are refused; `unsupported: skip` goes on without them."
        first.cure = f"{first.cure} {more}".strip()
    return first
