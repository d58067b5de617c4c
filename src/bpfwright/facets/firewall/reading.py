"""The section `firewall` of net.yaml, read into Settings; what is wrong is said with its line and what to write."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.facets.firewall.matching import Matching
from bpfwright.facets.firewall.model import DIRECTIONS, KEEP, Rule, Settings
from bpfwright.facets.firewall.profiles import profiles
from bpfwright.facets.firewall.rules import rate_of, rule
from bpfwright.facets.firewall.mitigation import Mitigation
from bpfwright.facets.firewall.elements import Networks, endpoint, networks, one_network
from bpfwright.facets.firewall.sets import Sets, read_sets

__all__ = ["MOST_RULES", "read"]

MOST_RULES = 4080
"""64 words of 64 bits, less what is implied."""
MOST_GOING_ON = 64
_MOST_REASONS = 150
_MOST_SPARED = 4096


def read(section: Section) -> Settings:
    """Settings; ConfigurationError with file and line for what cannot be meant."""
    sets = read_sets(section.section("sets"))
    default = _default(section)
    keep = _keep(section)
    interfaces = tuple(each.text for each in section.scalars("interfaces"))
    flows = section.number("flows", 262_144, low=1024, high=1 << 24)
    mitigation = _mitigation(section.section("mitigate"), sets)
    idle = section.choice("shadowed", ("error", "allow"), "error")
    drafts = [_imported(each, sets) for each in section.sections("import")]
    given = section.sections("rules") + [rule for rules, _ in drafts for rule in rules]
    policies = [policy for _, each in drafts for policy in each]
    log, samples = section.path("log", ""), section.path("samples", "")
    rules = profiles(section.section("protect"), sets)
    section.done()
    if len(given) > MOST_RULES:
        section.wrong(f"there are {len(given)} rules", f"{MOST_RULES} are the most: put addresses and ports that are "
                      "treated alike into sets.", at="rules")
    names: dict[str, int] = {}
    for each in given:
        made = rule(each, sets, interfaces)
        if made.name in names:
            each.wrong(f"another rule is named {made.name!r}, at line {names[made.name]}", "Give it another name.",
                       at="name")
        names[made.name] = each.line
        rules.append(made)
    _check_whole(section, rules, log, samples)
    if len({rule.reason for rule in rules}) > _MOST_REASONS:
        section.wrong(f"there are more than {_MOST_REASONS} reasons", "Let rules share them.", at="rules")
    ends = [rule(each, sets, interfaces)._replace(implied=True) for each in policies]
    return Settings((*rules, *_implied(default, keep, sets, ends)), default, interfaces, keep, sets.networks,
                    sets.endpoints, flows, idle == "error", mitigation, section.file, sets.room,
                    log, samples, sets.ports)


def _check_whole(section: Section, rules: list[Rule], log: str, samples: str) -> None:
    if any(each.log for each in rules) and not log:
        section.wrong("a rule tells of packets, and no file is named for it", "Write `log: firewall.jsonl`.")
    if any(each.sample for each in rules) and not samples:
        section.wrong("a rule keeps samples, and no file is named for them", "Write `samples: firewall.pcap`.")
    if sum(each.goes_on for each in rules) > MOST_GOING_ON:
        section.wrong(f"more than {MOST_GOING_ON} rules continue", "Put what is treated alike into one.", at="rules")


def _imported(section: Section, sets: Sets) -> tuple[list[Section], list[Section]]:
    """The rules of a file of others, and what its chains do with the rest."""
    from bpfwright.facets.firewall.imported import FORMATS, REJECTS, Said, imported, section_of
    path, content = section.contents("file")
    format = section.choice("format", FORMATS)
    said = Said(sets.kinds, frozenset(each.text.lower() for each in section.scalars("leave")),
                section.choice("reject", REJECTS, "refuse") == "drop")
    section.done()
    try:
        found = imported(content.decode(), format, path, said)
    except UnicodeDecodeError:
        section.wrong(f"{path} is no text", at="file")
    for name, elements in found.sets.items():
        sets.kinds[name] = "networks"
        sets.networks[name] = networks([Scalar(each, path, 1, name).parsed(one_network) for each in elements])
    for name, elements in found.endpoints.items():
        sets.kinds[name] = "endpoints"
        sets.endpoints[name] = tuple(sorted({Scalar(each, path, 1, name).parsed(endpoint) for each in elements}))
    return [section_of(each, path) for each in found.rules], [section_of(each, path) for each in found.policies]


def _default(section: Section) -> dict[str, str]:
    found = section.value("default")
    if found is None:
        return dict.fromkeys(DIRECTIONS, "allow")
    if isinstance(found, Section):
        read = {direction: _allowed(found.scalar(direction)) for direction in DIRECTIONS}
        found.done()
        return read
    if not isinstance(found, Scalar):
        section.wrong("one word is meant here", "Write `default: deny`, or `default: {in: deny, out: allow}`.",
                      at="default")
    return {"in": _allowed(found), "out": "allow"}


def _allowed(found: Scalar | None) -> str:
    word = "allow" if found is None else found.choice(("allow", "deny", "drop"))
    return "allow" if word == "allow" else "drop"


def _keep(section: Section) -> frozenset[str]:
    found = section.value("keep")
    if found is None:
        return frozenset(KEEP)
    words = [each.choice((*KEEP, "nothing")) for each in section.scalars("keep")]
    return frozenset(words) - {"nothing"}


def _mitigation(section: Section | None, sets: Sets) -> Mitigation | None:
    if section is None:
        return None
    packets = section.scalar("packets")
    if packets is None:
        section.wrong("packets is missing", "Write how many of a source are too many, as in `packets: 10k/s`.")
    rate = rate_of(packets)
    if rate < 1:
        packets.wrong("less than one packet a second would shut out anybody")
    never: list[tuple[int, int, int]] = []
    for each in section.scalars("never"):
        if each.text.startswith("@"):
            never += _networks_of(sets.networks[sets.named(each, "networks")])
        else:
            never.append(each.parsed(one_network))
    found = Mitigation(rate, section.seconds("block", 60.0, low=1.0, high=86400.0),
                       section.number("most", 1024, low=1, high=1 << 20), tuple(never),
                       section.path("audit", ""))
    section.done()
    if len(never) > _MOST_SPARED:
        section.wrong(f"{len(never)} networks are never shut out", f"{_MOST_SPARED} are the most.", at="never")
    return found


def _networks_of(found: Networks) -> list[tuple[int, int, int]]:
    return list(zip(found.high.tolist(), found.low.tolist(), found.length.tolist(), strict=True))


# what a default of deny lets pass


def _implied(default: dict[str, str], keep: frozenset[str], sets: Sets, ends: list[Rule]) -> list[Rule]:
    """What is kept, before what denies: policies of imported chains, and the defaults."""
    found: list[Rule] = []
    denied = tuple(direction for direction in DIRECTIONS if default[direction] == "drop"
                   or any(direction in end.directions for end in ends))
    if denied:
        for name, conditions in _KEPT:
            if name in keep:
                found += [_implied_rule(f"keep {name}", condition, denied, sets) for condition in conditions]
    found += ends
    for direction in DIRECTIONS:
        found.append(Rule(f"default {direction}", default[direction], 0, directions=(direction,), implied=True,
                          reason="default" if default[direction] == "drop" else ""))
    return found


def _implied_rule(name: str, condition: dict[str, Any], directions: tuple[str, ...], sets: Sets) -> Rule:
    matching = Matching(sets, "", name)
    section = Section({key: [Scalar(each, "", 0, key) for each in value] for key, value in condition.items()}, "", 0,
                      name)
    matching.take(section, True)
    return Rule(name, "allow", 0, directions=directions, ranges=matching.ranges(0), networks=dict(matching.networks),
                implied=True)


_KEPT: tuple[tuple[str, list[dict[str, list[str]]]], ...] = (
    ("arp", [{"ethertype": ["arp"]}]),
    # RFC 4861, 7.1: neighbour discovery comes with a hop limit of 255 or not from here; RFC 2710: MLD with 1.
    ("neighbours", [{"icmpv6-type": ["133-137"], "ttl": ["255"]},
                    {"icmpv6-type": ["130-132", "143"], "ttl": ["1"]}]),
    ("dhcp", [{"protocol": ["udp"], "source-port": ["67-68"], "destination-port": ["67-68"]},
              {"protocol": ["udp"], "source-port": ["546-547"], "destination-port": ["546-547"]}]),
    ("replies", [{"state": ["established", "related"]}]),
)

