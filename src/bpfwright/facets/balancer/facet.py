"""The balancer as a facet of the data path: section `balancer` of net.yaml."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.datapath.facet import Hooked, Part, Scene
from bpfwright.facets.balancer import configuration

if TYPE_CHECKING:
    from bpfwright.datapath.configuration import Section
    from bpfwright.facets.balancer.model import Settings
    from bpfwright.facets.balancer.tables import Tables

__all__ = ["FACET", "RANK", "Balancer", "made"]

RANK = 500
"""Behind what filters: packets of a VIP leave here."""


class Balancer:
    """VIPs at XDP, sent on to backends in IPIP or GUE."""

    name = "balancer"

    def read(self, section: Section) -> Settings:
        """Its settings."""
        return configuration.read(section)

    def build(self, settings: Settings, scene: Scene) -> Part:
        """Its part of a generation."""
        return made(settings, scene)[1]


def made(settings: Settings, scene: Scene) -> tuple[Tables, Part]:
    """The tables of a generation, and its part: one stage at XDP of every interface. Connections, the numbers of VIPs
    and backends, who is down, and counters outlive it; everything that decides is the generation's own."""
    from bpfwright.facets.balancer import control, status
    from bpfwright.facets.balancer.path import stage_of
    from bpfwright.facets.balancer.tables import tables_of
    tables = tables_of(vips=control.ring_steps(len(settings.vips)), connections=settings.connections,
                       sources=max(64, len(settings.sources)),
                       nat=settings.nat_connections if settings.translates else 0)
    stage = stage_of(control.shape_of(settings), tables)
    stages = [Hooked(name, "xdp", stage, RANK) for name in scene.interfaces]
    if settings.announce:
        from bpfwright.facets.balancer.announcing import announcing_stage
        stages += [Hooked(name, "xdp", announcing_stage(tables, known.mac), RANK - 1)
                   for name, known in scene.interfaces.items()]

    if settings.translates:
        from bpfwright.facets.balancer.nat_egress import nat_egress
        from bpfwright.facets.balancer.nat_path import connections_of
        shape = control.shape_of(settings)
        translating = nat_egress(shape, tables, connections_of(shape, tables))
        stages += [Hooked(name, "egress", translating, RANK) for name in scene.interfaces]
    if settings.checked:
        from bpfwright.facets.balancer.probing import probing_stage
        probing = probing_stage(control.shape_of(settings), tables, settings.probe_mark)
        stages += [Hooked(name, "egress", probing, RANK) for name in scene.interfaces]

    def fill(maps: Any) -> None:
        control.fill(settings, tables, maps)

    def beside(maps: Any) -> Any:
        from bpfwright.facets.balancer.prober import prober
        return prober(settings, tables, maps)

    def states(maps: Any) -> dict[str, str]:
        return {f"{name} of {vip}": found.summary for (vip, name), found in status.standings(settings, tables, maps)}

    return tables, Part(stages, tables.kept(), fill, rows=lambda maps: list(status.rows(settings, tables, maps)),
                        beside=beside if settings.checked else None, states=states, inside=(settings, tables))


FACET = Balancer()
