"""Drops as they are, rates by reason, and what would become of a packet."""
from __future__ import annotations


import pytest

from bpfwright.datapath.controller import Controller
from bpfwright.datapath.watching import Watch
from bpfwright.errors import SessionError, UsageError
from bpfwright.headers import UDP, Ethernet, IPv4
from bpfwright.kernel import Kernel
from bpfwright.spec.packet import Packet
from bpfwright.userspace import Userspace

from .wire import Wire

pytestmark = pytest.mark.kernel

OPEN = "interfaces: [uplink]\ntoy: {blocked: []}\n"
SHUT = "interfaces: [uplink]\ntoy: {blocked: [192.0.2.2], hooks: [ingress]}\n"


def test_drops_are_seen_with_their_reason(controller: Controller, wire: Wire) -> None:
    controller.apply("interfaces: [uplink]\ntoy: {blocked: [192.0.2.2]}\n")
    wire.arrive(3)  # nobody watches
    with Watch(controller) as watch:
        assert wire.arrive(4) == 0
        tick = watch.look()
        assert [rate[1:4] for rate in tick.rates if rate.stage] == [("toy", "blocked", 4)]
        assert len(tick.drops) == 4 and tick.unseen == 0
        for number, drop in enumerate(tick.drops):
            assert (drop.place, drop.stage, drop.reason, drop.length) == ("uplink xdp", "toy", "blocked", 45)
            ip, udp = Packet.parse(drop.data).find(IPv4), Packet.parse(drop.data).find(UDP)
            assert len(drop.data) == 42 and ip is not None and str(ip.source) == "192.0.2.2" and udp is not None
            assert (udp.sport, udp.dport) == (wire.peer.getsockname()[1], wire.host.getsockname()[1])
            assert number == 0 or drop.time_ns > tick.drops[number - 1].time_ns
        again = watch.look()
        assert again.drops == [] and not any(rate.stage for rate in again.rates)
        controller.apply(SHUT)  # a change while it is watched: another hook
        wire.arrive(2)
        assert watch.look().generation == 2  # begins anew here
        wire.arrive(2)
        assert {(drop.place, drop.stage) for drop in watch.look().drops} == {("uplink ingress", "toy")}


def test_more_drops_than_are_shown_are_counted(controller: Controller, wire: Wire) -> None:
    controller.apply("interfaces: [uplink]\ntoy: {blocked: [192.0.2.2]}\n")
    with Watch(controller) as watch:
        for number in range(500):
            wire.peer.send(b"%d" % number)
        tick = watch.look()
        assert len(tick.drops) == 200 and tick.unseen == 300


def test_a_packet_is_explained_in_both_machines(controller: Controller, wire: Wire) -> None:
    controller.apply(SHUT)
    wire.arrive(2)
    before = controller.status()
    good = Ethernet() / IPv4(source="192.0.2.9") / UDP(dport=53)
    bad = Ethernet() / IPv4(source="192.0.2.2") / UDP(dport=53)
    with Kernel() as kernel:
        for packet, says, reason, action in ((good, "goes on", "", "NEXT"), (bad, "drops", "blocked", "SHOT")):
            explained = controller.explain(bytes(packet), "uplink", [kernel, Userspace()])
            assert [each.machine for each in explained] == ["kernel", "userspace"]
            for each in explained:
                (step,) = each.steps
                assert (step.place, step.stage, step.says, step.reason) == ("uplink ingress", "toy", says, reason)
                assert (each.action, each.data) == (action, bytes(packet)) and step.packet["family"] == 4
    after = controller.status()
    assert after.rows == before.rows  # it counted in copies
    with pytest.raises(UsageError, match="nothing looks at what comes in by lo"):
        controller.explain(bytes(good), "lo", [Userspace()])


def test_watching_needs_something_live(controller: Controller) -> None:
    controller.apply(OPEN)
    controller.rollback()
    with pytest.raises(SessionError, match="nothing is live"):
        Watch(controller)
