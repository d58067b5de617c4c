"""Backends chosen by a field of a protocol of one's own."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfwright.datapath.configuration import read
from bpfwright.datapath.facet import Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.protocols import own_fields
from bpfwright.errors import ConfigurationError
from bpfwright.facets.balancer.facet import FACET
from bpfwright.facets.balancer.simulate import simulate
from bpfwright.headers import UDP, Ethernet, IPv4, IPv6
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel
from bpfwright.userspace import Userspace

from .loaded import packed

pytestmark = pytest.mark.kernel

TELEMETRY = """
from bpfwright.headers import UDP
from bpfwright.spec.header import Header, Link
from bpfwright.types import be32, u8

class Telemetry(Header):
    follows = (Link(UDP, "dport", (4790,)),)
    kind: u8 = 0
    sensor: be32 = 0
"""
TEXT = """protocols: {{telemetry: {{file: {file}}}}}
balancer:
  {more}
  gateway: 02:00:00:00:00:fe
  backends: {{one: 10.0.0.1, two: 10.0.0.2, three: 10.0.0.3}}
  vips:
    - {{address: 192.0.2.80, port: 4790, protocol: udp, backends: [one, two, three], by: {by}}}
    - {{address: "2001:db8::80", port: 4790, protocol: udp, backends: [one, two, three], by: {by}}}
    - {{address: 192.0.2.81, port: 4790, protocol: udp, backends: [one, two, three]}}
"""


def settings_of(folder: Path, by: str = "telemetry.sensor", more: str = "") -> Any:
    (folder / "telemetry.py").write_text(TELEMETRY)
    whole = read(TEXT.format(file=folder / "telemetry.py", by=by, more=more), "net.yaml")
    whole.sources.own_fields = own_fields(whole)
    section = whole.section("balancer")
    assert section is not None
    found = FACET.read(section)
    section.done()
    return found


def frame(sensor: int, sport: int, to: str = "192.0.2.80", *, cut: int = 5) -> bytes:
    ip = IPv4(source="203.0.113.9", destination=to) if "." in to else IPv6(source="2001:db8:9::1", destination=to)
    payload = (bytes([1]) + sensor.to_bytes(4, "big"))[:cut]
    return bytes(Ethernet(destination="02:00:00:00:00:01") / ip / UDP(sport=sport, dport=4790) / payload)


@pytest.mark.parametrize("machine", [Kernel, Userspace])
def test_a_sensor_stays_with_its_backend(machine: Any, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    opened = machine()
    with Generation.load(plan_of({"balancer": FACET.build(settings, Scene({"eth0": None}, opened))}), opened) as made:
        made.fill()
        (program,) = made.programs().values()

        def backend(data: bytes) -> bytes:
            run = program.test_run(data, repeat=1)
            assert run.value == xdp.TX
            return bytes(run.data[14 + 16:14 + 20])  # of the outer IPv4 header

        chosen = {}
        for sensor in range(60):
            (chosen[sensor],) = {backend(frame(sensor, sport)) for sport in range(1000, 1010)}
            assert backend(frame(sensor, 7, "2001:db8::80")) == chosen[sensor]  # the ring is the same
        assert len(set(chosen.values())) == 3
        assert len({backend(frame(5, sport, "192.0.2.81")) for sport in range(1000, 1060)}) == 3
        assert len({backend(frame(5, sport, cut=4)) for sport in range(1000, 1060)}) == 3  # no such header: by flow
    if machine is Kernel:
        opened.close()


def test_what_cannot_be(tmp_path: Path) -> None:
    for by, more, why in (("telemetry.colour", "", "there is no field"),
                          ("telemetry.sensor", "hash: katran", "Katran")):
        with pytest.raises(ConfigurationError, match=why):
            settings_of(tmp_path, by, more)
    said = simulate(settings_of(tmp_path), packed("203.0.113.9"), 9, packed("192.0.2.80"), 4790, 17)
    assert said.backend is None and said.why == "telemetry.sensor of the packet chooses, where it has one"
