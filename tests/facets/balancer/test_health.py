"""When a backend counts as up: against a model that looks at the whole history, and by example."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.facets.balancer.health import delay_s, judged, needed
from bpfwright.facets.balancer.model import Check
from bpfwright.facets.balancer.standing import (DOWN, DRAIN, PROBED, TOLD, UP, State, goes_elsewhere, read, serves,
                                                written)

SECOND = 10**9
CALM = Check("tcp", rise=2, fall=3, calm_s=60.0)


def history(check: Check, results: list[bool], step_s: float = 1.0) -> list[State]:
    state, found = State(), []
    for number, good in enumerate(results, 1):
        state = judged(state, check, int(number * step_s * SECOND), 7, "" if good else "no")
        found.append(state)
    return found


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_so_many_in_a_row_and_no_fewer_change_it(results: list[bool], rise: int, fall: int) -> None:
    check = Check("tcp", rise=rise, fall=fall, calm_s=1e9)
    states = history(check, results)
    up, flaps, run = True, 0, 0
    for good, state in zip(results, states, strict=True):
        run = run + 1 if good != up else 0
        wanted = fall if up else rise * 2 ** min(flaps - 1, 4)
        if run == wanted:
            up, run, flaps = good, 0, flaps + (not good)
        assert (state.up, state.streak, state.flaps) == (up, run, flaps)
    assert sum(a.up != b.up for a, b in zip([State(), *states], states, strict=False)) == (
        states[-1].changes if states else 0)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 1 << 63))
def test_a_state_survives_its_table(results: list[bool], latency: int) -> None:
    state = history(CALM, results)[-1]._replace(latency_ns=latency, error="é" * 60)
    again = read(written(state))
    assert again._replace(error="") == state._replace(error="")
    assert again.error == "é" * 31  # as many as 63 bytes hold whole


def until_it_changes(state: State, now: int, error: str) -> tuple[State, int, int]:
    """The state that comes of checks a second apart, when it came, after how many."""
    for checks in range(1, 100):
        after = judged(state, CALM, now + checks * SECOND, 0, error)
        if after.up != state.up:
            return after, now + checks * SECOND, checks
        state = after
    raise AssertionError("it never changes")


def test_one_that_keeps_changing_needs_ever_more_until_it_was_calm() -> None:
    state, now = State(), 0
    taken = []
    for _ in range(7):
        state, now, _ = until_it_changes(state, now, "no")
        state, now, checks = until_it_changes(state, now, "")
        taken.append(checks)
    assert taken[:4] == [2, 4, 8, 16] and max(taken) <= 2 << 4
    flaps = state.flaps
    state = judged(state, CALM, now + 60 * SECOND, 0, "")
    assert state.flaps == flaps - 1
    state = judged(state, CALM, now + 3600 * SECOND, 0, "")
    assert state.flaps == 0
    for step in range(1, 4):
        state = judged(state, CALM, now + (3600 + step) * SECOND, 0, "no")
    assert (state.up, needed(state, CALM)) == (False, 2)


def test_a_clock_that_goes_back_changes_nothing_else() -> None:
    states = history(CALM, [False, False, False])
    after = judged(states[-1], CALM, 1, 5, "")
    assert (after.up, after.streak, after.flaps) == (False, 1, 1)
    assert judged(after, CALM, 2, 5, "").up


@given(st.floats(0, 1), st.integers(0, 100), st.booleans())
def test_the_next_check_is_near_its_time(chance: float, failed: int, up: bool) -> None:
    check = Check("tcp", interval_s=2.0, backoff=4.0)
    wait = delay_s(State(up=up), check, chance, failed=failed)
    assert 1.8 <= wait <= (2.2 if up or failed < 2 else 8.8)
    if not up and failed > 3:
        assert wait >= 7.2


@pytest.mark.parametrize(("said", "probed", "serving", "elsewhere"), [
    (0, False, True, False), (0, True, False, True), (DOWN, False, False, True), (DRAIN, False, False, False),
    (DRAIN, True, False, True), (UP, True, True, False), (UP, False, True, False), (DOWN, True, False, True)])
def test_what_a_person_says_counts_before_what_checks_say(said: int, probed: bool, serving: bool,
                                                          elsewhere: bool) -> None:
    key = 5 << 16 | 9
    down = {key | TOLD: said} if said else {}
    if probed:
        down[key | PROBED] = 1
    assert (serves(down, key), goes_elsewhere(down, key)) == (serving, elsewhere)
    assert serves(down, key + 1) and not goes_elsewhere(down, key + 1)
