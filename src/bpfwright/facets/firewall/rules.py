"""One rule of the section `firewall`, read: what it matches, what it does, and what does not go together."""
from __future__ import annotations

from bpfwright._typing import Sequence
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.facets.firewall.matching import Matching, mark_of
from bpfwright.facets.firewall.model import ACTIONS, DIRECTIONS, Limit, Mark, Rule
from bpfwright.facets.firewall.sets import Sets

__all__ = ["limit_of", "rate_of", "rule"]

_PERIODS = {"s": 1.0, "second": 1.0, "m": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0,
            "day": 86400.0}
_LOGGED = Limit(100.0, 100.0, False, "rule")
"""`log: true`: so many a second are told of."""
_LOGS = {"true": _LOGGED, "all": Limit(1e9, 1e9, False, "rule")}


def rule(section: Section, sets: Sets, interfaces: Sequence[str]) -> Rule:
    """A rule; ConfigurationError by line. `interfaces`: those that the firewall is on, all where there are none."""
    name = section.text("name")
    matching = Matching(sets, section.file, f"rule {name!r}")
    directions = _directions(section)
    where = tuple(each.text for each in section.scalars("interface"))
    for each in section.scalars("interface"):
        if interfaces and each.text not in interfaces:
            each.wrong(f"this firewall is not on {each.text}", f"It is on {', '.join(interfaces)}.")
    for key, wanted in (("match", True), ("not", False)):
        found = section.section(key)
        if found is not None:
            matching.take(found, wanted)
    word = section.choice("action", ("deny", *ACTIONS))
    made = Rule(name, "drop" if word == "deny" else word, section.line, section.text("reason", ""),
                limit_of(section.section("limit")), directions, where, matching.ranges(section.line),
                dict(matching.networks), dict(matching.endpoints), dict(matching.macs),
                cookies=section.flag("syn-cookies"), looks=dict(matching.looks), to=section.text("to", ""),
                sample=_sample(section), mark=_mark(section), counts=section.flag("count"))
    log, prefix = _log(section)
    made = made._replace(log=log, prefix=prefix, ports=matching.ports, file=section.file)
    section.done()
    _check(section, made)
    return made


def _check(section: Section, made: Rule) -> None:
    """What does not go together."""
    if made.reason and made.action in ("allow", "redirect"):
        section.wrong("a rule that drops nothing has no reason for drops", "Leave it out.", at="reason")
    if made.limit is not None and made.action not in ("allow", "continue") and not made.yields:
        section.wrong("packets beyond a limit are dropped, those within it allowed",
                      "Write `action: allow` and a rule that drops behind it, or a limit with `beyond: continue`.",
                      at="limit")
    if made.action == "continue" and not (made.limit or made.log or made.sample or made.mark or made.counts):
        section.wrong("a rule that continues does something before", "Give it a limit, log, sample or mark, or "
                      "`count: true`.", at="action")
    if made.reason and made.action == "continue" and (made.limit is None or made.yields):
        section.wrong("this rule drops nothing", "Leave the reason out, or give it a limit.", at="reason")
    if (made.action == "redirect") != bool(made.to):
        section.wrong("a redirect goes to an interface", "Write `action: redirect` and `to: eth1`.",
                      at="to" if made.to else "action")
    if made.mark is not None and made.action not in ("allow", "continue"):
        section.wrong("what does not go on through this host carries no mark", "Leave it out.", at="mark")
    if "in" in made.directions and any(look.base == "mark" for look in made.looks):
        section.wrong("what comes in has no mark yet at the driver", "Write `direction: out`.", at="match")
    if made.cookies and (made.action != "allow" or made.directions != DIRECTIONS[:1]):
        section.wrong("SYN cookies are for what comes in and is allowed", "Take it out here.", at="syn-cookies")
    if made.cookies and "state" in made.ranges:
        section.wrong("the acknowledgement of a cookie belongs to no flow that is known", "Take `state` out of match.",
                      at="syn-cookies")


def _directions(section: Section) -> tuple[str, ...]:
    word = section.choice("direction", (*DIRECTIONS, "both"), "in")
    return DIRECTIONS if word == "both" else (word,)


def limit_of(section: Section | None) -> Limit | None:
    """A limit, None where there is none."""
    if section is None:
        return None
    packets, octets = section.scalar("packets"), section.scalar("bytes")
    if (packets is None) == (octets is None):
        section.wrong("a limit is of packets or of bytes", "Write `packets: 100/s` or `bytes: 10M/s`.")
    chosen = packets or octets
    assert chosen is not None
    rate = rate_of(chosen)
    given = section.number("burst", None, low=1, high=1 << 40)
    per = section.choice("per", ("rule", "source"), "rule")
    beyond = section.choice("beyond", ("drop", "continue"), "drop")
    section.done()
    least = 65535 if octets is not None else 1
    burst = max(rate, least) if given is None else given
    if burst < least:
        section.wrong(f"a burst of {burst} bytes lets no large packet pass", f"Write {least} or more.", at="burst")
    if burst / rate > 3600 * 24:
        section.wrong("such a burst is not had back in a day", "Lower it, or raise the rate.", at="burst")
    return Limit(rate, burst, octets is not None, per, beyond)


def _log(section: Section) -> tuple[Limit | None, str]:
    """`log: true`, `all`, or at which rate; or these as `rate`, with a `prefix`."""
    inside = section.value("log")
    if not isinstance(inside, Section):
        return _logged(section.scalar("log")), ""
    prefix = inside.text("prefix", "")
    found = _logged(inside.scalar("rate")) or _LOGGED
    inside.done()
    return found, prefix


def _logged(found: Scalar | None) -> Limit | None:
    if found is None or found.text == "false":
        return None
    if found.text in _LOGS:
        return _LOGS[found.text]
    rate = rate_of(found)
    return Limit(rate, max(rate, 1.0), False, "rule")


def _sample(section: Section) -> int:
    """One of so many: `1/1000`."""
    found = section.scalar("sample")
    if found is None:
        return 0
    one, slash, many = found.text.partition("/")
    if one != "1" or not slash:
        found.wrong(f"{found.text!r} is no share", "Write one of how many are kept, as `1/1000`.")
    return Scalar(many, found.file, found.line, found.name).number(1, 1 << 32)


def _mark(section: Section) -> Mark | None:
    found = section.scalar("mark")
    return None if found is None else found.parsed(mark_of)


def rate_of(found: Scalar) -> float:
    """A rate as `100/s` or `6/minute`, a second."""
    digits, slash, period = found.text.partition("/")
    if not slash or period not in _PERIODS:
        found.wrong(f"{found.text!r} is no rate", "Write it as 100/s, 6/minute or 10M/s.")
    count = Scalar(digits, found.file, found.line, found.name).number(1, 10**12)
    return count / _PERIODS[period]
