"""The largest segment that SYNs say, lowered to what fits the tunnel: wherever the option stands, on both machines."""
from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.facets.balancer.loaded import Balancer, balancing, packed
from tests.facets.balancer.test_path import CLIENT, CLIENT6, GUE, MACHINES, to

from bpfwright import load
from bpfwright.facets.balancer.receiving import receiving
from bpfwright.headers import TCP
from bpfwright.hooks import tc, xdp
from bpfwright.spec.header import network_sum

pytestmark = pytest.mark.kernel

VIP, VIP6 = "198.51.100.80", "2001:db8::80"
TEXT = (f"gateway: 02:00:00:00:00:fe\nmss: {{mss}}\n{{more}}\nbackends: {{{{one: 10.0.0.1}}}}\n"
        f"vips:\n- {{{{address: {VIP}, port: 80, backends: [one]}}}}\n"
        f"- {{{{address: '{VIP6}', port: 80, backends: [one]}}}}\n")
NOP, END = b"\1", b"\0"


def largest(value: int) -> bytes:
    return b"\2\4" + value.to_bytes(2, "big")


def segment(options: bytes, source: str, *, payload: Any = b"", **flags: Any) -> bytes:
    """A frame with these options, filled up with zeros, and a right checksum."""
    options += bytes(-len(options) % 4)
    made = TCP(sport=7, dport=80, data_offset=5 + len(options) // 4, **(flags or {"syn": 1}))
    frame = bytearray(to(VIP if "." in source else VIP6, source, made / (options + payload)))
    at = 34 if "." in source else 54
    frame[at + 16:at + 18] = bytes(2)
    frame[at + 16:at + 18] = (transport_sum(bytes(frame)) or 0xFFFF).to_bytes(2, "big")
    return bytes(frame)


def transport_sum(frame: bytes) -> int:
    packet = frame[14:]
    if packet[0] >> 4 == 4:
        return network_sum(packet[12:20] + b"\0\6" + (len(packet) - 20).to_bytes(2, "big") + packet[20:])
    return network_sum(packet[8:40] + (len(packet) - 40).to_bytes(4, "big") + b"\0\0\0\6" + packet[40:])


def lowered(options: bytes, limit: int) -> bytes:
    """By the book: what a host would read, changed."""
    found, at = bytearray(options), 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2 or at + options[at + 1] > len(options):
            break
        if options[at] == 2 and options[at + 1] == 4 and int.from_bytes(options[at + 2:at + 4], "big") > limit:
            found[at + 2:at + 4] = limit.to_bytes(2, "big")
        at += options[at + 1]
    return bytes(found)


@pytest.fixture(scope="module", params=["kernel", "jit", "interpreter"])
def clamping(request: Any) -> Iterator[Balancer]:
    with balancing(TEXT.format(mss="auto", more=""), MACHINES[request.param]()) as made:
        yield made


def through(balancer: Balancer, frame: bytes) -> bytes:
    """What is inside the tunnel that the frame goes into, behind an Ethernet header as it came."""
    action, data = balancer.send(frame)
    assert action == xdp.TX
    return frame[:14] + data[-(len(frame) - 14):]


CASES = [b"", largest(1460), largest(1400), largest(65535), NOP + largest(1460), NOP * 3 + largest(1460),
         b"\3\3\7" + largest(1460), b"\4\2" + b"\x08\x0a" + bytes(8) + largest(1460), largest(9000) + NOP + b"\3\3\7",
         largest(1460) + largest(8000), END + largest(1460), b"\2\3\5" + NOP, b"\2\4\5", b"\2", b"\2\1\xff\xff",
         b"\2\0\xff\xff", b"\x1e\x28" + bytes(6), NOP * 36 + largest(1460), NOP * 39 + b"\2", b"\xfd\x06ABCD" + NOP
         + largest(4000), b"\2\5\xff\xff\xff" + largest(2000)]


@pytest.mark.parametrize("source", [CLIENT, CLIENT6])
def test_options_in_any_order_absent_and_malformed(clamping: Balancer, source: str) -> None:
    limit = 1440 if source == CLIENT else 1420
    for options in CASES:
        frame = segment(options, source)
        assert transport_sum(frame) == 0
        inside = through(clamping, frame)
        options += bytes(-len(options) % 4)
        at = (34 if source == CLIENT else 54) + 20
        assert inside[at:at + len(options)] == lowered(options, limit), options
        assert transport_sum(inside) == 0, options
        assert inside[:at - 4] == frame[:at - 4] and inside[at + len(options):] == frame[at + len(options):]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.just(b"\1"), st.just(b"\4\2"), st.binary(max_size=5), st.integers(0, 65535).map(largest),
                          st.binary(max_size=8).map(lambda data: b"\x22" + bytes([len(data) + 2]) + data)))
       .map(lambda parts: b"".join(parts)[:40]), st.sampled_from([CLIENT, CLIENT6]), st.binary(max_size=9))
def test_any_bytes_for_options(clamping: Balancer, options: bytes, source: str, payload: bytes) -> None:
    frame = segment(options, source, payload=payload)
    inside = through(clamping, frame)
    options += bytes(-len(options) % 4)
    at = (34 if source == CLIENT else 54) + 20
    assert inside[at:] == lowered(options, 1440 if source == CLIENT else 1420) + payload
    assert transport_sum(inside) == 0


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_limits_and_what_is_left_alone(machine: str) -> None:
    random = Random(5)
    for mss, more, limits in (("1200", "", (1200, 1200)), ("auto", GUE, (1432, 1412)), ("any", "", (65535, 65535)),
                              ("auto", "mtu: 9000", (8940, 8920))):
        with balancing(TEXT.format(mss=mss, more=more), MACHINES[machine]()) as made:
            for source, limit in zip((CLIENT, CLIENT6), limits, strict=True):
                at = 56 if source == CLIENT else 76
                for value in (limit - 1, limit, min(limit + 1, 65535), random.randrange(limit, 65536)):
                    inside = through(made, segment(largest(value), source))
                    assert int.from_bytes(inside[at:at + 2], "big") == min(value, limit)
                    assert transport_sum(inside) == 0
                for flags in ({"ack": 1}, {"psh": 1, "ack": 1}, {"rst": 1}):
                    frame = segment(largest(65535), source, **flags)
                    assert through(made, frame) == frame
            tail = 4 if mss != "any" else 0
            assert made.counters().get("mss_lowered", 0) >= tail


@pytest.mark.parametrize("machine", ["kernel", "jit", "interpreter"])
def test_a_backends_answers_say_what_fits_its_tunnel(machine: str) -> None:
    made = receiving(mss=1452)
    assert made.clamp is not None
    with load(made.program, made.clamp, machine=MACHINES[machine]()) as session:
        made.fill(session, [packed("10.0.0.1")], [packed(VIP), packed(VIP6)])

        clamp = made.clamp

        def leaving(frame: bytes) -> bytes:
            result = session.test_of(clamp, frame)
            assert result.action == tc.NEXT
            return bytes(result.data)

        for client, vip, limit, at in ((CLIENT, VIP, 1412, 54), (CLIENT6, VIP6, 1392, 74)):
            for options in CASES:
                frame = turned(segment(options, client, syn=1, ack=1), vip, client)
                options += bytes(-len(options) % 4)
                after = leaving(frame)
                assert after == frame[:at - 4] + after[at - 4:at - 2] + frame[at - 2:at] + lowered(options, limit)
                assert transport_sum(after) == 0
            for frame in (segment(largest(1460), client, syn=1, ack=1),  # of another address
                          turned(segment(largest(1460), client, ack=1), vip, client)):
                assert leaving(frame) == frame
        assert session[made.received][0].total().mss_lowered > 10


def turned(frame: bytes, vip: str, client: str) -> bytes:
    """The addresses exchanged: sums stay."""
    size, at = (4, 26) if "." in vip else (16, 22)
    return frame[:at] + frame[at + size:at + 2 * size] + frame[at:at + size] + frame[at + 2 * size:]


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_gue_checksums_stay_right(machine: str) -> None:
    with balancing(TEXT.format(mss="auto", more=GUE), MACHINES[machine]()) as made:
        for source in (CLIENT, CLIENT6):
            data = made.send(segment(NOP + largest(9000), source))[1][14:]
            assert network_sum(data[12:20] + b"\0\x11" + data[24:26] + data[20:]) == 0
