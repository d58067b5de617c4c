"""Functions that are judged alone, and take a packet's context: on both machines, and by our verifier too."""
from __future__ import annotations

from typing import Any

import pytest

from bpfwright import load, u32, u64
from bpfwright.errors import CompileError
from bpfwright.headers import TCP, UDP, Ethernet, IPv4
from bpfwright.helpers import judged_alone
from bpfwright.hooks import raw_tracepoint, tc, xdp
from bpfwright.maps import Array
from bpfwright.userspace import Userspace
from bpfwright.vmlinux import task_struct

counts = Array[u64](max_entries=4)


@judged_alone
def port_of_frame(ctx: xdp.Context, other: u32) -> u32:
    udp = ctx.find(UDP)
    return u32(other) if udp is None else u32(udp.dport)


@judged_alone
def port_of_packet(ctx: tc.Context) -> u32:
    tcp = ctx.find(TCP)
    return 0 if tcp is None else u32(tcp.dport)


@xdp.program
def frames(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.ABORTED
    counts[0] = u64(ip.ttl)
    counts[1] = port_of_frame(ctx, 7)
    counts[2] = port_of_frame(ctx, 8)
    return xdp.PASS


@judged_alone
def wherever(ctx: xdp.Context, unused: u64) -> u32:
    counts.increment(3)
    return 5


@xdp.program
def twice(ctx: xdp.Context) -> xdp.Action:
    counts[0] = wherever(ctx, ctx.length)
    counts[1] = wherever(ctx, 1)
    return xdp.PASS


@tc.program
def packets(ctx: tc.Context) -> tc.Action:
    counts[0] = port_of_packet(ctx)
    return tc.NEXT


def test_a_frame_is_looked_at_there(machine: Any) -> None:
    with load(frames, machine=machine) as session:
        for transport, found in ((UDP(dport=53), (53, 53)), (TCP(dport=53), (7, 8))):
            assert session.test(Ethernet() / IPv4(ttl=9) / transport).action == xdp.PASS
            assert [session[counts][at] for at in range(3)] == [9, *found]


def test_arguments_that_it_does_not_use(machine: Any) -> None:
    with load(twice, machine=machine) as session:
        session.test(bytes(Ethernet() / IPv4()))
        assert [session[counts][at] for at in range(4)] == [5, 5, 0, 2]


def test_a_packet_too(machine: Any) -> None:
    with load(packets, machine=machine) as session:
        session.test(Ethernet() / IPv4() / TCP(dport=80))
        assert session[counts][0] == 80


def test_other_contexts_stay_out() -> None:
    @judged_alone
    def look(ctx: raw_tracepoint.Context) -> u32:
        return 1

    @raw_tracepoint.program("sched_process_exit")
    def ended(ctx: raw_tracepoint.Context, task: task_struct) -> None:
        counts[0] = look(ctx)

    with pytest.raises(CompileError, match="takes integers only, and a packet's context"):
        load(ended, machine=Userspace())
