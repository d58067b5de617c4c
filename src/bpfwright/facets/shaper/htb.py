"""Classes of HTB: made, changed in place while packets flow, and taken away again; each may have an fq of its own.

A class keeps its number while it is there, so that what waits in its queue goes on.
"""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.facets.shaper import fq
from bpfwright.kernel import qdisc
from bpfwright.kernel.netlink import Netlink, interface_index

__all__ = ["MAJOR", "Class", "Tree", "handle", "keep", "make", "minors", "rows"]

MAJOR = 0xB9F  # of our qdiscs
_TOP = 1  # the class of the whole interface


class Class(NamedTuple):
    """A class: at least `rate` bits a second, at most `ceil`, before those of a higher `priority` number."""

    name: str
    rate: int
    ceil: int
    priority: int
    burst: int


class Tree(NamedTuple):
    """An interface's rate and its classes; the stage sorts what none takes into `default`."""

    rate: int
    classes: tuple[Class, ...]
    default: str


def _minor(name: str) -> int:
    """A class's number: made of its name, so that programs know it before HTB is there. It is the packets' priority,
    of which fq reads the last four bits: 0 is nothing in particular, 7 would go before all others, at once."""
    number = 2166136261
    for octet in name.encode():
        number = (number ^ octet) * 16777619 & 0xFFFFFFFF
    return 0x10 + number % 0xF00 * 0x10


def minors(tree: Tree) -> dict[str, int]:
    """Every class's number; names that collide move on."""
    found: dict[str, int] = {}
    for each in sorted(tree.classes):
        minor = _minor(each.name)
        while minor in found.values():
            minor += 0x10
        found[each.name] = minor
    return found


def handle(tree: Tree, name: str) -> int:
    """What a packet's priority is, for a class to take it."""
    return qdisc.handle_of(MAJOR, minors(tree)[name])


def make(netlink: Netlink, index: int, tree: Tree, paced: bool) -> None:
    """Give an interface HTB with these classes, or change those that it has; `paced`: with fq in each."""
    numbers = minors(tree)
    if qdisc.root(netlink, index).handle != qdisc.handle_of(MAJOR):
        qdisc.set_htb(netlink, index, MAJOR, 0)
    qdisc.set_class(netlink, index, MAJOR, _TOP, 0, rate=tree.rate, ceil=tree.rate)
    for each in tree.classes:
        qdisc.set_class(netlink, index, MAJOR, numbers[each.name], _TOP, rate=each.rate, ceil=each.ceil,
                        priority=each.priority, burst=each.burst)
    if paced:
        for parent in _parents(tree) - _with_fq(netlink, index):
            fq.give(netlink, index, 0, parent)


def keep(netlink: Netlink, index: int, tree: Tree, paced: bool) -> None:
    """Remove classes that a tree does not want, those of a change that failed too, and fq where it is not wanted."""
    wanted = _parents(tree)
    for each in list(qdisc.classes(netlink, index, MAJOR)):
        if each.minor != _TOP and qdisc.handle_of(MAJOR, each.minor) not in wanted:
            qdisc.delete_class(netlink, index, MAJOR, each.minor)
    if not paced:
        for parent in wanted & _with_fq(netlink, index):
            qdisc.delete(netlink, index, parent)


def _parents(tree: Tree) -> set[int]:
    return {qdisc.handle_of(MAJOR, minor) for minor in minors(tree).values()}


def _with_fq(netlink: Netlink, index: int) -> set[int]:
    return {each.parent for each in qdisc.below_root(netlink, index) if each.kind == "fq"}


def rows(tree: Tree, interfaces: tuple[str, ...]) -> list[dict[str, Any]]:
    """What went through each class so far."""
    names = {minor: name for name, minor in minors(tree).items()}
    found = []
    with Netlink() as netlink:
        for interface in interfaces:
            for each in qdisc.classes(netlink, interface_index(interface), MAJOR):
                if each.minor in names:
                    found.append({"rule": f"{interface} {names[each.minor]}", "how": "HTB class",
                                  "packets": each.packets, "bytes": each.bytes, "dropped": each.drops,
                                  "waiting": each.backlog})
    return found
