"""Queueing disciplines by rtnetlink: what is at an interface's root, HTB with its classes, and fq.

Rates are bits a second, bursts bytes. Sources: include/uapi/linux/pkt_sched.h, net/sched/sch_htb.c, sch_fq.c.
"""
from __future__ import annotations

import errno
from struct import pack, unpack_from

from bpfwright._abi import netlink as N
from bpfwright._typing import Iterator, NamedTuple
from bpfwright.errors import KernelError
from bpfwright.kernel.netlink import Netlink, attribute, nested, parse_attributes

__all__ = ["ROOT", "ClassStatistics", "Qdisc", "below_root", "classes", "delete", "delete_class", "delete_root",
           "give_back", "handle_of", "root", "set_class", "set_fq", "set_htb"]

ROOT = 0xFFFFFFFF
"""The parent of what is at an interface's root: TC_H_ROOT."""
_INGRESS = 0xFFFFFFF1  # TC_H_INGRESS, clsact's too
_FQ_PLIMIT, _FQ_FLOW_PLIMIT = 1, 2  # TCA_FQ_*
_TICK_NS = 64  # PSCHED_TICKS2NS
_LONGEST = (1 << 32) - 1


class Qdisc(NamedTuple):
    """A qdisc; `handle` is 0 for the one that is there when nobody gave another. `options` are as netlink has them."""

    kind: str
    handle: int
    parent: int = ROOT
    options: bytes = b""


class ClassStatistics(NamedTuple):
    """A class of HTB and what went through it: `minor`, bytes, packets, drops, bytes that wait."""

    minor: int
    bytes: int
    packets: int
    drops: int
    backlog: int


def handle_of(major: int, minor: int = 0) -> int:
    """MAJOR:MINOR as one number."""
    return major << 16 | minor


def _message(ifindex: int, handle: int, parent: int) -> bytes:
    """struct tcmsg."""
    return pack("=BxxxiIII", 0, ifindex, handle, parent, 0)


def _qdiscs(netlink: Netlink, ifindex: int) -> Iterator[Qdisc]:
    for message in netlink.request(N.RTM_GETQDISC, _message(0, 0, 0), N.NLM_F_DUMP, "listing qdiscs"):
        _, found, handle, parent, _ = unpack_from("=BxxxiIII", message.body)
        if found == ifindex and parent != _INGRESS:
            known = message.attributes(20)
            kind = known.get(N.TCA_KIND, b"").rstrip(b"\0").decode()
            yield Qdisc(kind, handle, parent, known.get(N.TCA_OPTIONS, b""))


def root(netlink: Netlink, ifindex: int) -> Qdisc:
    """What is at the root of an interface."""
    return next((each for each in list(_qdiscs(netlink, ifindex)) if each.parent == ROOT), Qdisc("", 0))


def below_root(netlink: Netlink, ifindex: int) -> list[Qdisc]:
    """The qdiscs of an interface that others hold."""
    return [each for each in _qdiscs(netlink, ifindex) if each.parent != ROOT]


def give_back(netlink: Netlink, ifindex: int, qdisc: Qdisc) -> None:
    """Make a qdisc as it was, where it was: what `root` and `below_root` said of it."""
    options = attribute(N.TCA_OPTIONS, qdisc.options) if qdisc.options else b""
    netlink.request(N.RTM_NEWQDISC, _message(ifindex, qdisc.handle, qdisc.parent)
                    + attribute(N.TCA_KIND, qdisc.kind) + options, N.NLM_F_CREATE | N.NLM_F_REPLACE,
                    f"giving the interface back its {qdisc.kind}")


def set_fq(netlink: Netlink, ifindex: int, major: int, *, packets: int, of_a_flow: int, parent: int = ROOT) -> None:
    """fq at the root or in a class, where so many packets may wait; a `major` of 0 lets the kernel choose.

    Since Linux 3.12; packets' own times since 4.20."""
    options = nested(N.TCA_OPTIONS, attribute(_FQ_PLIMIT, pack("=I", packets))
                     + attribute(_FQ_FLOW_PLIMIT, pack("=I", of_a_flow)))
    netlink.request(N.RTM_NEWQDISC, _message(ifindex, handle_of(major), parent) + attribute(N.TCA_KIND, "fq") + options,
                    N.NLM_F_CREATE | N.NLM_F_REPLACE, "giving the interface fq")


def set_htb(netlink: Netlink, ifindex: int, major: int, default: int) -> None:
    """HTB at the root; what no class takes goes to class `default`."""
    options = nested(N.TCA_OPTIONS, attribute(N.TCA_HTB_INIT, pack("=5I", 3, 10, default, 0, 0)))
    netlink.request(N.RTM_NEWQDISC, _message(ifindex, handle_of(major), ROOT) + attribute(N.TCA_KIND, "htb") + options,
                    N.NLM_F_CREATE | N.NLM_F_REPLACE, "giving the interface HTB")


def delete_root(netlink: Netlink, ifindex: int) -> None:
    """Take the root qdisc away; the interface's default comes back. One that is gone already is no error."""
    delete(netlink, ifindex, ROOT)


def delete(netlink: Netlink, ifindex: int, parent: int) -> None:
    """Take the qdisc of the root or of a class away; the default comes back. One that is gone already is no error."""
    try:
        netlink.request(N.RTM_DELQDISC, _message(ifindex, 0, parent), what="removing a qdisc")
    except KernelError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENODEV):
            raise


def set_class(netlink: Netlink, ifindex: int, major: int, minor: int, parent: int, *, rate: int, ceil: int,
              priority: int = 0, burst: int = 0) -> None:
    """Make a class of HTB, or change it in place: at least `rate`, at most `ceil`, so many bytes at once."""
    burst = burst or max(1600 + 1, ceil // 8 // 250)
    quantum = min(max(rate // 8 // 10, 1514), 60_000)
    options = nested(
        N.TCA_OPTIONS,
        attribute(N.TCA_HTB_PARMS, _rate(rate) + _rate(ceil) + pack(
            "=5I", _ticks(burst, rate), _ticks(burst, ceil), quantum, 0, priority)),
        attribute(N.TCA_HTB_RATE64, pack("=Q", rate // 8)), attribute(N.TCA_HTB_CEIL64, pack("=Q", ceil // 8)))
    netlink.request(N.RTM_NEWTCLASS, _message(ifindex, handle_of(major, minor), handle_of(major, parent) if parent
                                              else handle_of(major)) + attribute(N.TCA_KIND, "htb") + options,
                    N.NLM_F_CREATE, f"making class {major:x}:{minor:x}")


def delete_class(netlink: Netlink, ifindex: int, major: int, minor: int) -> None:
    """Remove a class of HTB; one that is gone already is no error."""
    try:
        netlink.request(N.RTM_DELTCLASS, _message(ifindex, handle_of(major, minor), 0), what="removing a class")
    except KernelError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def classes(netlink: Netlink, ifindex: int, major: int) -> Iterator[ClassStatistics]:
    """The classes of HTB at the root."""
    for message in netlink.request(N.RTM_GETTCLASS, _message(ifindex, 0, 0), N.NLM_F_DUMP, "listing classes"):
        _, found, handle, _, _ = unpack_from("=BxxxiIII", message.body)
        if found != ifindex or handle >> 16 != major:
            continue
        inside = parse_attributes(message.attributes(20).get(N.TCA_STATS2, b""))
        octets, packets = unpack_from("=QI", inside.get(N.TCA_STATS_BASIC, bytes(12)))
        _, backlog, drops = unpack_from("=III", inside.get(N.TCA_STATS_QUEUE, bytes(20)))
        yield ClassStatistics(handle & 0xFFFF, octets, packets, drops, backlog)


def _rate(bits: int) -> bytes:
    """struct tc_ratespec; faster ones than it can say stand in an attribute of 64 bits."""
    return pack("=BBHhHI", 0, 0, 0, -1, 0, min(bits // 8, _LONGEST))


def _ticks(octets: int, bits: int) -> int:
    """The time that a burst takes, in ticks of 64 ns."""
    return min(octets * 8 * 10**9 // bits // _TICK_NS, _LONGEST)
