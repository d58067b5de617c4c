"""Both ends of a socket, as a record's part, and how they are written."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.helpers import address_of, kernel_object
from bpfwright.facets.tools._files import file_of
from bpfwright.facets.tools._tool import Option
from bpfwright.types import KernelStruct, L, Struct, array, ptr, u8, u16, u32, u64
from bpfwright.vmlinux import inet_sock, sock, socket

__all__ = ["INET6", "PORTS", "STATES", "Ends", "asked_port", "asked_ports", "destination", "ends", "is_socket",
           "socket_of", "source", "version"]

INET, INET6 = 2, 10
STATES = ("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
          "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV")


class Ends(Struct):
    """Ours and theirs: addresses of the family, ports as numbers."""

    family: u16
    sport: u16
    dport: u16
    source4: u32
    destination4: u32
    source6: array[u8, L[16]]
    destination6: array[u8, L[16]]


def ends(sk: sock) -> Ends:
    """Both ends of a socket."""
    c = sk.__sk_common
    sport = kernel_object(inet_sock, address_of(sk)).inet_sport  # skc_num is given back before the last change of state
    return Ends(c.skc_family, sport, c.skc_dport, c.skc_rcv_saddr, c.skc_daddr,
                c.skc_v6_rcv_saddr.in6_u.u6_addr8, c.skc_v6_daddr.in6_u.u6_addr8)


def _address(family: int, four: int, six: Any) -> str:
    if family != INET6:
        return ".".join(map(str, four.to_bytes(4, "big")))
    packed = bytes(six)
    if packed[:12] == bytes(10) + b"\xff\xff":
        return ".".join(map(str, packed[12:]))
    from bpfwright.headers import IPv6
    return IPv6.Address.format(packed)


def source(record: Any) -> str:
    """Our address."""
    e = record.ends
    return _address(e.family, e.source4, e.source6)


def destination(record: Any) -> str:
    """Their address."""
    e = record.ends
    return _address(e.family, e.destination4, e.destination6)


def version(record: Any) -> int:
    """4 or 6."""
    return 6 if record.ends.family == INET6 else 4


def asked_port(wanted: str, port: int) -> bool:
    """Whether a port is among `80,443`; nothing asked for is all."""
    return not wanted or str(port) in wanted.replace(" ", "").split(",")


PORTS = (Option("-L, --localport", "from these ports only", ""),
         Option("-D, --remoteport", "to these ports only", ""))


def asked_ports(record: Any, options: Any) -> bool:
    """Whether both ports of a record are among those asked for by PORTS."""
    return asked_port(options.localport, record.ends.sport) and asked_port(options.remoteport, record.ends.dport)


class SocketFile(KernelStruct, type="file"):
    """What a socket's descriptor stands for."""

    private_data: ptr[socket]


def socket_of(fd: u64) -> sock:
    """The socket behind a descriptor of the current process; nothing sensible when it is a file."""
    return kernel_object(SocketFile, address_of(file_of(fd))).private_data.sk


def is_socket(fd: u64) -> bool:
    """Whether a descriptor is a socket's."""
    return u32(file_of(fd).f_inode.i_mode) >> 12 == 12
