"""The rules that are worth a look: never fewer than hold."""
from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from bpfwright.facets.intrusion.signatures.finding import Finder
from bpfwright.facets.intrusion.signatures.matching import Text


class Rule(NamedTuple):
    number: int
    needle: bytes


LETTERS = st.text(alphabet="abAB\0", max_size=8).map(str.encode)


@given(st.lists(LETTERS, max_size=12), st.lists(LETTERS, max_size=30).map(b"".join))
def test_none_is_left_out(needles: list[bytes], data: bytes) -> None:
    rules = [Rule(number, needle) for number, needle in enumerate(needles)]
    found = Finder(rules).seen_in(Text(data))
    assert {rule for rule in rules if rule.needle.lower() in data.lower()} <= set(found)
    assert [rule.number for rule in found] == sorted({rule.number for rule in found})


def test_few_are_looked_at() -> None:
    rules = [Rule(number, f"word{number:04}".encode()) for number in range(1000)]
    found = Finder(rules).seen_in(Text(b"here is WORD0077 and more of it"))
    assert rules[77] in found and len(found) < 20
    assert not Finder(rules).seen_in(Text(b"nothing")) and not Finder(rules).seen_in(Text(b"wo"))
