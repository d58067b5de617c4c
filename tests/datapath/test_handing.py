"""From XDP to tc: a packet is judged by one generation at both, and brings the mark that it was given."""
from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bpfwright import Struct, attach, load, u32, u64
from bpfwright.datapath import roots
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.facet import Hooked, Part
from bpfwright.datapath.handing import MAGIC, Handed, mark_handed, take_mark
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.stage import CONTINUE, Stage
from bpfwright.headers import UDP, Ethernet, IPv4
from bpfwright.hooks import tc, xdp
from bpfwright.maps import Array, PerCpuArray
from bpfwright.userspace import Userspace

from .wire import Wire

pytestmark = pytest.mark.kernel


class Note(Struct):
    one: u32
    two: u32


notes = Array[Note](max_entries=1)


@xdp.program
def putting(ctx: xdp.Context) -> xdp.Action:
    note = Note(0x1234, ctx.length)
    return xdp.PASS if ctx.put_metadata(note) else xdp.DROP


@tc.program
def taking(ctx: tc.Context) -> tc.Action:
    note = ctx.metadata(Note)
    notes[0] = Note(1, 0) if note is None else note
    return tc.NEXT


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_metadata_from_xdp_to_tc(wire: Wire, mode: str) -> None:
    with attach(taking, tc.Ingress("uplink")) as session:
        assert wire.arrive(1) == 1 and session[notes][0].one == 1
        with attach(putting, xdp.Interface("uplink", mode=mode)):
            assert wire.arrive(1) == 1
            assert (session[notes][0].one, session[notes][0].two) == (0x1234, 14 + 28 + 3)


@pytest.mark.userspace
def test_metadata_in_front_of_the_packet() -> None:
    frame = bytes(Ethernet() / IPv4() / UDP())
    with load(putting, machine=Userspace()) as session:
        result = session.test(frame)
        assert result.action == xdp.PASS and result.data == bytes(Note(0x1234, len(frame))) + frame
    with load(taking, machine=Userspace()) as session:
        session.test(frame)
        assert session[notes][0].one == 1


slots = PerCpuArray[u64](max_entries=2)
chosen = Array[u32](max_entries=1)


@xdp.program
def judged_by(ctx: xdp.Context) -> xdp.Action:
    slot = chosen.get(0)
    if slot is not None and slot < 100:
        ctx.put_metadata(Handed(MAGIC, slot, 0, 0))
    return xdp.PASS


@tc.program
def in_slot_0(ctx: tc.Context) -> tc.Action:
    if ctx.find(UDP) is not None:
        slots.increment(0)
    return tc.NEXT


@tc.program
def in_slot_1(ctx: tc.Context) -> tc.Action:
    if ctx.find(UDP) is not None:
        slots.increment(1)
    return tc.NEXT


def test_the_slot_that_judged_it_goes_on(wire: Wire) -> None:
    """Slot 0 is live; a packet of slot 1 goes on there, one of a slot that is empty or none goes by what is live."""
    with attach(judged_by, xdp.Interface("uplink")) as driver, load(in_slot_0, in_slot_1) as stages, \
            attach(roots.root_ingress, tc.Ingress("uplink")) as root:
        root[roots.tc_stages][0] = in_slot_0
        root[roots.tc_stages][roots.PLACES] = in_slot_1
        for slot, wanted in ((100, [1, 0]), (1, [1, 1]), (0, [2, 1]), (2, [3, 1]), (3, [4, 1])):
            driver[chosen][0] = slot
            assert wire.arrive(1) == 1
            assert [stages[slots][each].total() for each in (0, 1)] == wanted, slot


class Stamps:
    """A facet whose stage at XDP gives packets its generation as their mark, and whose stage at tc counts others."""

    name = "stamps"

    def __init__(self) -> None:
        self.seen = PerCpuArray[u64](max_entries=2)

    def read(self, section: Any) -> int:
        return int(section.number("number"))

    def build(self, settings: Any, scene: Any) -> Part:
        seen = self.seen

        def stamp(ctx: Any, packet: Any) -> Any:
            if packet.family == 4:
                mark_handed(settings, 0xFFFF_FFFF)
            return CONTINUE

        def compare(ctx: Any, packet: Any) -> Any:
            if packet.family == 4:
                take_mark(ctx, packet)
                seen.increment(0 if ctx.mark == settings else 1)
            return CONTINUE

        needs = frozenset({"network"})
        return Part([Hooked("uplink", "xdp", Stage("stamp", stamp, needs)),
                     Hooked("uplink", "ingress", Stage("compare", compare, needs))], {"seen": seen})


def test_changes_under_traffic(wire: Wire, tmp_path: Path) -> None:
    ledger = Ledger(f"handing-{os.getpid()}", state=str(tmp_path))
    with Controller("", {"stamps": Stamps()}, ledger=ledger) as controller:
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.0005):
                for _ in range(20):
                    wire.peer.send(b"x")

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for number in range(1, 40):
                controller.apply(f"interfaces: [uplink]\nstamps: {{number: {number}}}\n")
            with controller.generation() as (_, generation):
                seen = generation.maps(controller.facets["stamps"].seen)
                alike, others = seen[0].total(), seen[1].total()
        finally:
            ended.set()
            sender.join()
            if ledger.exists:
                controller.remove()
        assert alike > 1000 and others == 0
