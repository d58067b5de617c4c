"""What a rule of the shaper is about: conditions of which all must hold, on the packet and on who sends it."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.datapath.conditions import all_of, always, any_of, conditions, values
from bpfwright.datapath.configuration import Section
from bpfwright.facets.shaper import senders

__all__ = ["Match", "read_match"]


class Match(NamedTuple):
    """Conditions of which all must hold; none hold for every packet. `test(ctx, packet)` is of the dialect, `sender`
    whether it asks who sends, which is known of what goes out only."""

    test: Callable[[Any, Any], Any]
    sender: bool


def read_match(section: Section | None) -> Match:
    """The `match` of a rule; ConfigurationError with its line."""
    if section is None:
        return Match(always, False)
    tests = conditions(section)
    groups = [senders.cgroup_of(scalar) for scalar in values(section, "cgroup")]
    for scalar in values(section, "process"):
        groups += senders.cgroups_of_process(scalar, section.sources)
    tests += [any_of([_cgroup(group) for group in groups])] if groups else []
    users = [senders.user_of(scalar) for scalar in values(section, "user")]
    tests += [any_of([_user(number) for number in users])] if users else []
    section.done()
    if not tests:
        section.wrong("this matches nothing in particular", "Leave `match` out to take every packet.")
    return Match(all_of(tests), bool(groups or users))


def _cgroup(group: senders.Cgroup) -> Any:
    number, depth = group

    def is_it(ctx: Any, packet: Any) -> Any:
        return ctx.ancestor_cgroup_id(depth) == number

    return is_it


def _user(number: int) -> Any:
    def is_it(ctx: Any, packet: Any) -> Any:
        return ctx.socket_uid == number

    return is_it
