"""What a section says, and each mistake in it with its line."""
from __future__ import annotations

from pathlib import Path

import pytest

from bpfwright.datapath.facet import Scene
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.facet import FACET
from tests.facets.firewall.guard import settings_of

RULE = "  rules:\n    - name: r\n      action: drop\n"
MISTAKES: list[tuple[str, int, str]] = [
    ("  ruels: []\n", 2, "no such key"),
    ("  default: refuse\n", 2, "none of allow, deny"),
    ("  default: {in: deny, up: allow}\n", 2, "no such key"),
    ("  keep: [arp, dns]\n", 2, "none of arp"),
    ("  rules:\n    - name: r\n", 3, "action is missing"),
    ("  rules:\n    - action: drop\n", 3, "name is missing"),
    (RULE + "    - name: r\n      action: drop\n", 5, "another rule is named"),
    (RULE + "      match: {sorce: 10.0.0.0/8}\n", 5, "no such key"),
    (RULE + "      match:\n        source: 10.0.0.1/8\n", 6, "bits behind its length"),
    (RULE + "      match:\n        source: 10.0.0.300\n", 6, "no address"),
    (RULE + "      match:\n        source: []\n", 6, "nothing is listed"),
    (RULE + "      match: {source: '@bad'}\n", 5, "no set 'bad'"),
    (RULE + "      match: {destination-port: 70000}\n", 5, "no port"),
    (RULE + "      match: {destination-port: 90-80}\n", 5, "ends before it begins"),
    (RULE + "      match:\n        destination-port:\n          - 80-90\n          - 85\n", 7, "85 overlaps 80-90"),
    (RULE + "      match: {destination-port: htps}\n", 5, "no port"),
    (RULE + "      match: {protocol: icmp, destination-port: 80}\n", 3, "can match no packet"),
    (RULE + "      match: {icmp-type: 8, icmpv6-type: 8}\n", 3, "can match no packet"),
    (RULE + "      match: {destination-port: 5}\n      not: {destination-port: 1-9}\n", 3, "can match no packet"),
    (RULE + "      match: {tcp-flags: 'syn !syn'}\n", 5, "set and not set"),
    (RULE + "      match: {tcp-flags: nys}\n", 5, "no TCP flag"),
    (RULE + "      match: {source-mac: 02:00}\n", 5, "no MAC address"),
    (RULE + "      match: {destination-endpoint: '10.0.0.1:80'}\n", 5, "endpoints are sets"),
    (RULE + "      match: {state: old}\n", 5, "none of untracked"),
    (RULE + "      limit: {packets: 10/s}\n", 5, "beyond a limit"),
    (RULE.replace("drop", "allow") + "      limit: {packets: 10}\n", 5, "no rate"),
    (RULE.replace("drop", "allow") + "      limit: {packets: 10/s, bytes: 10/s}\n", 5, "packets or of bytes"),
    (RULE.replace("drop", "allow") + "      limit: {bytes: 1k/s, burst: 100}\n", 5, "no large packet"),
    (RULE.replace("drop", "allow") + "      reason: x\n", 5, "no reason for drops"),
    ("  interfaces: [eth0]\n" + RULE + "      interface: eth1\n", 6, "is not on eth1"),
    ("  sets:\n    s: {kind: prefixes}\n", 3, "none of networks"),
    ("  sets:\n    s: {kind: networks}\n", 3, "a set has elements"),
    ("  sets:\n    s: {kind: ports, elements: [1-5, 5-9]}\n", 3, "overlaps"),
    ("  sets:\n    s: {kind: endpoints, elements: ['10.0.0.1']}\n", 3, "no address with a port"),
    ("  sets:\n    s: {file: nowhere.txt}\n", 3, "No such file"),
    ("  sets:\n    s: {kind: ports, elements: [1]}\n" + RULE + "      match: {source: '@s'}\n", 7, "set of ports"),
]


@pytest.mark.parametrize(("text", "line", "what"), MISTAKES, ids=[what for _, _, what in MISTAKES])
def test_mistakes_have_their_line(text: str, line: int, what: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        settings_of(text)
    assert what in str(error.value) and error.value.line == line, (error.value.line, str(error.value))


@pytest.mark.parametrize(("text", "line", "what"), [
    (RULE + "    - {name: late, match: {source: 10.0.0.0/8}, action: allow}\n", 5, "'late' never acts"),
    ("  rules:\n    - {name: a, match: {source: 10.0.0.0/8, destination-port: 1-9}, action: drop}\n"
     "    - {name: b, match: {source: [10.1.0.0/16, 10.2.0.0/16], destination-port: [3, 9], protocol: tcp}, "
     "action: drop}\n", 4, "takes all its packets"),
    ("  sets: {none: {elements: []}}\n  rules:\n    - {name: a, match: {source: '@none'}, action: drop}\n", 4,
     "nothing is left of source"),
    (RULE + "      interface: eth9\n", 3, "no interface of this data path"),
    ("  interfaces: [eth9]\n" + RULE, 1, "no interface of this data path"),
], ids=["all", "part", "empty", "interface", "interfaces"])
def test_rules_that_never_act_are_refused(text: str, line: int, what: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        FACET.build(settings_of(text), Scene({"lo": None}, None))
    assert what in str(error.value) and error.value.line == line


def test_neighbours_of_rules_that_never_act_are_fine() -> None:
    for more in ("source: 10.0.0.0/7", "destination-port: 9-10", "protocol: [tcp, udp, gre]"):
        FACET.build(settings_of(
            "  rules:\n    - {name: a, match: {source: 10.0.0.0/8}, action: drop}\n"
            "    - {name: b, match: {destination-port: 1-9, protocol: udp}, action: drop}\n"
            f"    - {{name: c, match: {{{more}}}, action: drop}}\n"), Scene({"lo": None}, None))


def test_files_have_lines_of_their_own(tmp_path: Path) -> None:
    here = str(tmp_path / "net.yaml")
    (tmp_path / "good.txt").write_text("# all\n10.0.0.0/8 # private\n\n2001:db8::/32\n10.0.0.0/8\n192.0.2.7\n")
    settings = settings_of("  sets: {good: {file: good.txt, elements: [192.0.2.8]}}\n", here)
    assert len(settings.networks["good"]) == 4
    (tmp_path / "bad.txt").write_text("10.0.0.0/8\n\nten\n")
    with pytest.raises(ConfigurationError, match=r"bad\.txt:3: 'ten' is no address"):
        settings_of("  sets: {bad: {file: bad.txt}}\n", here)
    (tmp_path / "geo.csv").write_text("10.0.0.0/8,DE\n10.0.0.0/16\n")
    with pytest.raises(ConfigurationError, match=r"geo\.csv:2: a line is a network and a label"):
        settings_of("  sets: {geo: {kind: table, file: geo.csv}}\n", here)
    (tmp_path / "geo.csv").write_text("10.0.0.0/8,DE\n")
    with pytest.raises(ConfigurationError, match="has the label 'FR'"):
        settings_of("  sets: {geo: {kind: table, file: geo.csv}}\n  rules: [{name: a, match: {source: '@geo:FR'}, "
                    "action: drop}]\n", here)
