"""A few seeded programs of bench/differential.py: every engine gives what the kernel gives, and none faults."""
from __future__ import annotations

import pytest

from bench import differential

pytestmark = [pytest.mark.userspace, pytest.mark.kernel]


def test_engines_and_the_kernel_agree() -> None:
    tally = differential.run(60, 6, 5, quiet=True)
    assert tally.programs == 60 and tally.compared >= 60 * 6 * 3
    assert tally.watched + tally.partly > 0     # others are run too, and watched
    assert not tally.differences, tally.differences[0][:3]
    assert not tally.faults, tally.faults[0][:3]
    assert not tally.unsupported and not tally.refused


def test_what_is_not_a_programs_own_is_seen() -> None:
    """Outcomes count as long as they do not change when everything stands elsewhere."""
    one: differential.Outcome = (1, b"", [])
    other: differential.Outcome = (2, b"", [])
    assert differential.own([one, one], [one, one]) == 2
    assert differential.own([one, other], [one, one]) == 1
    assert differential.own([other], [one]) == 0
    assert differential.own([one, one], [one]) == 1
