"""The balancer loaded on a machine, for tests: a configuration in, frames through, tables looked at."""
from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bpfwright.datapath.configuration import read
from bpfwright.datapath.facet import Part, Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.facets.balancer import control, status
from bpfwright.facets.balancer.facet import FACET, made
from bpfwright.facets.balancer.model import Settings
from bpfwright.hooks import xdp

__all__ = ["HERE", "ROUTER", "Balancer", "balancing", "packed", "settings_of"]

HERE, ROUTER = "02:00:00:00:00:01", "02:00:00:00:00:fe"


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def settings_of(text: str) -> Settings:
    whole = read("balancer:\n" + "\n".join("  " + line for line in text.splitlines()), "net.yaml")
    section = whole.section("balancer")
    assert section is not None
    settings = FACET.read(section)
    section.done()
    return settings


class Balancer:
    def __init__(self, settings: Settings, tables: Any, part: Part, generation: Generation) -> None:
        self.settings, self.part, self.generation = settings, part, generation
        programs = {place.hook: program for place, program in generation.programs().items()}
        self.program, self.egress = programs["xdp"], programs.get("egress")
        self.tables = tables
        self.maps = generation.maps

    def send(self, frame: Any) -> tuple[Any, bytes]:
        """What becomes of a frame."""
        run = self.program.test_run(bytes(frame), repeat=1)
        return xdp.Action(run.value), bytes(run.data)

    def counters(self) -> dict[str, int]:
        return {name: value for name, value in status.counters(self.tables, self.maps).items() if value}

    def refill(self, text: str) -> control.Filled:
        """Other settings in place, as far as the program is the same."""
        self.settings = settings_of(text)
        return control.fill(self.settings, self.tables, self.maps)


@contextmanager
def balancing(text: str, machine: Any, *, maps: Any = None) -> Iterator[Balancer]:
    settings = settings_of(text)
    tables, part = made(settings, Scene({"eth0": None}, machine))
    with Generation.load(plan_of({"balancer": part}), machine, maps=maps) as generation:
        generation.fill()
        yield Balancer(settings, tables, part, generation)
