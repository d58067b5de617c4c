"""The same programs in the kernel, the interpreter and native code: results, packets, maps and logs agree."""
from __future__ import annotations

from typing import Any

import pytest

import bpfwright
from bpfwright import Kernel, Struct, Userspace, i64, log, shared, subprogram, u32, u64
from bpfwright.headers import TCP, UDP, Ethernet, IPv4
from bpfwright.hooks import cgroup, socket_filter, tc, xdp
from bpfwright.maps import Array, Hash, LruHash, PerCpuArray, PerCpuHash, ProgArray, Queue, RingBuf

pytestmark = [pytest.mark.userspace, pytest.mark.kernel]


class Out(Struct):
    a: u64
    b: u64
    c: i64


class Sent(Struct):
    ttl: u32
    size: u32


out = shared(Out(0, 0, 0))
table = Hash[u32, u64](max_entries=32)
cells = Array[u64](max_entries=8)
lru = LruHash[u32, u64](max_entries=64)
per_cpu = PerCpuHash[u32, u64](max_entries=8)
sums = PerCpuArray[u64](max_entries=2)
waiting = Queue[u32](max_entries=8)
sent = RingBuf[Sent](size_bytes=4096)
steps = ProgArray[xdp.Context](max_entries=4)
PACKET = Ethernet() / IPv4(source="192.0.2.7", ttl=13) / UDP(sport=5, dport=9)


@xdp.program
def walking(ctx: xdp.Context) -> xdp.Action:
    for i in range(10):
        table[u32(i)] = u64(i) * 7
        cells[i & 7] = i
        waiting.push(u32(i))
        lru.increment(u32(i & 3))
        per_cpu.increment(u32(i & 1))
        sums.increment(1, by=i)
    total: u64 = 0
    for key, value in table.items():
        total += value + key
        if key & 1:
            table.discard(key)
    out.a = total
    for place, cell in cells.items():
        out.b += cell * place
    first = waiting.pop()
    out.c = -1 if first is None else i64(first)
    return xdp.PASS


@subprogram
def mixed(value: u64, turn: u64) -> u64:
    return (value ^ turn) * 0x9E3779B97F4A7C15 >> 3


@xdp.program
def looping(ctx: xdp.Context) -> xdp.Action:
    value: u64 = ctx.length
    rounds = 0
    while value > 1000 or rounds < 5:
        value = mixed(value, u64(rounds)) % 5000
        rounds += 1
        if rounds > 300:
            break
    out.a = value
    out.b = u64(rounds)
    log(f"{rounds} rounds")
    return xdp.TX if value & 1 else xdp.DROP


@xdp.program
def changing(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.ABORTED
    sent.emit(Sent(ip.ttl, ctx.length))
    ip.ttl -= 1
    if not ctx.adjust_tail(-4):
        return xdp.ABORTED
    if not ctx.adjust_head(-20):
        return xdp.ABORTED
    return xdp.PASS


@xdp.program
def last(ctx: xdp.Context) -> xdp.Action:
    out.b += 1
    return xdp.TX


@xdp.program
def entering(ctx: xdp.Context) -> xdp.Action:
    out.a += 1
    steps.tail_call(ctx, 2)
    return xdp.DROP


@tc.program
def marking(ctx: tc.Context) -> tc.Action:
    udp = ctx.find(UDP, TCP)
    if udp is None:
        return tc.SHOT
    ctx.mark = 7
    match udp:
        case UDP():
            udp.dport = 53
        case TCP():
            udp.dport = 80
    return tc.OK


@socket_filter.program
def filtering(ctx: socket_filter.Context) -> int:
    return 40 if ctx.length > 20 else 0


@cgroup.egress
def leaving(ctx: cgroup.Skb) -> cgroup.Action:
    ip = ctx.read(0, IPv4)
    return cgroup.DENY if ip is None or ip.ttl != 13 else cgroup.ALLOW


def machines() -> list[Any]:
    return [Kernel(), Userspace(engine="interpreter"), Userspace(engine="jit")]


def everywhere(use: Any, *programs: Any) -> list[Any]:
    """What `use(session)` gives on each machine."""
    found = []
    for machine in machines():
        with machine, bpfwright.load(*programs, machine=machine) as session:
            found.append(use(session))
    return found


def alike(found: list[Any]) -> Any:
    assert found[1] == found[0] and found[2] == found[0]
    return found[0]


def test_maps_and_walks() -> None:
    def use(session: Any) -> Any:
        action = session.test(PACKET).action
        return (action, out.a, out.b, out.c, dict(table.items()), list(cells), dict(lru.items()),
                {key: value.total() for key, value in per_cpu.items()}, sums[1].total(), waiting.pop())

    assert alike(everywhere(use, walking))[4] == {i: i * 7 for i in range(0, 10, 2)}


def test_loops_subprograms_and_logs() -> None:
    def use(session: Any) -> Any:
        result = session.test(PACKET)
        return result.action, out.a, out.b, result.log

    alike(everywhere(use, looping))


def test_packets_and_records() -> None:
    def use(session: Any) -> Any:
        events = session.events(sent)
        events.stop()
        results = [session.test(PACKET) for _ in range(3)]
        return [(r.action, r.data) for r in results], list(events), events.lost

    assert alike(everywhere(use, changing))[1] == [Sent(13, 42)] * 3


def test_tail_calls() -> None:
    def use(session: Any) -> Any:
        before = session.test_of(entering, PACKET).action
        steps[2] = last
        after = session.test_of(entering, PACKET).action
        steps[2] = entering  # it goes on until there were 33 of them
        return before, after, session.test_of(entering, PACKET).action, out.a, out.b

    assert alike(everywhere(use, entering, last))[3] == 36


@pytest.mark.parametrize("program", [marking, filtering, leaving])
@pytest.mark.parametrize("packet", [PACKET, Ethernet() / IPv4(ttl=1) / TCP(dport=5), Ethernet() / IPv4()])
def test_hooks(program: Any, packet: Any) -> None:
    def use(session: Any) -> Any:
        result = session.test(packet)
        return result.action, result.data

    alike(everywhere(use, program))
