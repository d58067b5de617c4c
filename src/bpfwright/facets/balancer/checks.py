"""Key `check` of the section and of VIPs: how backends are asked whether they serve."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.facets.balancer.model import Check

__all__ = ["check_of"]

_KINDS = ("tcp", "http", "https")
_WORDS = ("none", *_KINDS)
_OF_HTTP = ("path", "host", "status")


def check_of(section: Section, default: Check | None) -> Check | None:
    """What stands under `check`, or what stands above it; ConfigurationError by line."""
    value = section.value("check")
    if value is None:
        return default
    if isinstance(value, Scalar):
        word = value.choice(_WORDS)
        return None if word == "none" else _defaults(Check(word))
    if not isinstance(value, Section):
        section.wrong("a word or `key: value` lines are meant here", f"Write one of {', '.join(_WORDS)}.", at="check")
    return _block(value)


def _block(section: Section) -> Check:
    kind = section.choice("kind", _KINDS, "tcp")
    if kind == "tcp":
        for key in _OF_HTTP:
            if key in section:
                section.wrong("a check of kind tcp only connects", "Write `kind: http`.", at=key)
    if kind != "https":
        for key in ("sni", "verify"):
            if key in section:
                section.wrong("there is no TLS in this check", "Write `kind: https`.", at=key)
    found = _defaults(Check(
        kind, section.number("port", 0, low=1, high=65535), _path(section), _word(section, "host"),
        _status(section), section.seconds("interval", 5.0, low=0.05, high=86400),
        section.seconds("timeout", 1.0, low=0.01, high=3600), section.number("rise", 2, low=1, high=1000),
        section.number("fall", 3, low=1, high=1000), float(section.number("backoff", 4, low=1, high=1000)),
        section.seconds("calm", 60.0, low=0.05, high=86400), _word(section, "sni"), section.flag("verify")))
    if found.verify and not found.sni:
        section.wrong("nothing says for whom a certificate must be", "Write `sni: www.example.org`.", at="verify")
    section.done()
    return found


def _defaults(check: Check) -> Check:
    """The name that is asked for stands in the request, too."""
    return check._replace(sni=check.sni or check.host) if check.kind == "https" else check


def _path(section: Section) -> str:
    text = section.text("path", "/")
    if not text.startswith("/") or not _plain(text):
        section.wrong(f"{text!r} is no path", "Write it from the slash on, in ASCII and without spaces.", at="path")
    return text


def _word(section: Section, key: str) -> str:
    text = section.text(key, "")
    if key in section and (not text or not _plain(text)):
        section.wrong(f"{text!r} is no host name", at=key)
    return text


def _plain(text: str) -> bool:
    return all("!" <= letter <= "~" for letter in text)


def _status(section: Section) -> tuple[tuple[int, int], ...]:
    """Numbers and ranges, as in [200-299, 301]."""
    given = section.scalars("status")
    if not given:
        return ((200, 399),)
    return tuple(_range(each) for each in given)


def _range(scalar: Scalar) -> tuple[int, int]:
    ends: list[Any] = scalar.text.split("-")
    if len(ends) > 2 or not all(end.isdecimal() and 100 <= int(end) <= 599 for end in ends):
        scalar.wrong(f"{scalar.text!r} is no status", "Write a number from 100 to 599, or a range as 200-299.")
    low, high = int(ends[0]), int(ends[-1])
    if low > high:
        scalar.wrong(f"{scalar.text} ends before it begins")
    return low, high
