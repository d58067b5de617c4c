"""What may be evaluated elsewhere than where it is written: look-ups of headers, and texts built in their record.

Which look-ups can wait until they are first tested, so that tests before them say more about the packet:

    ip = ctx.find(IPv4)
    tcp = ctx.find(TCP)
    if ip is None or tcp is None:        # where tcp is looked for, ip is known: no IPv6 to walk
        return xdp.PASS
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang import tree as t
from bpfwright.lang.scope import assignments, mentioned

__all__ = ["can_wait", "is_find", "only_home"]


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
    before = test.values[:next(i for i, value in enumerate(test.values) if name in mentioned(value))]
    if not all(map(_changes_nothing, before)):
        return False
    later = mentioned(statements[following + 1:])
    if test.operator == "and":
        return not branch.other and name not in later
    ends = bool(branch.then) and isinstance(branch.then[-1], (t.Return, t.Break, t.Continue))
    return ends and not branch.other and name not in mentioned(branch.then)


def _changes_nothing(test: Any) -> bool:
    """Whether a test only looks: no calls, no walrus."""
    work = [test]
    while work:
        node = work.pop()
        if isinstance(node, (t.Call, t.Walrus)):
            return False
        if isinstance(node, (list, tuple)):
            work.extend(node)
        elif isinstance(node, t.Node):
            work.extend(getattr(node, field) for field in getattr(node, "fields", ()))
    return True


def only_home(body: list[Any], name: str) -> tuple[Any, str] | None:
    """The record that a text variable is made for: (constructor call, field), or None.

    `path = ctx.filename.read(64)` ... `m[key] = Started(now, path)`: set once, and read once but for tests for None, as
    an argument of a constructor whose value goes into a map and has no other name. Then the text can be read into the
    record's memory at once, and no copy is made.
    """
    if assignments(body)[0].get(name, 0) != 1:
        return None
    homes: list[tuple[Any, str]] = []
    reads = _Reads(name, homes)
    reads.walk(body)
    return homes[0] if len(homes) == 1 and reads.others == 0 else None


class _Reads:
    """Counts how a name is read: as a constructor's argument of a map's new value, in tests for None, otherwise."""

    def __init__(self, name: str, homes: list[tuple[Any, str]]) -> None:
        self.name = name
        self.homes = homes
        self.others = 0

    def walk(self, node: Any) -> None:
        if isinstance(node, (list, tuple)):
            for item in node:
                self.walk(item)
        elif isinstance(node, dict):
            self.walk(list(node.values()))
        elif isinstance(node, t.Compare) and self.is_none_test(node):
            return
        elif isinstance(node, t.Assign):
            if not isinstance(node.target, t.Name):
                self.walk(node.target)
            self.stored(node)
        elif isinstance(node, t.Name):
            self.others += node.name == self.name
        elif isinstance(node, t.Node):
            for field in getattr(node, "fields", ()):
                self.walk(getattr(node, field))

    def is_none_test(self, node: Any) -> bool:
        return (isinstance(node.first, t.Name) and node.first.name == self.name and len(node.rest) == 1
                and node.rest[0][0] in ("is", "is not"))

    def stored(self, node: Any) -> None:
        value = node.value
        made = isinstance(value, t.Call) and value.inlined is None and isinstance(value.call, dict)
        if not made or not isinstance(node.target, t.Index):
            self.walk(value)
            return
        for field, child in value.call["given"].items():
            if isinstance(child, t.Name) and child.name == self.name:
                self.homes.append((value, field))
            else:
                self.walk(child)
