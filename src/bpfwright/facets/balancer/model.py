"""What a balancer is told: VIPs, backends, how packets travel."""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.datapath.protocols import OwnField
from bpfwright.facets.balancer.nat import NAT, Timeouts

__all__ = ["Backend", "Check", "Settings", "Source", "Use", "Vip"]


class Backend(NamedTuple):
    """A server: its packed address, the next hop's MAC (None: the gateway's), the id that packets may name it by."""

    name: str
    address: bytes
    mac: bytes | None = None
    local: bool = False
    id: int = 0


class Check(NamedTuple):
    """How backends are asked whether they serve: tcp, http or https; `port` 0 is the VIP's. `status`: first and last of
    each range. `rise` checks in a row that go well make one up, `fall` that do not make it down."""

    kind: str
    port: int = 0
    path: str = "/"
    host: str = ""
    status: tuple[tuple[int, int], ...] = ((200, 399),)
    interval_s: float = 5.0
    timeout_s: float = 1.0
    rise: int = 2
    fall: int = 3
    backoff: float = 4.0
    calm_s: float = 60.0
    sni: str = ""
    verify: bool = False


class Use(NamedTuple):
    """A backend of a VIP. Weight 0 drains it: its connections go on, new ones go elsewhere."""

    backend: Backend
    weight: int = 1
    port: int = 0       # where it serves, of VIPs that translate; 0: the VIP's


class Vip(NamedTuple):
    """A virtual address: `length` bits of `address` count; port 0 is any."""

    address: bytes
    length: int
    port: int
    protocol: int
    flags: int
    uses: tuple[Use, ...]
    weights: str = "proportional"
    check: Check | None = None
    by: OwnField | None = None      # chooses the backend, in packets that have it

    @property
    def translates(self) -> bool:
        """Whether its connections are translated, not sent in tunnels."""
        return bool(self.flags & NAT)

    @property
    def whole(self) -> bool:
        """Whether it is one address, not a prefix."""
        return self.length == 8 * len(self.address)

    @property
    def text(self) -> str:
        """As people write it: 192.0.2.80:443/tcp."""
        from ipaddress import ip_address
        address = str(ip_address(self.address)) + ("" if self.whole else f"/{self.length}")
        host = f"[{address}]" if len(self.address) == 16 else address
        return f"{host}:{self.port or '*'}/{'tcp' if self.protocol == 6 else 'udp'}"


class Source(NamedTuple):
    """Clients of a prefix that have a backend of their own."""

    address: bytes
    length: int
    backend: Backend


class Settings(NamedTuple):
    """The section, checked."""

    vips: tuple[Vip, ...]
    backends: tuple[Backend, ...]
    sources: tuple[Source, ...] = ()
    katran: bool = False
    encapsulation: str = "ipip"
    gateway: bytes | None = None                # MAC
    outer: tuple[bytes | None, bytes | None] = (None, None)     # sources of GUE over IPv4 and IPv6
    gue_port: int = 6080
    checksum: bool = True
    mtu: int = 1500
    too_big: bool = True
    vlans: bool = False
    tpr: bool = False
    connections: int = 1 << 20
    flood_rate: int = 125_000
    udp_timeout_s: float = 30.0
    announce: bool = False
    all_down: str = "keep"      # or drop: what becomes of new connections when no backend is up
    established: str = "keep"   # or move: connections of a backend that is down
    probe_mark: int = 0x4240_0000
    nat_connections: int = 1 << 16
    nat_timeouts: Timeouts = Timeouts()
    nat_ports: tuple[int, int] = (61000, 65535)
    mss: int = 0                # the largest segment that SYNs in tunnels may say; 0: any, -1: what fits

    @property
    def translates(self) -> bool:
        """Whether connections of any VIP are translated."""
        return any(vip.translates for vip in self.vips)

    @property
    def checked(self) -> bool:
        """Whether any backend is asked whether it serves."""
        return any(vip.check is not None for vip in self.vips)
