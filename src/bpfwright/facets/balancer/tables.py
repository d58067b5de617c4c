"""The tables of the forwarding path, and the records in them. Addresses and ports are raw, as packets hold them."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.protocols import OwnField
from bpfwright.facets.balancer.nat import Timeouts, translations
from bpfwright.facets.balancer.ring import SIZE
from bpfwright.facets.balancer.sets import LAYOUT4, LAYOUT6, Connections, Set4, Set6, power_of_two
from bpfwright.facets.balancer.standing import Standing
from bpfwright.maps import Array, Hash, LpmTrie, LruHash, PerCpuArray
from bpfwright.types import CUnion, L, Struct, array, u8, u16, u32, u64
from bpfwright.types.address import Address

__all__ = ["BY_OWN", "FLAGS", "MOST_CHECKS", "MOST_REALS", "MOST_VIPS", "REAL_IPV6", "REAL_LOCAL", "REAL_SET",
           "VIP_SETS", "Counts", "Flow4", "Flow6", "Known", "Number4", "Number6", "Real", "Shape", "Tables", "Totals",
           "VipPrefix4", "VipPrefix6", "Words", "prefix_key", "raw_address", "raw_port", "tables_of", "vip_key",
           "vip_value"]

MOST_VIPS, MOST_REALS = 512, 4096
"""As many as Katran has; the first is a seed of the flow's hash."""

FLAGS = {"no-source-port": 1, "no-connections": 2, "quic": 4, "destination-port-only": 8, "source-routing": 16,
         "local": 32, "shared-connections": 64, "both-ports": 128, "stable-udp": 256, "udp-migration": 512}
"""What a VIP may ask for, by name; the numbers are Katran's."""
MOST_CHECKS = 1 << 14
"""Backends of VIPs that are asked whether they serve."""

BY_OWN = 1 << 12
"""A VIP's flag that is ours: a field of a protocol of one's own chooses the backend."""

REAL_IPV6, REAL_LOCAL, REAL_SET = 1, 2, 1 << 31


FRONT_SETS = 1024
VIP_SETS = 2048
"""Sets of the VIPs' tables: so many that all find a place."""


class VipPrefix4(Address):
    """Port, protocol, a zero, and an IPv4 address, for VIPs that are prefixes."""

    __slots__ = ()
    size = 8

    @classmethod
    def parse(cls, text: str) -> bytes:
        return bytes.fromhex(text)

    @classmethod
    def format(cls, packed: bytes) -> str:
        return packed.hex()


class VipPrefix6(VipPrefix4):
    """The same with an IPv6 address."""

    __slots__ = ()
    size = 20


class Number4(Address):
    """An IPv4 address that is known as a raw number."""

    __slots__ = ()
    size = 4
    parse = VipPrefix4.parse
    format = VipPrefix4.format


class Number6(Address):
    """An IPv6 address that is known as raw numbers."""

    __slots__ = ()
    size = 16
    parse = VipPrefix4.parse
    format = VipPrefix4.format


class Parts4(Struct):
    port: u16
    protocol: u8
    spare: u8
    address: u32


class Parts6(Struct, packed=True):
    port: u16
    protocol: u8
    spare: u8
    address_a: u64
    address_b: u64


class Words(Struct):
    a: u64
    b: u64


class Prefixed4(CUnion):
    parts: Parts4
    key: VipPrefix4


class Prefixed6(CUnion):
    parts: Parts6
    key: VipPrefix6


class Source4(CUnion):
    word: u32
    key: Number4


class Source6(CUnion):
    words: Words
    key: Number6


class Real(Struct):
    """A backend: where its packets go. `mac` is the next hop's, raw."""

    address_a: u64
    address_b: u64
    mac: u64
    flags: u32
    spare: u32


class Flow4(Struct):
    """A connection over IPv4, its ports as the VIP's flags left them."""

    source: u32
    destination: u32
    ports: u32
    protocol: u32


class Flow6(Struct):
    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64
    ports: u32
    protocol: u32


class Known(Struct):
    """Who has, or had, a number. `state`: 0 nobody ever, 1 in use, 2 free; `since`: the order in which they became."""

    name: array[u8, L[24]]
    state: u32
    since: u32
    last_new: u64       # when a connection of it began, in ns since boot


class Counts(Struct):
    packets: u64
    bytes: u64


class Totals(Struct):
    """What a CPU has counted over all VIPs, and how many new connections it saw in this second."""

    misses: u64
    tcp_miss_syn: u64
    tcp_miss_other: u64
    new_in_second: u64
    second_began: u64
    flooded: u64
    too_big_v4: u64
    too_big_v6: u64
    source_miss: u64
    source_hit: u64
    shared_hit: u64
    ring_drop: u64
    push_failed: u64
    icmp_ptb_v4: u64
    icmp_ptb_v4_small: u64
    icmp_ptb_v6: u64
    icmp_ptb_v6_small: u64
    echo: u64
    migrated: u64
    local: u64
    quic_by_ring: u64
    quic_initial: u64
    quic_by_id: u64
    quic_unknown_id: u64
    quic_no_backend: u64
    quic_version_other: u64
    quic_version_1: u64
    quic_version_2: u64
    quic_version_3: u64
    quic_table_agreed: u64
    quic_table_changed: u64
    quic_table_new: u64
    quic_icmp: u64
    stable_by_id: u64
    stable_by_ring: u64
    stable_unknown_id: u64
    stable_no_backend: u64
    stable_other_type: u64
    tpr_by_id: u64
    tpr_by_ring: u64
    tpr_syn: u64
    tpr_table_changed: u64
    moved: u64
    mss_lowered: u64
    nat_new: u64
    nat_ended: u64
    nat_unknown: u64
    nat_full: u64
    nat_no_port: u64
    nat_errors: u64
    nat_fragments: u64
    nat_early: u64
    probes: u64


class Shape(NamedTuple):
    """What the program is made for: what is not asked for is not in it."""

    katran: bool = True
    encapsulation: str = "ipip"     # or gue
    flags: int = 0                  # of all VIPs together
    families: tuple[int, ...] = (4, 6)          # of VIPs
    reals: tuple[int, ...] = (4, 6)             # of backends
    prefixes: bool = False          # VIPs that are prefixes
    server_ids: bool = False        # there are backends with ids in packets
    tpr: bool = False
    vlans: bool = False
    checksum: bool = True           # of GUE's UDP header
    gue_port: int = 6080
    largest: int = 1514             # bytes of a frame that is not too big
    too_big: bool = True            # tell senders so
    flood_rate: int = 125_000       # new connections a second and CPU that are still remembered
    udp_timeout_ns: int = 30 * 10**9
    mss: int = 0                    # the largest segment that SYNs in tunnels may say; 0: any, -1: what fits
    nat_timeouts: Timeouts = Timeouts()
    nat_ports: tuple[int, int] = (61000, 65535)     # sources are translated to
    move: bool = False              # connections of a backend that is down are hashed anew
    by: OwnField | None = None      # what VIPs with BY_OWN choose by


class Tables(NamedTuple):
    """The maps of one program."""

    vips4: Any
    vips6: Any
    prefixes4: Any
    prefixes6: Any
    addresses4: Any         # VIPs' addresses alone: what the own mode answers for
    addresses6: Any
    ring: Any
    reals: Any
    gateway: Any            # 0: gateway MAC; 1, 2: outer sources of GUE over IPv4 and IPv6
    front4: Any             # connections of this moment
    front6: Any
    connections4: Any
    connections6: Any
    shared4: Any
    shared6: Any
    down: Any               # VIP's number << 16 | backend's number; see standing.py
    standing: Any           # by the same key: what checks know
    sources4: Any
    sources6: Any
    server_ids: Any
    vip_names: Any
    real_names: Any
    vip_counts: Any
    real_counts: Any
    totals: Any
    nat: Any = None         # Translations, where there are any

    def connections(self, family: int, udp_timeout_ns: int) -> Connections:
        """The operations of a family's connections."""
        if family == 4:
            return Connections(self.front4, self.connections4, 4, udp_timeout_ns)
        return Connections(self.front6, self.connections6, 6, udp_timeout_ns)

    def kept(self) -> dict[str, Any]:
        """What outlives a generation, by name."""
        nat = () if self.nat is None else ("known", "inner", "seen")
        return {f"nat_{name}": getattr(self.nat, name) for name in nat} | {name: getattr(self, name) for name in (
            "front4", "front6", "connections4", "connections6", "shared4", "shared6",
            "down", "standing", "vip_names", "real_names", "vip_counts", "real_counts", "totals")}


def tables_of(*, vips: int = MOST_VIPS, connections: int = 1 << 20, shared: int = 1 << 16,
              sources: int = 1 << 16, server_ids: int = 1 << 16, nat: int = 0) -> Tables:
    """Fresh maps for so many VIPs, connections of each family, source prefixes and ids, and for so
    many that are translated."""
    return Tables(
        Array[Set4](max_entries=VIP_SETS, mapped=True), Array[Set6](max_entries=VIP_SETS, mapped=True),
        LpmTrie[VipPrefix4, u64](max_entries=256), LpmTrie[VipPrefix6, u64](max_entries=256),
        Hash[u32, u32](max_entries=MOST_VIPS), Hash[Words, u32](max_entries=MOST_VIPS),
        Array[u32](max_entries=vips * SIZE, mapped=True), Array[Real](max_entries=MOST_REALS, mapped=True),
        Array[Real](max_entries=3),
        Array[Set4](max_entries=FRONT_SETS, mapped=True), Array[Set4](max_entries=FRONT_SETS, mapped=True),
        Array[Set4](max_entries=power_of_two(-(-connections // LAYOUT4.ways)), mapped=True),
        Array[Set6](max_entries=power_of_two(-(-connections // LAYOUT6.ways)), mapped=True),
        LruHash[Flow4, u32](max_entries=shared), LruHash[Flow6, u32](max_entries=shared),
        Hash[u32, u32](max_entries=1 << 16), Hash[u32, Standing](max_entries=MOST_CHECKS),
        LpmTrie[Number4, u32](max_entries=sources), LpmTrie[Number6, u32](max_entries=sources),
        Hash[u32, u32](max_entries=server_ids),
        Array[Known](max_entries=MOST_VIPS, mapped=True), Array[Known](max_entries=MOST_REALS, mapped=True),
        PerCpuArray[Counts](max_entries=MOST_VIPS), PerCpuArray[Counts](max_entries=MOST_REALS),
        PerCpuArray[Totals](max_entries=1), translations(nat, MOST_CHECKS) if nat else None)


# what goes into them

def raw_address(packed: bytes) -> tuple[int, int]:
    """The two raw words of an address of 4 or 16 bytes."""
    whole = packed.ljust(16, b"\0")
    return int.from_bytes(whole[:8], "little"), int.from_bytes(whole[8:], "little")


def raw_port(port: int) -> int:
    """A port as it stands in packets."""
    return int.from_bytes(port.to_bytes(2, "big"), "little")


def vip_value(flags: int, number: int) -> int:
    """What a VIP's entry says: never 0."""
    return flags | number << 16 | 1 << 40


def vip_key(packed: bytes, port: int, protocol: int) -> tuple[int, ...]:
    """The words of a VIP that its family's table is hashed by."""
    a, b = raw_address(packed)
    if len(packed) == 4:
        return a | raw_port(port) << 32 | protocol << 48, 0
    return a, b, raw_port(port) | protocol << 16 | 1 << 32


def prefix_key(packed: bytes, length: int, port: int, protocol: int) -> Any:
    """The key of a VIP that is a prefix: as a network of port, protocol and address."""
    from bpfwright.types.address import Network
    kind: Any = VipPrefix4 if len(packed) == 4 else VipPrefix6
    return Network(kind.from_bytes(port.to_bytes(2, "big") + bytes([protocol, 0]) + packed), 32 + length)
