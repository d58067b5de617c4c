"""Expressions: what they mean, and that none of them can stop the process."""
from __future__ import annotations

import sys
import time

import pytest

from bpfwright.facets.intrusion.signatures import engine as engines
from bpfwright.facets.intrusion.signatures.engine import MOST_OVERRUNS, Engine, Memory
from bpfwright.facets.intrusion.signatures.expressions import compiled
from bpfwright.facets.intrusion.signatures.matching import BUDGET_NS, Text, TooMuch, matches
from bpfwright.facets.intrusion.signatures.reading import read_rules
from bpfwright.facets.intrusion.signatures.records import Copy
from bpfwright.facets.intrusion.signatures.spans import Wrong
from bpfwright.headers import UDP, Ethernet, IPv4

from .bed import A, B

ENDLESS = [r"(a+)+$", r"(a|a)*$", r"(a|aa)+$", r"^(\w+\s?)*$", r"(.*)*x", r"(([a-z])+.)+[A-Z]([a-z])+$",
           r"(a?){30}a{30}b", r"(a{1,20}){1,20}b", r"(?>(a+)+)b", r"(a+)\1+b", r"a.*a.*a.*a.*b", r"(x+x+)+y",
           r"(?:a+)+\x00", r"(?=(a+)+b)x", r"(?i)(a+)+b", r"(?<!(a+)+b)c"]


@pytest.mark.parametrize("expression", ENDLESS)
@pytest.mark.parametrize("payload", [b"a" * 31 + b"!", b"a" * 60_000 + b"!", b"x" * 60_000, b"ab c" * 15_000])
def test_an_endless_expression_costs_no_more_than_its_budget(expression: str, payload: bytes) -> None:
    read = read_rules(f'alert udp any any -> any any (pcre:"/{expression}/"; sid:1;)')
    assert not read.refused, read.refused
    began = time.process_time_ns()
    try:
        matches(read.signatures[0].steps, Text(payload))
    except TooMuch:
        pass
    assert time.process_time_ns() - began < 3 * BUDGET_NS


def test_the_worst_ones_are_given_up() -> None:
    for expression in (r"(x+x+)+y", r"(a{1,20}){1,20}x", r"(([a-z])+.)+[A-Z]([a-z])+$"):
        (rule,) = read_rules(f'alert udp any any -> any any (pcre:"/{expression}/"; sid:1;)').signatures
        with pytest.raises(TooMuch):
            matches(rule.steps, Text(b"x" * 60_000))
            matches(rule.steps, Text(b"a" * 60_000))


def test_many_cheap_tries_have_a_budget_too() -> None:
    """One expression behind the other, each of which is quick."""
    (rule,) = read_rules('alert udp any any -> any any (pcre:"/a/"; pcre:"/.*b/sR"; content:"c"; within:1; sid:1;)'
                         ).signatures
    began = time.process_time_ns()
    with pytest.raises(TooMuch):
        matches(rule.steps, Text(b"a" * 30_000 + b"b" * 30_000))
    assert time.process_time_ns() - began < 3 * BUDGET_NS


def _copy(payload: bytes, number: int = 0) -> Copy:
    frame = bytes(Ethernet() / IPv4(source=A, destination=B) / UDP(sport=7, dport=53) / payload)
    copy = Copy(number, 0, 1, len(frame), len(frame), 0, 0, 0, 0, 1, 4, 14, 0, [0] * 4, [0] * 1936)
    copy.data[:len(frame)] = frame
    return copy


def test_a_rule_that_takes_too_much_is_switched_off() -> None:
    rules = read_rules('alert udp any any -> any any (pcre:"/(x+x+)+y/"; sid:1;)\n'
                       'alert udp any any -> any any (content:"xxx"; sid:2;)\n').signatures
    memory = Memory()
    engine = Engine(rules, memory)
    payload = b"x" * 1400
    began = time.process_time_ns()
    found = engine.judge([_copy(payload, number) for number in range(100)])
    cost = time.process_time_ns() - began
    assert [each.rule.sid for each in found] == [2] * 100  # the others go on
    assert [(each.rule.sid, each.times, each.off) for each in engine.overruns] == [
        (1, times, times == MOST_OVERRUNS) for times in range(1, MOST_OVERRUNS + 1)]
    assert engine.figures()["too costly"] == MOST_OVERRUNS
    assert cost < (MOST_OVERRUNS + 10) * BUDGET_NS, "a hundred payloads cost what ten may"
    again = Engine(read_rules('alert udp any any -> any any (pcre:"/(x+x+)+y/"; sid:1;)').signatures, memory)
    assert not again.judge([_copy(payload)]) and not again.overruns  # read anew it is the same rule
    other = Engine(read_rules('alert udp any any -> any any (pcre:"/x+y/"; sid:1;)').signatures, memory)
    assert [each.rule.sid for each in other.judge([_copy(b"xxy")])] == [1]
    assert engines.MOST_OVERRUNS == 10 and BUDGET_NS == 20_000_000  # as the README says


@pytest.mark.parametrize(("expression", "letters", "data", "found"), [
    (r"a{e<=1}", "", b"a{e<=1}", True), (r"a{e<=1}", "", b"a", False),  # no fuzzy matching
    (r"x{2}y{1,}z{0,3}", "", b"xxyy", True), (r"[{e}]+$", "", b"{e}", True), (r"\{s<=2}", "", b"{s<=2}", True),
    (r"(ab?)-\g{1}!", "", b"ab-ab!", True), (r"(ab?)-\g1!", "", b"ab-a!", False), (r"a\\g{1}", "", rb"a\g{1}", True),
    (r"[[:alpha:]]{3}", "", b"1abc", True), (r"[[:digit:]x]{3}", "", b"1x2", True), (r"a||b", "", b"", True),
    (r"[a||b]", "", b"|", True), (r"a\z", "", b"a\n", False), (r"a\Z", "", b"a\n", True), (r"a\Z", "", b"a\n\n", False),
    (r"a$", "", b"a\n", True), (r"\\Z", "", rb"\Z", True), (r"\\z", "", rb"\z", True), (r"(?i)aB", "", b"Ab", True),
    (r"a(?i:B)c", "", b"abc", True), (r"a(?i:B)c", "", b"Abc", False), (r"(?s:a.)b", "", b"a\nb", True),
    (r"a b # no", "x", b"ab", True), (r"(?<name>a)(?P=name)", "", b"aa", True), (r"a++ab", "", b"aaab", False),
    (r"(?<=a{1,3})b", "", b"ab", True), (r"\xe9", "i", b"\xc9", False), (r"\w", "", b"\xe9", False),
    (r"^b", "m", b"a\r\nb", True), (r"a.b", "", b"a\rb", True), (r"a.b", "", b"a\nb", False),
    (r"(a)|b\1", "", b"b", False), (r"(?:a|ab)(?:c|bcd)$", "", b"abcd", True), (r"\d{2,4}?5", "", b"12345", True),
])
def test_expressions_mean_what_pcre_means(expression: str, letters: str, data: bytes, found: bool) -> None:
    assert (compiled(expression, letters, anchored=False).search(data) is not None) == found


def test_a_verbose_expression_that_ends_with_a_comment() -> None:
    assert compiled("a b # the end", "x", anchored=True).search(b"ab")
    assert not compiled("a b # the end", "x", anchored=True).search(b"-ab")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(Wrong, match="need the library regex"):
        compiled("a", "", anchored=False)
    read = read_rules('alert ip any any -> any any (content:"a"; sid:1;)\n'
                      'alert ip any any -> any any (pcre:"/a/"; sid:2;)\n', "a.rules")
    assert [rule.sid for rule in read.signatures] == [1]
    (error,) = read.refused
    assert error.what.startswith("a.rules:2:") and "pip install 'bpfwright[signatures]'" in error.cure
