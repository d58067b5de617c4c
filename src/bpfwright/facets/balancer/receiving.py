"""A backend's side: packets come out of their tunnel at XDP, and the host takes them as if they had come so.

What is taken out: IPIP and GUE (variant 1), over and of IPv4 and IPv6, sent to one of the tunnel addresses, with a
packet for one of the VIPs inside. Everything else passes as it is. Congestion that the tunnel met is told on (RFC 6040,
4.2).
"""
from __future__ import annotations

from itertools import product

from bpfwright._typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Sequence
from bpfwright.datapath.encapsulation import ETHERNET, IPV4, IPV6, UDP_HEADER, Plain, folded, frame, popper, raw16
from bpfwright.errors import UsageError
from bpfwright.facets.balancer import work
from bpfwright.facets.balancer.mss import LEAST, clamped_in_stack
from bpfwright.facets.balancer.tables import Words, raw_address
from bpfwright.hooks import tc, xdp
from bpfwright.maps import Hash, PerCpuArray
from bpfwright.types import Struct, u16, u32, u64

if TYPE_CHECKING:
    from bpfwright.session import Session

__all__ = ["Received", "Receiver", "receiving"]

_KIND = {4: 0x0008, 6: 0xDD86}
_INSIDE = {4: 4, 6: 41}
_TCP, _UDP = 6, 17
_MOST = 1024
_DONE, _OTHER, _LOST = range(3)
_CE, _NOT_CAPABLE = 3, 0


class Received(Struct):
    """What a receiver has seen."""

    opened: u64
    opened_bytes: u64
    not_ours: u64           # a tunnel to us, but what is inside is for no VIP
    congested: u64          # dropped: the tunnel met congestion, and the packet cannot be told
    other: u64
    mss_lowered: u64


class Receiver(NamedTuple):
    """The program, with its tables."""

    program: xdp.XdpProgram
    here: Any
    vips: Any
    received: Any
    clamp: tc.TcProgram | None = None   # for what goes out, where answers are to say smaller segments

    def fill(self, session: Session, tunnels: Sequence[bytes], vips: Sequence[bytes]) -> None:
        """Say which addresses tunnels lead to, and which VIPs are served."""
        for addresses, table in ((tunnels, self.here), (vips, self.vips)):
            held = session[table]
            for address in addresses:
                held[Words(*_mapped(address))] = 1


def _mapped(address: bytes) -> tuple[int, int]:
    """Two raw words; IPv4 as ::ffff:a.b.c.d."""
    return raw_address(address if len(address) == 16 else bytes(10) + b"\xff\xff" + address)


def receiving(kinds: Sequence[str] = ("ipip", "gue"), port: int = 6080, *, mss: int = 0) -> Receiver:
    """A program that opens tunnels of these kinds. `mss`: the MTU less what tunnels add, so that SYNs of VIPs that this
    host sends say no larger segments than fit; 0: they say what they like."""
    if not kinds or set(kinds) - {"ipip", "gue"}:
        raise UsageError(f"tunnels of kind {', '.join(kinds) or 'none'} cannot be received", cure="ipip and gue can.")
    here, vips = Hash[Words, u32](max_entries=_MOST), Hash[Words, u32](max_entries=_MOST)
    received = PerCpuArray[Received](max_entries=1)
    step = _pass
    for kind, outer, inner in product(kinds, (6, 4), (6, 4)):  # the last is asked first
        step = _before(_opener(kind, outer, inner, port, here, vips, received), step)

    @xdp.program
    def receive(ctx: xdp.Context) -> xdp.Action:
        """Try each kind of tunnel; the first that fits decides."""
        length = ctx.length
        how = step(ctx)
        counted = received.local(0)
        if how == _DONE:
            counted.opened += 1
            counted.opened_bytes += length
        elif how == _LOST:
            counted.congested += 1
            return xdp.DROP
        else:
            counted.other += 1
        return xdp.PASS

    return Receiver(receive, here, vips, received, _clamp(mss, vips, received) if mss else None)


def _clamp(inside: int, vips: Any, received: Any) -> tc.TcProgram:
    four, six = (_clamper(family, inside, vips) for family in (4, 6))

    @tc.program
    def clamp(ctx: tc.Context) -> tc.Action:
        """What VIPs answer to SYNs with."""
        found = ctx.find(Plain)
        if found is None:
            return tc.NEXT
        kind, lowered = found.raw.kind, 0
        if kind == work.IPV4_RAW:
            lowered = four(ctx)
        elif kind == work.IPV6_RAW:
            lowered = six(ctx)
        if lowered != 0:
            received.local(0).mss_lowered += 1
        return tc.NEXT

    return clamp


def _clamper(family: int, inside: int, vips: Any) -> Any:
    layouts, source = work.layouts(family, 0), _from4 if family == 4 else _from6
    Ip, lower = layouts.ip, clamped_in_stack(layouts, max(LEAST, inside - (40 if family == 4 else 60)))

    def clamper(ctx: Any) -> Any:
        found = ctx.find(Ip)
        if found is None or found.raw.protocol != _TCP or source(found.raw) not in vips:
            return 0
        return lower(ctx)

    return clamper


def _pass(ctx: Any) -> Any:
    return _OTHER


def _before(first: Any, behind: Any) -> Any:
    def both(ctx: Any) -> Any:
        how = first(ctx)
        return behind(ctx) if how == _OTHER else how

    return both


def _opener(kind: str, outer: int, inner: int, port: int, here: Any, vips: Any, received: Any) -> Any:
    inside = tuple((f"inner_{name}", ctype) for name, ctype in (IPV4 if inner == 4 else IPV6))
    between = (UDP_HEADER,) if kind == "gue" else ()
    Wire = frame(f"{kind}{outer}{inner}", ETHERNET, IPV4 if outer == 4 else IPV6, *between, inside)
    pop = popper(kind, outer, inner, port=port)
    destination, inner_destination = (_to4, _to6)[outer == 6], (_inner_to4, _inner_to6)[inner == 6]
    kind_raw, protocol, dport = _KIND[outer], _UDP if kind == "gue" else _INSIDE[inner], raw16(port)
    datagram, version = kind == "gue", inner << 4
    ecn_out, ecn_in = (_ecn4 if outer == 4 else _ecn6), (_inner_ecn4 if inner == 4 else _inner_ecn6)
    mark = _mark4 if inner == 4 else _mark6

    def fits(wire: Any) -> Any:
        if datagram:  # noqa: SIM102  (the field is there with UDP only)
            if wire.ports >> 16 != dport:
                return False
        return wire.inner_version & 0xF0 == version

    def opened(ctx: Any) -> Any:
        found = ctx.find(Wire)
        if found is None:
            return _OTHER
        wire = found.raw
        if wire.kind != kind_raw or wire.protocol != protocol or not fits(wire):
            return _OTHER
        if destination(wire) not in here:
            return _OTHER
        if inner_destination(wire) not in vips:
            received.local(0).not_ours += 1
            return _OTHER
        if ecn_out(wire) == _CE:
            if ecn_in(wire) == _NOT_CAPABLE:
                return _LOST
            mark(wire)
        return _DONE if pop(ctx) else _OTHER

    return opened


_MAPPED_RAW = 0xFFFF << 16  # ::ffff:0:0's second word, without the address


def _to4(wire: Any) -> Any:
    return Words(0, _MAPPED_RAW | u64(wire.destination) << 32)


def _from4(ip: Any) -> Any:
    return Words(0, _MAPPED_RAW | u64(ip.source) << 32)


def _from6(ip: Any) -> Any:
    return Words(ip.source_a, ip.source_b)


def _to6(wire: Any) -> Any:
    return Words(wire.destination_a, wire.destination_b)


def _inner_to4(wire: Any) -> Any:
    return Words(0, _MAPPED_RAW | u64(wire.inner_destination) << 32)


def _inner_to6(wire: Any) -> Any:
    return Words(wire.inner_destination_a, wire.inner_destination_b)


def _ecn4(wire: Any) -> Any:
    return wire.tos & 3


def _ecn6(wire: Any) -> Any:
    return wire.version >> 12 & 3


def _inner_ecn4(wire: Any) -> Any:
    return wire.inner_tos & 3


def _inner_ecn6(wire: Any) -> Any:
    return wire.inner_version >> 12 & 3


def _mark4(wire: Any) -> None:
    """Congestion is experienced: the header's sum grows by what the byte does."""
    grown = (wire.inner_tos | 3) - wire.inner_tos
    wire.inner_tos |= 3
    wire.inner_check = u16(~folded((~wire.inner_check & 0xFFFF) + (grown << 8)))


def _mark6(wire: Any) -> None:
    wire.inner_version |= 0x3000


def addresses_of(names: Sequence[str]) -> Iterator[bytes]:
    """The addresses of interfaces, packed: where tunnels lead to, unless it is said."""
    import ipaddress

    from bpfwright.datapath.places import interface
    for name in names:
        for text in interface(name).addresses:
            yield ipaddress.ip_interface(text).ip.packed
