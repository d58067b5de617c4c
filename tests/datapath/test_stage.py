"""Stages composed into one function: their order, their reasons, one parse and when there is another."""
from __future__ import annotations

import time
from typing import Any

import pytest

from bpfwright import Config, load, u64
from bpfwright.datapath.facet import Hooked, Part
from bpfwright.datapath.generation import Generation, Place, plan_of
from bpfwright.datapath.parsed import clock
from bpfwright.datapath.stage import (ABORT, ACCEPT, CONTINUE, DROP, REPLY, SENT, Stage, accept, composed, drop,
                                      reasons_of)
from bpfwright.errors import UsageError
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, Vlan
from bpfwright.hooks import tc, xdp
from bpfwright.maps import Array
from bpfwright.spec.machine import Machine
from bpfwright.userspace import Userspace


def on_port(port: int, verdict: int, needs: str = "transport") -> Any:
    def look(ctx: Any, packet: Any) -> Any:
        return verdict if packet.destination_port == port else CONTINUE

    return look


def packet(port: int) -> Any:
    return Ethernet() / IPv4(source="192.0.2.1") / UDP(dport=port)


def test_numbers() -> None:
    assert (drop(0), accept(2)) == (DROP | 1 << 8, ACCEPT | 3 << 8)


def test_the_first_that_decides_decides(machine: Machine) -> None:
    needs = frozenset({"transport"})
    stages = [Stage("one", on_port(1, drop(1)), needs, ("a", "b")), Stage("two", on_port(2, accept(0)), needs, ("c",)),
              Stage("three", on_port(2, drop(0)), needs, ("d",)), Stage("four", on_port(3, REPLY), needs),
              Stage("five", on_port(4, ABORT), needs), Stage("six", on_port(5, SENT), needs)]
    part = Part([Hooked("lo", hook, stage, rank) for hook in ("xdp", "egress") for rank, stage in enumerate(stages)])
    assert reasons_of(stages) == [("", "passed"), ("one", "a"), ("one", "b"), ("two", "c"), ("three", "d")]
    with Generation.load(plan_of({"x": part}), machine) as generation:
        programs = {place.hook: made.program for made in generation.plan.made for place in made.places}
        actions = [generation.session.test_of(programs["xdp"], packet(port)).action for port in range(6)]
        assert actions == [xdp.PASS, xdp.DROP, xdp.PASS, xdp.TX, xdp.ABORTED, xdp.Action.REDIRECT]
        actions = [generation.session.test_of(programs["egress"], packet(port)).action for port in range(5)]
        assert actions == [tc.NEXT, tc.SHOT, tc.NEXT, tc.NEXT, tc.SHOT]
        counts = {(each.program, each.reason): each.packets for each in generation.counted()}
        assert counts == {("lo xdp", "passed"): 3, ("lo xdp", "a"): 0, ("lo xdp", "b"): 1, ("lo xdp", "c"): 1,
                          ("lo xdp", "d"): 0, ("lo egress", "passed"): 2, ("lo egress", "a"): 0,
                          ("lo egress", "b"): 1, ("lo egress", "c"): 1, ("lo egress", "d"): 0}
        assert generation.errors() == 2


def test_ranks_order_stages_of_all_facets(machine: Machine) -> None:
    needs = frozenset({"transport"})
    late = Part([Hooked("lo", "xdp", Stage("late", on_port(1, drop(0)), needs, ("late",)), 200)])
    early = Part([Hooked("lo", "xdp", Stage("early", on_port(1, drop(0)), needs, ("early",)), 5)])
    with Generation.load(plan_of({"a": late, "b": early}), machine) as generation:
        generation.session.test(packet(1))  # type: ignore[attr-defined]
        assert [each.reason for each in generation.counted() if each.packets] == ["early"]


def test_hooks_with_the_same_stages_share_a_program() -> None:
    stage = Stage("one", on_port(1, drop(0)), frozenset({"transport"}), ("a",))
    plan = plan_of({"x": Part([Hooked(name, "xdp", stage) for name in ("eth0", "eth1")])})
    assert [made.places for made in plan.made] == [[Place("eth0", "xdp"), Place("eth1", "xdp")]]


@pytest.mark.parametrize("functions", [False, True])
def test_all_stages_of_a_hook_have_one_clock(machine: Machine, functions: bool) -> None:
    """It is read by the first who asks, and for each packet anew."""
    times = Array[u64](max_entries=2)

    def asking(number: int) -> Any:
        def look(ctx: Any, packet: Any) -> Any:
            times[number] = clock(packet)
            return CONTINUE

        return look

    part = Part([Hooked("lo", "xdp", Stage(f"stage{number}", asking(number), frozenset({"network"})), number)
                 for number in range(2)])
    with Generation.load(plan_of({"x": part}, apart=functions), machine) as generation:
        seen = []
        if isinstance(machine, Userspace):
            machine.advance(1_000_000)  # its clock begins at 0
        for _ in range(2):
            generation.session.test_of(generation.plan.made[0].program, packet(1))
            seen.append([generation.maps(times)[number] for number in range(2)])
            time.sleep(0.03)  # longer than any tick; in userspace a look takes time
    assert seen[0][0] == seen[0][1] > 0 and seen[1][0] == seen[1][1] > seen[0][0]


def test_behind_a_rewrite_is_parsed_anew(machine: Machine) -> None:
    """A stage takes a tag off; the next one sees the packet as it is then."""
    def untag(ctx: Any, packet: Any) -> Any:
        if packet.vlan != 7:
            return CONTINUE
        tag = ctx.find(Vlan)
        if tag is None:
            return CONTINUE
        kind = tag.protocol
        frame = ctx.read(0, Ethernet)
        if frame is None or not ctx.adjust_head(4):
            return ABORT
        frame.protocol = kind
        return CONTINUE if ctx.write(0, frame) else ABORT

    def tagged(ctx: Any, packet: Any) -> Any:
        return drop(0) if packet.vlan == 7 else CONTINUE

    needs = frozenset({"vlan"})
    stages = [Hooked("lo", "xdp", Stage("untag", untag, needs, (), True), 1),
              Hooked("lo", "xdp", Stage("tagged", tagged, needs, ("tagged",)), 2)]
    with Generation.load(plan_of({"x": Part(stages)}), machine) as generation:
        made = generation.plan.made[0].program
        result = generation.session.test_of(made, Ethernet() / Vlan(vid=7) / IPv4() / TCP())
        assert result.action == xdp.PASS and result.data[12:14] == b"\x08\x00" and len(result.data) == 54


def test_what_cannot_be_composed() -> None:
    stage = Stage("one", on_port(1, CONTINUE), frozenset({"transport"}))
    with pytest.raises(UsageError, match="two stages are named one"):
        plan_of({"x": Part([Hooked("lo", "xdp", stage), Hooked("lo", "xdp", stage)])})
    many = Stage("many", on_port(1, CONTINUE), frozenset(), tuple(map(str, range(201))))
    with pytest.raises(UsageError, match="201 reasons"):
        composed([many], lambda needs: None, lambda: None)


class Given(Config):
    port: u64 = 1


@pytest.mark.userspace
def test_maps_of_another_session_go_on() -> None:
    counts = Array[u64](max_entries=1)

    @xdp.program
    def count(ctx: xdp.Context) -> xdp.Action:
        value = counts.get(0)
        if value is not None:
            counts[0] = value + 1
        return xdp.PASS

    machine = Userspace()
    with load(count, machine=machine) as first:
        first.test(packet(1))
        there = first.bindings[id(counts)].handle
        with load(count, machine=machine, maps={counts: there}) as second:
            second.test(packet(1))
            assert second[counts][0] == 2
        assert first[counts][0] == 2  # the other session did not close it
        with load(count, machine=machine, maps={"counts": there, "none": there}) as third:
            third.test(packet(1))
        assert first[counts][0] == 3
