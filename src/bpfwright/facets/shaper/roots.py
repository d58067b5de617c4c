"""The qdiscs at the root of interfaces: HTB for classes, fq for pacing, HTB with fq in its classes for both; and what
was there before, which comes back as it was.

Facts, by interface: the numbers of its classes; below `/fq` the interfaces that have ours at the root, below `/former`
what they had before, if somebody gave it to them. An interface that has fq already, or mq with nothing but fq below
it, is left as it is where fq is what is wanted.
"""
from __future__ import annotations

from contextlib import contextmanager

from bpfwright._typing import Any, Iterator
from bpfwright.datapath.facet import Facts
from bpfwright.errors import KernelError, TargetError
from bpfwright.facets.shaper import fq, htb
from bpfwright.kernel import qdisc
from bpfwright.kernel.netlink import Netlink, interface_index

__all__ = ["enter", "settled"]

_FQ, _FORMER = "/fq", "/former"  # no names of interfaces
_OURS = (qdisc.handle_of(htb.MAJOR), qdisc.handle_of(fq.MAJOR))
_PLAIN = ("noqueue", "pfifo_fast", "fq_codel", "fq", "pfifo", "")  # that can be taken away and given back


def enter(facts: Facts, tree: htb.Tree | None, interfaces: tuple[str, ...], paced: tuple[str, ...]) -> Facts:
    """Make or change what is wanted; what is not wanted any more stays until `settled`. Roots are all or nothing."""
    made, former = _classes(facts), dict(facts.get(_FORMER, {}))
    had = set(facts.get(_FQ, ()))
    with Netlink() as netlink:
        if tree is not None:
            former |= _formers(netlink, interfaces)
            with _undone(netlink, interfaces, former):
                for name in interfaces:
                    htb.make(netlink, interface_index(name), tree, bool(paced))
                    made[name] = sorted({*made.get(name, ()), *htb.minors(tree).values()})
            had -= set(interfaces)
        else:
            wanting = tuple(name for name in paced if not fq.is_there(netlink, interface_index(name)))
            former |= _formers(netlink, wanting)
            with _undone(netlink, wanting, former):
                for name in wanting:
                    fq.give(netlink, interface_index(name))
            had |= set(wanting)
    return _facts(made, had, former)


def settled(facts: Facts, tree: htb.Tree | None, interfaces: tuple[str, ...], paced: tuple[str, ...]) -> Facts:
    """Remove what is not wanted any more; interfaces that are gone have nothing."""
    kept: Facts = {}
    had: set[str] = set()
    former = facts.get(_FORMER, {})
    with Netlink() as netlink:
        for name in {*_classes(facts), *facts.get(_FQ, ())}:
            try:
                index = interface_index(name)
            except TargetError:
                continue
            root = qdisc.root(netlink, index).handle
            if root == qdisc.handle_of(htb.MAJOR) and tree is not None and name in interfaces:
                htb.keep(netlink, index, tree, bool(paced))
                kept[name] = sorted(htb.minors(tree).values())
            elif root == qdisc.handle_of(fq.MAJOR) and tree is None and name in paced:
                had.add(name)
            elif root in _OURS:
                _give_back(netlink, index, former.get(name, []))
    return _facts(kept, had, {name: known for name, known in former.items() if name in kept or name in had})


def _classes(facts: Facts) -> Facts:
    return {name: known for name, known in facts.items() if name not in (_FQ, _FORMER)}


def _facts(classes: Facts, had: set[str], former: Facts) -> Facts:
    given = {name: known for name, known in former.items() if known}
    return {**classes, **({_FQ: sorted(had)} if had else {}), **({_FORMER: given} if given else {})}


def _formers(netlink: Netlink, interfaces: tuple[str, ...]) -> dict[str, list[Any]]:
    """What those interfaces have that nothing of ours is at yet; KernelError where it is not to be taken away."""
    found = {}
    for name in interfaces:
        index = interface_index(name)
        root = qdisc.root(netlink, index)
        if root.handle in _OURS:
            continue
        below = qdisc.below_root(netlink, index) if root.kind == "mq" else []
        for there in (root, *below):
            if there.handle and there.kind not in _PLAIN and not (there is root and there.kind == "mq"):
                raise KernelError(f"{name} has a root qdisc of somebody else: {there.kind} {there.handle >> 16:x}:", 16,
                                  cure=f"Remove it first: tc qdisc del dev {name} root")
        found[name] = [[each.kind, each.handle, each.parent, each.options.hex()]
                       for each in (root, *below) if each.handle] if root.handle else []
    return found


def _give_back(netlink: Netlink, index: int, former: list[Any]) -> None:
    qdisc.delete_root(netlink, index)
    for kind, handle, parent, options in former:
        qdisc.give_back(netlink, index, qdisc.Qdisc(kind, handle, parent, bytes.fromhex(options)))


@contextmanager
def _undone(netlink: Netlink, interfaces: tuple[str, ...], former: Facts) -> Iterator[None]:
    """If it fails, those that had nothing of ours have again what they had."""
    fresh = [name for name in interfaces
             if qdisc.root(netlink, interface_index(name)).handle not in _OURS]
    try:
        yield
    except BaseException:
        for name in fresh:
            _give_back(netlink, interface_index(name), former.get(name, []))
        raise
