"""When a backend is up and when it is down: what one more check changes, when the next is due. No clock, no IO."""
from __future__ import annotations

from bpfwright.facets.balancer.model import Check
from bpfwright.facets.balancer.standing import State

__all__ = ["delay_s", "judged", "needed"]

_MOST_DOUBLINGS = 4
_JITTER = 0.1


def needed(state: State, check: Check) -> int:
    """How many checks in a row it takes to change the state. One that keeps changing needs twice as many to come up
    again for each time that it went down, sixteen times at most."""
    if state.up:
        return check.fall
    return check.rise << min(max(state.flaps - 1, 0), _MOST_DOUBLINGS)


def judged(state: State, check: Check, now_ns: int, latency_ns: int, error: str) -> State:
    """The state after a check; `error` is empty where it went well."""
    good = not error
    state = _eased(state, check, now_ns)._replace(checked_ns=now_ns)
    state = state._replace(latency_ns=latency_ns) if good else state._replace(error=error)
    if not state.since_ns:
        state = state._replace(since_ns=now_ns)
    if good == state.up:
        return state._replace(streak=0)
    streak = state.streak + 1
    if streak < needed(state, check):
        return state._replace(streak=streak)
    return state._replace(up=good, streak=0, flaps=state.flaps + (not good), changes=state.changes + 1,
                          since_ns=now_ns, eased_ns=now_ns)


def _eased(state: State, check: Check, now_ns: int) -> State:
    """One flap is forgotten for each calm time without a change."""
    calm_ns = int(check.calm_s * 1e9)
    if not state.flaps or now_ns < state.eased_ns:
        return state._replace(eased_ns=now_ns)
    gone = min(state.flaps, (now_ns - state.eased_ns) // calm_ns)
    if not state.up:  # it is down for the last of them
        gone = min(gone, state.flaps - 1)
    return state._replace(flaps=state.flaps - gone, eased_ns=state.eased_ns + gone * calm_ns)


def delay_s(state: State, check: Check, chance: float, *, failed: int) -> float:
    """Seconds to the next check. One that is down is asked more rarely, with each of `failed` checks in a row twice as
    long, `backoff` times the interval at most; `chance` (0 to 1) keeps many from asking at once."""
    factor = 1.0 if state.up or not failed else min(check.backoff, 2.0 ** min(failed - 1, 16))
    return check.interval_s * max(1.0, factor) * (1 + _JITTER * (2 * chance - 1))
