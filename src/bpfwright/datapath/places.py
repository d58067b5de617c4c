"""Interfaces as configuration names them: what they are, and what others have at their hooks."""
from __future__ import annotations

from struct import pack, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._abi import netlink as N
from bpfwright._typing import Collection, Iterator, NamedTuple, Sequence
from bpfwright.kernel import listing
from bpfwright.kernel.netlink import Netlink, interface_index

__all__ = ["HOOKS", "Interface", "Other", "interface", "others"]

HOOKS = ("xdp", "ingress", "egress")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_XDP_ATTACHED = {1: "native", 2: "generic", 3: "offloaded", 4: "several"}


class Interface(NamedTuple):
    """An interface: `addresses` as text with prefix lengths, `mode` as it is configured (auto, native, generic)."""

    name: str
    number: int
    mac: bytes
    mtu: int
    addresses: tuple[str, ...]
    mode: str = "auto"


class Other(NamedTuple):
    """A program of somebody else at a hook."""

    interface: str
    hook: str
    program: int
    name: str
    how: str


def interface(name: str, mode: str = "auto") -> Interface:
    """What an interface of this network namespace is; TargetError when there is none of that name."""
    index = interface_index(name)
    with Netlink() as netlink:
        facts = next((message.attributes(16) for message in netlink.request(
            N.RTM_GETLINK, pack("=BxHiII", 0, 0, index, 0, 0), what=f"asking for {name}")), {})
        addresses = tuple(_addresses(netlink, index))
    mtu = unpack_from("=I", facts.get(N.IFLA_MTU, bytes(4)))[0]
    return Interface(name, index, facts.get(N.IFLA_ADDRESS, b""), mtu, addresses, mode)


def _addresses(netlink: Netlink, index: int) -> Iterator[str]:
    import ipaddress
    for message in netlink.request(N.RTM_GETADDR, bytes(8), N.NLM_F_DUMP, "listing addresses"):
        family, prefix, _, _, where = unpack_from("=BBBBI", message.body)
        if message.type == N.RTM_NEWADDR and where == index and family in (2, 10):
            inside = message.attributes(8)
            packed = inside.get(_IFA_LOCAL) or inside.get(_IFA_ADDRESS, b"")
            yield f"{ipaddress.ip_address(packed)}/{prefix}"


def others(names: Sequence[str], ours: Collection[int]) -> list[Other]:
    """The programs at the hooks of interfaces whose numbers are not among `ours`."""
    found = []
    programs = {info.id: info.name for info in listing.programs()}
    tcx = [link for link in listing.links() if link.type == B.BPF_LINK_TYPE_TCX]
    with Netlink() as netlink:
        for name in names:
            index = interface_index(name)
            state, number = netlink.xdp_state(index)
            if number and number not in ours:
                found.append(Other(name, "xdp", number, programs.get(number, ""), _XDP_ATTACHED.get(state, "")))
            for hook, kind in (("ingress", B.BPF_TCX_INGRESS), ("egress", B.BPF_TCX_EGRESS)):
                found += [Other(name, hook, link.program_id, programs.get(link.program_id, ""), "tcx") for link in tcx
                          if link.target == name and link.attach_type == kind and link.program_id not in ours]
                found += [Other(name, hook, 0, called, f"clsact filter, priority {priority}")
                          for _, priority, called in netlink.filters(index, hook == "ingress")]
    return found
