"""A small rtnetlink: XDP and tc attachment, and the interfaces, addresses and routes that tests and the demo need."""
from __future__ import annotations

import _socket
import errno
import os
from struct import pack, unpack_from

from bpfwright._abi import netlink as N
from bpfwright._typing import Iterator, NamedTuple, Self
from bpfwright.errors import KernelError, TargetError

__all__ = ["Attributes", "Message", "Netlink", "attribute", "interface_index", "nested", "parse_attributes"]

_AF_NETLINK, _AF_INET, _AF_INET6, _ETH_P_ALL = 16, 2, 10, 3
_ECHO = 8
_INGRESS = 0xFFFF0000 | N.TC_H_MIN_INGRESS
_EGRESS = 0xFFFF0000 | N.TC_H_MIN_EGRESS

Attributes = dict[int, bytes]


class Message(NamedTuple):
    """A netlink message: its type, and what follows its header."""

    type: int
    body: bytes

    def attributes(self, header: int) -> Attributes:
        """The attributes after the family's own header of `header` bytes."""
        return parse_attributes(self.body[header:])


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute; ints are 32 bits wide, text ends in NUL."""
    if isinstance(value, int):
        value = pack("=I", value & 0xFFFFFFFF)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    return pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute of attributes."""
    return attribute(kind | N.NLA_F_NESTED, b"".join(attributes))


def parse_attributes(data: bytes) -> Attributes:
    """Attributes by type; what is cut off is left out."""
    found: Attributes = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = unpack_from("=HH", data, at)
        if length < 4 or at + length > len(data):
            break
        found[kind & N.NLA_TYPE_MASK] = data[at + 4:at + length]
        at += (length + 3) & ~3
    return found


def interface_index(name: str) -> int:
    """The number of an interface in this network namespace; TargetError when there is none."""
    try:
        return _socket.if_nametoindex(name)
    except OSError:
        raise TargetError(f"there is no interface {name!r}", cure=f"There are: {', '.join(_interfaces())}.") from None


def _interfaces() -> list[str]:
    return [name for _, name in _socket.if_nameindex()]


class Netlink:
    """A netlink socket in the current network namespace."""

    def __init__(self, protocol: int = N.NETLINK_ROUTE) -> None:
        self._socket = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0
        try:
            self._socket.setsockopt(N.SOL_NETLINK, N.NETLINK_EXT_ACK, 1)     # errors in words, since 4.12
            self._socket.bind((0, 0))
        except OSError:
            pass

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def request(self, kind: int, body: bytes, flags: int = 0, what: str = "netlink request") -> list[Message]:
        """Send a request and gather what answers it; KernelError with the kernel's sentence when it has one."""
        self._sequence += 1
        header = pack("=IHHII", 16 + len(body), kind, flags | N.NLM_F_REQUEST | N.NLM_F_ACK, self._sequence, 0)
        try:
            self._socket.send(header + body)
            return list(self._answers(what))
        except KernelError:
            raise
        except OSError as error:
            raise KernelError(f"{what}: {os.strerror(error.errno or 0)}", error.errno or errno.EIO) from None

    def _answers(self, what: str) -> Iterator[Message]:
        while True:
            data = self._socket.recv(1 << 17)
            at = 0
            while at + 16 <= len(data):
                length, kind, flags, sequence, _ = unpack_from("=IHHII", data, at)
                if length < 16 or at + length > len(data):
                    raise KernelError(f"{what}: a torn answer", errno.EBADMSG)
                body = data[at + 16:at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind == N.NLMSG_ERROR:
                    self._check(what, body, flags)
                    return
                if kind == N.NLMSG_DONE:
                    return
                yield Message(kind, body)

    @staticmethod
    def _check(what: str, body: bytes, flags: int) -> None:
        number = -unpack_from("=i", body)[0]
        if not number:
            return
        why = ""
        if flags & 0x200:       # NLM_F_ACK_TLVS: what follows the echoed request
            skip = 20 if flags & 0x100 else 4 + unpack_from("=I", body, 4)[0]
            text = parse_attributes(body[skip:]).get(1, b"")
            why = text.rstrip(b"\0").decode("utf-8", "replace")
        raise KernelError(f"{what}: {os.strerror(number)}", number, why=why)

    # Interfaces

    def create_veth(self, name: str, peer: str) -> None:
        """Make a pair of interfaces that are each other's wire."""
        self._peer(name, peer, b"")

    def _peer(self, name: str, peer: str, more: bytes) -> None:
        info = nested(N.VETH_INFO_PEER, _link(0)[:16] + attribute(N.IFLA_IFNAME, peer) + more)
        body = _link(0) + attribute(N.IFLA_IFNAME, name) + nested(
            N.IFLA_LINKINFO, attribute(N.IFLA_INFO_KIND, "veth"), nested(N.IFLA_INFO_DATA, info))
        self.request(N.RTM_NEWLINK, body, N.NLM_F_CREATE | N.NLM_F_EXCL, f"making {name} and {peer}")

    def delete_interface(self, name: str) -> None:
        """Remove an interface (and a veth's peer)."""
        self.request(N.RTM_DELLINK, _link(interface_index(name)), what=f"removing {name}")

    def set_up(self, name: str, up: bool = True) -> None:
        """Switch an interface on or off."""
        body = pack("=BxHiII", 0, 0, interface_index(name), N.IFF_UP if up else 0, N.IFF_UP)
        self.request(N.RTM_NEWLINK, body, what=f"switching {name} on" if up else f"switching {name} off")

    def move(self, name: str, namespace_fd: int) -> None:
        """Move an interface to another network namespace."""
        self.request(N.RTM_NEWLINK, _link(interface_index(name)) + attribute(N.IFLA_NET_NS_FD, namespace_fd),
                     what=f"moving {name}")

    def set_hardware_address(self, name: str, address: bytes) -> None:
        """Set the six bytes of an Ethernet address."""
        self.request(N.RTM_NEWLINK, _link(interface_index(name)) + attribute(N.IFLA_ADDRESS, address),
                     what=f"setting the address of {name}")

    def add_address(self, name: str, address: str, prefix: int) -> None:
        """Give an interface an IP address, `192.0.2.1` or `2001:db8::1`."""
        family, packed = _address(address)
        no_dad = 0x02 if family == _AF_INET6 else 0     # IFA_F_NODAD: usable at once
        body = pack("=BBBBI", family, prefix, no_dad, 0, interface_index(name))
        body += attribute(N.IFA_LOCAL, packed) + attribute(N.IFA_ADDRESS, packed)
        self.request(N.RTM_NEWADDR, body, N.NLM_F_CREATE | N.NLM_F_EXCL, f"adding {address} to {name}")

    def delete_address(self, name: str, address: str, prefix: int) -> None:
        """Take an IP address from an interface."""
        family, packed = _address(address)
        body = pack("=BBBBI", family, prefix, 0, 0, interface_index(name)) + attribute(N.IFA_LOCAL, packed)
        self.request(N.RTM_DELADDR, body, what=f"taking {address} from {name}")

    def add_route(self, destination: str, prefix: int, *, gateway: str = "", interface: str = "") -> None:
        """Add a route; the default one is ("0.0.0.0", 0) or ("::", 0)."""
        family, packed = _address(destination)
        scope = N.RT_SCOPE_UNIVERSE if gateway or family == _AF_INET6 else N.RT_SCOPE_LINK
        body = pack("=8BI", family, prefix, 0, 0, N.RT_TABLE_MAIN, N.RTPROT_BOOT, scope, N.RTN_UNICAST, 0)
        body += attribute(N.RTA_DST, packed) if prefix else b""
        body += attribute(N.RTA_GATEWAY, _address(gateway)[1]) if gateway else b""
        body += attribute(N.RTA_OIF, interface_index(interface)) if interface else b""
        self.request(N.RTM_NEWROUTE, body, N.NLM_F_CREATE | N.NLM_F_EXCL, f"adding a route to {destination}/{prefix}")

    # XDP

    def set_xdp(self, ifindex: int, fd: int, flags: int, expected_fd: int = -1) -> None:
        """Attach an XDP program (fd -1: detach) the way of kernels without links; `expected_fd` must be there now."""
        inside = [attribute(N.IFLA_XDP_FD, pack("=i", fd))]
        if expected_fd >= 0:
            flags |= 16         # XDP_FLAGS_REPLACE
            inside.append(attribute(N.IFLA_XDP_EXPECTED_FD, pack("=i", expected_fd)))
        inside.append(attribute(N.IFLA_XDP_FLAGS, flags))
        self.request(N.RTM_NEWLINK, _link(ifindex) + nested(N.IFLA_XDP, *inside), what="attaching to XDP")

    def xdp_state(self, ifindex: int) -> tuple[int, int]:
        """(how XDP is attached: XDP_ATTACHED_*, the program's number)."""
        for message in self.request(N.RTM_GETLINK, _link(ifindex), what="asking for the interface"):
            inside = parse_attributes(message.attributes(16).get(N.IFLA_XDP, b""))
            state = inside.get(N.IFLA_XDP_ATTACHED, b"\0")[0]
            return state, unpack_from("=I", inside.get(N.IFLA_XDP_PROG_ID, b"\0\0\0\0"))[0]
        return 0, 0

    # tc

    def add_clsact(self, ifindex: int) -> bool:
        """Give an interface its classifier hooks; False when it had them."""
        body = pack("=BxxxiIII", 0, ifindex, 0xFFFF0000, N.TC_H_CLSACT, 0) + attribute(N.TCA_KIND, "clsact")
        try:
            self.request(N.RTM_NEWQDISC, body, N.NLM_F_CREATE | N.NLM_F_EXCL, "adding the clsact qdisc")
        except KernelError as error:
            if error.errno == errno.EEXIST:
                return False
            raise
        return True

    def delete_clsact(self, ifindex: int) -> None:
        """Remove the classifier hooks with every filter on them."""
        body = pack("=BxxxiIII", 0, ifindex, 0xFFFF0000, N.TC_H_CLSACT, 0) + attribute(N.TCA_KIND, "clsact")
        self.request(N.RTM_DELQDISC, body, what="removing the clsact qdisc")

    def set_filter(self, ifindex: int, ingress: bool, fd: int, name: str, *, handle: int = 0,
                   priority: int = 0) -> tuple[int, int]:
        """Add a direct-action BPF filter, or replace the one of that handle and priority in place; gives both."""
        flags = N.NLM_F_CREATE | _ECHO | (N.NLM_F_REPLACE if handle else N.NLM_F_EXCL)
        body = _filter(ifindex, ingress, handle, priority) + attribute(N.TCA_KIND, "bpf") + nested(
            N.TCA_OPTIONS, attribute(N.TCA_BPF_FD, fd), attribute(N.TCA_BPF_NAME, name),
            attribute(N.TCA_BPF_FLAGS, N.TCA_BPF_FLAG_ACT_DIRECT))
        for message in self.request(N.RTM_NEWTFILTER, body, flags, "adding a filter"):
            if message.type == N.RTM_NEWTFILTER:
                _, found, _, info = unpack_from("=iIII", message.body, 4)
                return found, info >> 16
        raise KernelError("adding a filter: the kernel did not say where", errno.EBADMSG)

    def delete_filter(self, ifindex: int, ingress: bool, handle: int, priority: int) -> None:
        """Remove one BPF filter."""
        self.request(N.RTM_DELTFILTER, _filter(ifindex, ingress, handle, priority) + attribute(N.TCA_KIND, "bpf"),
                     what="removing a filter")

    def filters(self, ifindex: int, ingress: bool) -> list[tuple[int, int, str]]:
        """(handle, priority, name) of the BPF filters at a hook."""
        found = []
        for message in self.request(N.RTM_GETTFILTER, _filter(ifindex, ingress, 0, 0), N.NLM_F_DUMP, "listing filters"):
            _, handle, _, info = unpack_from("=iIII", message.body, 4)
            inside = parse_attributes(message.attributes(20).get(N.TCA_OPTIONS, b""))
            if handle:
                name = inside.get(N.TCA_BPF_NAME, b"").rstrip(b"\0").decode("utf-8", "replace")
                found.append((handle, info >> 16, name))
        return found


def _link(ifindex: int) -> bytes:
    """struct ifinfomsg."""
    return pack("=BxHiII", 0, 0, ifindex, 0, 0)


def _filter(ifindex: int, ingress: bool, handle: int, priority: int) -> bytes:
    """struct tcmsg of a filter for all protocols; ETH_P_ALL stands there in network order."""
    protocol = int.from_bytes(pack("!H", _ETH_P_ALL), "little" if pack("=H", 1) == b"\1\0" else "big")
    return pack("=BxxxiIII", 0, ifindex, handle, _INGRESS if ingress else _EGRESS, priority << 16 | protocol)


def _address(text: str) -> tuple[int, bytes]:
    family = _AF_INET6 if ":" in text else _AF_INET
    try:
        return family, _socket.inet_pton(family, text)
    except OSError:
        raise TargetError(f"{text!r} is no IP address") from None
