"""fq, which keeps to the times that pacing gives to packets: at an interface's root, or in a class of HTB."""
from __future__ import annotations

import errno

from bpfwright.errors import KernelError, NotSupported
from bpfwright.kernel import qdisc
from bpfwright.kernel.netlink import Netlink

__all__ = ["MAJOR", "give", "is_there"]

MAJOR = 0xB9E  # of our qdiscs at roots
_PACKETS, _OF_A_FLOW = 20_000, 2_000  # that may wait: what is too long ago is for the horizon to say


def is_there(netlink: Netlink, index: int) -> bool:
    """Whether an interface has fq, or mq with nothing but fq below it."""
    kind = qdisc.root(netlink, index).kind
    below = [each.kind for each in qdisc.below_root(netlink, index)] if kind == "mq" else []
    return kind == "fq" or (bool(below) and set(below) == {"fq"})


def give(netlink: Netlink, index: int, major: int = MAJOR, parent: int = qdisc.ROOT) -> None:
    """Give fq to an interface's root, or to a class."""
    try:
        qdisc.set_fq(netlink, index, major, packets=_PACKETS, of_a_flow=_OF_A_FLOW, parent=parent)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        raise NotSupported("this kernel has no fq, which pacing needs", why="it is built without CONFIG_NET_SCH_FQ, or "
                           "the module sch_fq is not there",
                           cure="Keep the rate by `limits` (what is too much is dropped) or by `classes`.") from None
