"""Packets in programs: finding headers, fields of every kind, rewriting, options, dynptrs; by test run."""
from __future__ import annotations

from typing import Any

import pytest

from bpfwright import L, Struct, Userspace, array, be16, be32, load, shared, u64
from bpfwright.headers import (TCP, UDP, VXLAN, Ethernet, HopByHop, IPv4, IPv6, MaximumSegment, Packet, TcpOption, Vlan,
                               WindowScale)
from bpfwright.helpers import whole_packet
from bpfwright.hooks import tc, xdp
from bpfwright.maps import Array, Hash

pytestmark = pytest.mark.kernel


class Found(Struct):
    which: u64
    a: u64
    b: u64
    c: u64


found = shared(Found(0, 0, 0, 0))


@xdp.program
def layers(ctx: xdp.Context) -> xdp.Action:
    found.which = 0
    if ctx.find(Ethernet) is not None:
        found.which |= 1
    vlan = ctx.find(Vlan)
    if vlan is not None:
        found.which |= 2
        found.a = vlan.vid
    if ctx.find(IPv4) is not None:
        found.which |= 4
    if ctx.find(IPv6) is not None:
        found.which |= 8
    match ctx.find(TCP, UDP):
        case TCP(dport=port):
            found.which |= 16
            found.b = port
        case UDP(dport=port):
            found.which |= 32
            found.b = port
    return xdp.PASS


SIX = IPv6(source="2001:db8::1", destination="2001:db8::2")
CASES: dict[str, tuple[Any, int]] = {
    "ethernet": (Ethernet(protocol=0x1234) / b"\0" * 1 if False else Ethernet(protocol=0x1234) / (b"x" * 40), 1),
    "ipv4": (Ethernet() / IPv4(protocol=99) / (b"x" * 40), 1 | 4),
    "tcp": (Ethernet() / IPv4() / TCP(dport=443), 1 | 4 | 16),
    "udp": (Ethernet() / IPv4() / UDP(dport=443), 1 | 4 | 32),
    "tcp over ipv6": (Ethernet() / SIX / TCP(dport=443), 1 | 8 | 16),
    "udp over ipv6": (Ethernet() / SIX / UDP(dport=443), 1 | 8 | 32),
    "extension header": (Ethernet() / SIX / HopByHop() / TCP(dport=443), 1 | 8 | 16),
    "vlan": (Ethernet() / Vlan(vid=7) / IPv4() / TCP(dport=443), 1 | 2 | 4 | 16),
    "stacked vlan": (Ethernet() / Vlan(vid=7) / Vlan(vid=9) / IPv4() / UDP(dport=443), 1 | 2 | 4 | 32),
    "later fragment": (Ethernet() / IPv4(fragment_offset=5, protocol=6) / (b"x" * 40), 1 | 4),
    "short tcp": (bytes(Ethernet() / IPv4() / TCP(dport=443))[:14 + 20 + 8], 1 | 4),
    "short ipv4": (bytes(Ethernet() / IPv4() / TCP())[:14 + 12], 1),
    "options": (Ethernet() / IPv4(options=[]) / TCP(dport=443), 1 | 4 | 16),
}


@pytest.mark.parametrize("name", CASES)
def test_find(name: str) -> None:
    packet, which = CASES[name]
    with load(layers) as program:
        program.test(packet)
        assert found.which == which
        if which & (16 | 32):
            assert found.b == 443
        if which & 2:
            assert found.a == 7


@xdp.program
def rewrite(ctx: xdp.Context) -> xdp.Action:
    ethernet = ctx.find(Ethernet)
    ip = ctx.find(IPv4)
    tcp = ctx.find(TCP)
    if ethernet is None or ip is None or tcp is None:
        return xdp.PASS
    source = ethernet.source
    ethernet.source = ethernet.destination
    ethernet.destination = source
    there = ip.source
    ip.source = ip.destination
    ip.destination = there
    tcp.dport, tcp.sport = tcp.sport, tcp.dport
    tcp.window += 5
    ip.ttl -= 1
    ip.dscp = 11
    tcp.syn = 0
    tcp.ack = 1
    return xdp.TX


def test_rewriting() -> None:
    packet = Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02") / IPv4(
        source="192.0.2.1", destination="192.0.2.2", ttl=64, ecn=3) / TCP(sport=1, dport=2, syn=1, window=100) / b"body"
    with load(rewrite) as program:
        result = program.test(packet)
    assert result.action is xdp.TX
    changed = result.packet
    ethernet, ip, tcp = changed.find(Ethernet), changed.find(IPv4), changed.find(TCP)
    assert ethernet is not None and ip is not None and tcp is not None
    assert (str(ethernet.source), str(ethernet.destination)) == ("02:00:00:00:00:02", "02:00:00:00:00:01")
    assert ip.source == "192.0.2.2" and ip.destination == "192.0.2.1"
    assert (ip.ttl, ip.dscp, ip.ecn) == (63, 11, 3)
    assert (tcp.sport, tcp.dport, tcp.window, tcp.syn, tcp.ack) == (2, 1, 105, 0, 1)
    assert bytes(changed).endswith(b"body")


@xdp.program
def options(ctx: xdp.Context) -> xdp.Action:
    tcp = ctx.find(TCP)
    if tcp is None:
        return xdp.DROP
    found.which = 0
    for option in tcp.options:
        found.which += 1
        match option:
            case MaximumSegment(size=size):
                found.a = size
            case WindowScale(shift=shift):
                found.b = shift
            case TcpOption(kind=kind):
                found.c = kind
    return xdp.PASS


def test_options_are_walked() -> None:
    with load(options) as program:
        program.test(Ethernet() / IPv4() / TCP(options=[MaximumSegment(size=1234), WindowScale(shift=7)]))
        assert (found.which, found.a, found.b) == (2, 1234, 7)
        program.test(Ethernet() / IPv4() / TCP())
        assert found.which == 0


@xdp.program
def break_out(ctx: xdp.Context) -> xdp.Action:
    tcp = ctx.find(TCP)
    if tcp is None:
        return xdp.DROP
    for option in tcp.options:
        if option.kind == 3:
            return xdp.TX
        if option.kind == 4:
            break
    return xdp.PASS


def test_leaving_an_option_loop() -> None:
    with load(break_out) as program:
        packet = Ethernet() / IPv4() / TCP(options=[MaximumSegment(size=1234), WindowScale(shift=7)])
        assert program.test(packet).action is xdp.TX
        assert program.test(Ethernet() / IPv4() / TCP(options=[MaximumSegment(size=9)])).action is xdp.PASS


@xdp.program
def through_a_view(ctx: xdp.Context) -> xdp.Action:
    with whole_packet(ctx) as view:
        found.a = view.size
        ip = view.read(14, IPv4)
        if ip is None:
            return xdp.DROP
        found.b = ip.ttl
        ip.ttl = 9
        if not view.write(14, ip):
            return xdp.ABORTED
        if view.read(10_000, UDP) is not None:
            return xdp.ABORTED
    return xdp.PASS


def test_dynptrs() -> None:
    packet = Ethernet() / IPv4(ttl=77) / UDP(dport=5) / b"x" * 1 if False else Ethernet() / IPv4(ttl=77) / UDP(dport=5)
    with load(through_a_view) as program:
        result = program.test(packet)
        assert result.action is xdp.PASS
        assert (found.a, found.b) == (14 + 20 + 8, 77)
        ip = result.packet.find(IPv4)
        assert ip is not None and ip.ttl == 9
        assert program.test(b"\0" * 20).action is xdp.DROP


@tc.program
def classify(ctx: tc.Context) -> tc.Action:
    udp = ctx.find(UDP)
    if udp is None:
        return tc.NEXT
    found.a = ctx.length
    found.b = ctx.protocol
    ctx.mark = udp.dport
    found.c = ctx.mark
    return tc.SHOT if udp.dport == 9 else tc.OK


def test_tc_by_test_run() -> None:
    with load(classify) as program:
        assert program.test(Ethernet() / IPv4() / UDP(dport=9) / b"abc").action is tc.SHOT
        assert (found.a, found.b, found.c) == (14 + 20 + 8 + 3, 0x0800, 9)
        assert program.test(Ethernet() / IPv4() / UDP(dport=8)).action is tc.OK
        assert program.test(Ethernet() / IPv4() / TCP(dport=8)).action is tc.NEXT


@xdp.program
def grow(ctx: xdp.Context) -> xdp.Action:
    if not ctx.adjust_head(-4):
        return xdp.ABORTED
    ethernet = ctx.find(Ethernet)
    if ethernet is None:
        return xdp.ABORTED
    ethernet.protocol = 0x88B5
    return xdp.TX if ctx.adjust_tail(-2) else xdp.DROP


def test_adjusting() -> None:
    packet = bytes(Ethernet() / IPv4() / UDP() / b"0123456789")
    with load(grow) as program:
        result = program.test(packet)
        assert result.action is xdp.TX and len(result.data) == len(packet) + 4 - 2
        assert result.data[12:14] == b"\x88\xb5" and result.data[18:] == packet[14:-2]


_ = (VXLAN, Packet)


@xdp.program
def late(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    tcp = ctx.find(TCP)
    if ip is not None and tcp is not None and tcp.dport == 80:
        found.which = 1
        found.a = tcp.sport
        return xdp.DROP
    six = ctx.find(IPv6)
    udp = ctx.find(UDP)
    if six is None or udp is None:
        found.which = 2
        return xdp.PASS
    found.which = 3
    found.a = udp.sport
    return xdp.TX


def test_finds_that_wait_find_the_same() -> None:
    cases: list[Any] = [
        (Ethernet() / IPv4() / TCP(sport=5, dport=80), (xdp.DROP, 1, 5)),
        (Ethernet() / SIX / TCP(sport=5, dport=80), (xdp.PASS, 2, 5)),
        (Ethernet() / SIX / UDP(sport=6), (xdp.TX, 3, 6)), (Ethernet() / IPv4() / UDP(sport=7), (xdp.PASS, 2, 6)),
        (Ethernet() / Vlan(vid=3) / IPv4() / TCP(sport=8, dport=80), (xdp.DROP, 1, 8)),
        (b"\0" * 60, (xdp.PASS, 2, 8))]
    with load(late) as program:
        for packet, expected in cases:
            action = program.test(packet).action
            assert (action, found.which, found.a) == expected


@xdp.program
def inlined_twice(ctx: xdp.Context) -> xdp.Action:
    first(ctx, 1)
    first(ctx, 2)
    return xdp.PASS


def first(ctx: xdp.Context, step: u64) -> None:
    ip = ctx.find(IPv4)
    if ip is None:
        return
    key = step * 2
    before = table.get(key)
    if before is None:
        table[key] = step
    else:
        found.b += key


table = Hash[u64, u64](max_entries=8)


def test_keys_of_inlined_functions_are_their_own() -> None:
    with load(inlined_twice) as program:
        program.test(Ethernet() / IPv4() / TCP())
        assert dict(table.items()) == {2: 1, 4: 2}
        program.test(Ethernet() / IPv4() / TCP())
        assert found.b == 6


@xdp.program
def swap(ctx: xdp.Context) -> xdp.Action:
    ethernet = ctx.find(Ethernet)
    if ethernet is None:
        return xdp.PASS
    ethernet.source, ethernet.destination = ethernet.destination, ethernet.source
    return xdp.TX


def test_swapping_reads_both_before_it_writes() -> None:
    with load(swap) as program:
        packet = program.test(Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02") / IPv4()).packet
    ethernet = packet.find(Ethernet)
    assert ethernet is not None and str(ethernet.source) == "02:00:00:00:00:02"
    assert str(ethernet.destination) == "02:00:00:00:00:01"


class Mark(Struct):
    number: u64
    tail: array[be16, L[4]]


marks = Array[Mark](max_entries=1)
VERBOSE = False


@xdp.program
def read_and_write(ctx: xdp.Context) -> xdp.Action:
    mark = marks.get(0)
    ethernet = ctx.read(0, Ethernet)
    if mark is None or ethernet is None or ctx.read(ctx.length - 3, be32) is not None:
        return xdp.ABORTED
    if VERBOSE:
        found.a = 0
        if ethernet.protocol != 0:  # never looked at, nor what it tests
            return xdp.DROP
    found.a = ethernet.protocol
    found.b = (1 if ctx.write(ctx.length - 7, mark) else 2) + (4 if ctx.write(14, mark.tail, size=found.c) else 8)
    return xdp.PASS


def test_bytes_anywhere_are_read_and_written() -> None:
    for machine in (None, Userspace()):
        with load(read_and_write, machine=machine) as program:
            marks[0] = Mark(1, [0x1112, 0x1314, 0x1516, 0x1718])
            for size, written in ((1, 1), (5, 5), (8, 8), (100, 8), (0, 1)):  # at least one byte, at most all
                found.c = size
                after = program.test(Ethernet(protocol=0x1234) / bytes(26)).data
                assert (found.a, found.b) == (0x1234, 2 | 4)
                assert after[14:] == bytes(range(0x11, 0x19))[:written].ljust(26, b"\0")


ALWAYS = True


def noted(number: int) -> int:
    found.a = number
    return number + 1


@xdp.program
def left_by_a_constant(ctx: xdp.Context) -> xdp.Action:
    if ctx.length > 20:
        if ALWAYS:
            return xdp.TX
        noted(7)
        found.b = noted(8)
        return xdp.DROP
    return xdp.PASS


def test_what_stands_behind_a_constant_return_is_not_there() -> None:
    with load(left_by_a_constant) as program:
        assert program.test(b"\0" * 60).action is xdp.TX
        assert program.test(b"\0" * 20).action is xdp.PASS
        assert not program.compiled.maps and not program.compiled.shared
