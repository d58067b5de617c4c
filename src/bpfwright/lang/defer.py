"""Which look-ups of headers can wait until they are first tested, so that tests before them say more about the packet.

    ip = ctx.find(IPv4)
    tcp = ctx.find(TCP)
    if ip is None or tcp is None:        # where tcp is looked for, ip is known: no IPv6 to walk
        return xdp.PASS
"""
from __future__ import annotations

from typing import Any

from bpfwright.lang import tree as t
from bpfwright.lang.scope import mentioned

__all__ = ["can_wait", "is_find"]


def is_find(statement: Any) -> bool:
    """`name = ctx.find(...)`."""
    return (isinstance(statement, t.Assign) and isinstance(statement.target, t.Name)
            and isinstance(statement.value, t.Call) and isinstance(statement.value.function, t.Attribute)
            and statement.value.function.name == "find" and statement.value.inlined is None
            and hasattr(statement.value.call, "notes") and "headers" in statement.value.call.notes)


def can_wait(statements: list[Any], index: int) -> bool:
    """Whether the look-up at `index` may happen at its name's first mention in the `if` that follows.

    The mention must come before every other one on every path: in an `and` whose branch holds all the others, or in an
    `or` whose branch leaves and mentions none.
    """
    statement = statements[index]
    if not is_find(statement):
        return False
    name = statement.target.name
    following = index + 1
    while following < len(statements) and is_find(statements[following]):
        if name in mentioned(statements[following].value):
            return False
        following += 1
    if following >= len(statements) or not isinstance(statements[following], t.If):
        return False
    branch = statements[following]
    test = branch.test
    if not isinstance(test, t.BoolOp) or name not in mentioned(test) or name in mentioned(test.values[0]):
        return False
    later = mentioned(statements[following + 1:])
    if test.operator == "and":
        return not branch.other and name not in later
    ends = bool(branch.then) and isinstance(branch.then[-1], (t.Return, t.Break, t.Continue))
    return ends and not branch.other and name not in mentioned(branch.then)
