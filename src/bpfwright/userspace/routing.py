"""Routes and neighbours that are given, for bpf_fib_lookup() and bpf_check_mtu() (net/core/filter.c)."""
from __future__ import annotations

from struct import pack_into, unpack_from

from bpfwright._typing import TYPE_CHECKING, Mapping, NamedTuple, Sequence
from bpfwright.errors import UsageError
from bpfwright.spec.page import PROGRAM

if TYPE_CHECKING:
    from bpfwright.userspace.interpreter import Interpreter

__all__ = ["Fib", "Route", "check_mtu", "fib_lookup"]

_SUCCESS, _BLACKHOLE, _UNREACHABLE, _PROHIBIT, _NOT_FORWARDED, _NO_NEIGHBOUR, _TOO_LONG = 0, 1, 2, 3, 4, 7, 8
_KINDS = {"blackhole": _BLACKHOLE, "unreachable": _UNREACHABLE, "prohibit": _PROHIBIT}
_ENODEV, _EINVAL, _EAFNOSUPPORT = -19, -22, -97
_INET, _INET6 = 2, 10
_OUTPUT, _SKIP_NEIGHBOUR, _FLAGS = 2, 4, 0x3F
_XDP, _LINK_HEADER, _PARAMETERS, _TARGET = 6, 14, 64, 32
_DEFAULT_MTU = 1500


class Route(NamedTuple):
    """A network ("10.0.0.0/8"), the interface that leads there, and by which address (none: it is on the link).

    `kind` is unicast, local, blackhole, unreachable or prohibit; `source` the address that is preferred for it.
    """

    network: str
    ifindex: int = 0
    via: str = ""
    kind: str = "unicast"
    mtu: int = 0
    source: str = ""


class Fib:
    """Routes, the link addresses of neighbours and interfaces ("02:00:00:00:00:01"), and what interfaces carry at most.

    >>> Fib([Route("0.0.0.0/0", 2, via="192.0.2.1")], neighbours={"192.0.2.1": "02:00:00:00:00:01"})
    """

    def __init__(self, routes: Sequence[Route] = (), *, neighbours: Mapping[str, str] | None = None,
                 interfaces: Mapping[int, str] | None = None, mtus: Mapping[int, int] | None = None) -> None:
        from ipaddress import ip_address, ip_network
        self.mtus = dict(mtus or {})
        self._macs = {number: _mac(text) for number, text in (interfaces or {}).items()}
        self._neighbours = {ip_address(each).packed: _mac(text) for each, text in (neighbours or {}).items()}
        self._routes: list[tuple[int, int, int, int, Route]] = []
        for route in routes:
            try:
                network = ip_network(route.network)
            except ValueError as problem:
                raise UsageError(f"{route.network!r} is no network", why=str(problem)) from None
            self._routes.append((network.version, network.prefixlen, int(network.network_address),
                                 int(network.netmask), route))
        self._routes.sort(key=lambda each: -each[1])

    def mtu(self, ifindex: int) -> int:
        """What an interface carries at most, in bytes."""
        return self.mtus.get(ifindex, _DEFAULT_MTU)

    def find(self, destination: bytes) -> Route | None:
        """The route of the longest prefix."""
        version, number = 4 if len(destination) == 4 else 6, int.from_bytes(destination, "big")
        return next((route for v, _, base, mask, route in self._routes if v == version and number & mask == base), None)

    def neighbour(self, address: bytes) -> bytes | None:
        """The link address of a neighbour."""
        return self._neighbours.get(address)

    def own(self, ifindex: int) -> bytes:
        """The link address of an interface."""
        return self._macs.get(ifindex, bytes(6))


def _mac(text: str) -> bytes:
    try:
        found = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        found = b""
    if len(found) != 6:
        raise UsageError(f"{text!r} is no link address", cure='Write it as "02:00:00:00:00:01".')
    return found


def fib_lookup(interpreter: Interpreter, r: list[int]) -> int:
    """Where a packet goes: struct bpf_fib_lookup in and out; a BPF_FIB_LKUP_RET_ number or a negative errno."""
    machine, memory = interpreter.host.machine, interpreter.arena.memory
    at, size, flags = r[2:5]
    size, fib = size & 0xFFFFFFFF, machine.fib
    if size < _PARAMETERS or flags & 0xFFFFFFFF & ~_FLAGS:
        return _EINVAL
    family, length = memory[at], int(unpack_from("<H", memory, at + 6)[0])
    if family not in (_INET, _INET6):
        return _EAFNOSUPPORT
    destination = bytes(memory[at + _TARGET:at + _TARGET + (4 if family == _INET else 16)])
    if fib is None:
        return _NOT_FORWARDED
    route = fib.find(destination)
    if route is None:
        return _NOT_FORWARDED if family == _INET else _UNREACHABLE
    if route.kind != "unicast":
        return _KINDS.get(route.kind, _NOT_FORWARDED)
    mtu = route.mtu or fib.mtu(route.ifindex)
    if length > mtu:
        pack_into("<H", memory, at + 6, mtu)
        return _TOO_LONG
    pack_into("<H", memory, at + 6, mtu)
    return _next_hop(memory, at, fib, route, destination, flags)


def _next_hop(memory: bytearray, at: int, fib: Fib, route: Route, destination: bytes, flags: int) -> int:
    from ipaddress import ip_address
    hop = ip_address(route.via).packed if route.via else destination
    if route.via:
        if len(hop) == 16:
            memory[at] = _INET6
        memory[at + _TARGET:at + _TARGET + len(hop)] = hop
    pack_into("<I", memory, at + 12, 0)  # rt_metric
    pack_into("<I", memory, at + 8, route.ifindex)
    if flags & _SKIP_NEIGHBOUR:
        return _SUCCESS
    found = fib.neighbour(hop)
    if found is None:
        return _NO_NEIGHBOUR
    pack_into("<I", memory, at + 48, 0)  # h_vlan_proto, h_vlan_TCI
    memory[at + 52:at + 58], memory[at + 58:at + 64] = fib.own(route.ifindex), found
    return _SUCCESS


def check_mtu(interpreter: Interpreter, r: list[int]) -> int:
    """Whether a packet, changed by so many bytes, fits an interface: 0, or 1 when it must be cut up."""
    machine, memory = interpreter.host.machine, interpreter.arena.memory
    context, ifindex, at, change, flags = r[1:6]
    change = (change & 0xFFFFFFFF) - (1 << 32 if change >> 31 & 1 else 0)
    driver = int(unpack_from("<I", memory, PROGRAM)[0]) == _XDP
    if flags & ~(0 if driver else 1) or (flags & 1 and change):
        return _EINVAL
    mtu = machine.fib.mtu(ifindex) if machine.fib is not None else _DEFAULT_MTU
    given = int(unpack_from("<I", memory, at)[0])
    start, end = unpack_from("<II", memory, context + (0 if driver else 76))
    length = (given + _LINK_HEADER if given else end - start) + change
    pack_into("<I", memory, at, mtu)
    return int(length > mtu + _LINK_HEADER)
