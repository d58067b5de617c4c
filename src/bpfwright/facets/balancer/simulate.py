"""Which backend a flow goes to, said without a packet: by the configuration alone, as the program would choose."""
from __future__ import annotations

from functools import lru_cache

from bpfwright._typing import Any, NamedTuple
from bpfwright.facets.balancer.hashes import address_hash, flow_hash
from bpfwright.facets.balancer.model import Backend, Settings, Vip
from bpfwright.facets.balancer.ring import SIZE, Endpoint, ring
from bpfwright.facets.balancer.tables import FLAGS

__all__ = ["Simulated", "simulate"]


class Simulated(NamedTuple):
    """`backend` None: `why` there is none. `place` is the ring's, -1 where it was not asked."""

    vip: Vip | None
    backend: Backend | None
    place: int
    why: str


def simulate(settings: Settings, source: bytes, sport: int, destination: bytes, dport: int, protocol: int = 6,
             down: frozenset[bytes] = frozenset()) -> Simulated:
    """A new flow's backend; addresses are packed. `down`: addresses of backends that checks took out."""
    vip, all_ports = _vip(settings, destination, dport, protocol)
    if vip is None:
        return Simulated(None, None, -1, "no VIP has this address, port and protocol")
    if all_ports and not vip.flags & (FLAGS["destination-port-only"] | FLAGS["both-ports"]):
        dport = 0
    if vip.by is not None:
        return Simulated(vip, None, -1, f"{vip.by.name} of the packet chooses, where it has one")
    if vip.flags & FLAGS["no-source-port"]:
        sport = 0
    if vip.flags & FLAGS["source-routing"]:
        matching = [each for each in settings.sources if _holds(each.address, each.length, source)]
        if matching:
            found = max(matching, key=lambda each: each.length)
            return Simulated(vip, found.backend, -1, "the client's prefix has a backend of its own")
    if vip.flags & FLAGS["destination-port-only"]:
        source, sport = bytes(len(source)), dport
    ports = int.from_bytes(sport.to_bytes(2, "big") + dport.to_bytes(2, "big"), "little")
    place = flow_hash(source, ports) % SIZE
    chosen = int(_ring(vip, down)[place])
    if not chosen:
        return Simulated(vip, None, place, "no backend of the VIP has any weight")
    return Simulated(vip, vip.uses[chosen - 1].backend, place, "the ring's choice; a known connection keeps its own")


def _vip(settings: Settings, destination: bytes, dport: int, protocol: int) -> tuple[Vip | None, bool]:
    """In the order of the program: the address with its port, prefixes with it, then both with any port."""
    for port in (dport, 0):
        here = [vip for vip in settings.vips if vip.port == port and vip.protocol == protocol
                and len(vip.address) == len(destination)]
        exact = next((vip for vip in here if vip.whole and vip.address == destination), None)
        if exact is not None:
            return exact, not port
        prefixes = [vip for vip in here if not vip.whole and _holds(vip.address, vip.length, destination)]
        if prefixes:
            return max(prefixes, key=lambda vip: vip.length), not port
    return None, False


def _holds(address: bytes, length: int, other: bytes) -> bool:
    shift = 8 * len(address) - length
    numbers = [int.from_bytes(each, "big") >> shift for each in (address, other)]
    return len(address) == len(other) and numbers[0] == numbers[1]


@lru_cache(maxsize=64)
def _ring(vip: Vip, down: frozenset[bytes]) -> Any:
    """The VIP's ring, its backends numbered from 1 in their order."""
    uses = [(number, use) for number, use in enumerate(vip.uses, 1)]
    alive = [(number, use) for number, use in uses if use.backend.address not in down]
    if not any(use.weight for _, use in alive):
        alive = uses
    return ring([Endpoint(number, address_hash(use.backend.address), use.weight) for number, use in alive],
                weights=vip.weights)  # type: ignore[arg-type]
