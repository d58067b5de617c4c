"""A facet for tests: addresses to drop, and counts by source that outlive generations."""
from __future__ import annotations

from typing import Any

from bpfwright import Struct, u32, u64
from bpfwright.datapath.configuration import Section
from bpfwright.datapath.facet import Hooked, Part, Scene
from bpfwright.datapath.stage import ABORT, CONTINUE, Stage, drop
from bpfwright.headers import IPv4
from bpfwright.maps import Hash

__all__ = ["FACET", "Toy"]


class Seen(Struct):
    packets: u64


class Toy:
    name = "toy"

    def read(self, section: Section) -> dict[str, Any]:
        return {"blocked": [scalar.parsed(IPv4.Address) for scalar in section.scalars("blocked")],
                "hooks": [scalar.text for scalar in section.scalars("hooks")] or ["xdp"],
                "room": section.number("room", 64), "fails": section.flag("fails"), "aborts": section.flag("aborts")}

    def build(self, settings: Any, scene: Scene) -> Part:
        blocked = Hash[u32, u64](max_entries=64)
        seen = Hash[u32, Seen](max_entries=settings["room"])
        aborts = settings["aborts"]

        def look(ctx: Any, packet: Any) -> Any:
            if packet.family != 4:
                return CONTINUE
            if aborts and packet.protocol == 17:
                return ABORT
            count = seen.get(u32(packet.source_low))
            if count is not None:
                count.packets += 1
            else:
                seen.insert(u32(packet.source_low), Seen(1))
            return drop(0) if u32(packet.source_low) in blocked else CONTINUE

        def fill(maps: Any) -> None:
            for address in settings["blocked"]:
                maps(blocked)[int(address)] = 1
            if settings["fails"]:
                raise RuntimeError("as asked")

        stage = Stage("toy", look, frozenset({"network"}), ("blocked",))
        return Part([Hooked(name, hook, stage) for name in scene.interfaces for hook in settings["hooks"]],
                    {"seen": seen}, fill,
                    rows=lambda maps: [{"source": str(IPv4.Address.from_int(key)), "packets": value.packets}
                                       for key, value in sorted(maps(seen).items())])


FACET = Toy()
