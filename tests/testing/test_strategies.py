"""What is drawn is what the types and headers allow, and shrinks to the smallest."""
from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from bpfwright import L, array, bits, char, i8, u8, u16, u32, u64
from bpfwright.errors import UsageError
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6, Packet, TcpOption, Vlan
from bpfwright.hooks import xdp
from bpfwright.maps import Hash, LpmTrie, Queue
from bpfwright.spec.header import is_shipped
from bpfwright.testing import SkbContext, XdpContext, entries, packets, records, skb_contexts, values, xdp_contexts
from bpfwright.tracepoints.syscalls import sys_enter_openat
from bpfwright.types.ctype import ctype_of
from tests.testing.programs import Blocked, Every, blocked, counts

SMALLEST = settings(max_examples=20_000, database=None, deadline=None, derandomize=True,
                    phases=(Phase.generate, Phase.shrink))


def smallest(drawn: Any, holds: Any = lambda found: True) -> Any:
    return find(drawn, holds, settings=SMALLEST, random=Random(7))


# values


@pytest.mark.parametrize("kind", [u8, i8, u16, u64, char[L[8]], array[u16, L[3]], Every, IPv4.Address, IPv6.Address,
                                  bool, xdp.Action])
def test_values_fit_their_types_and_come_back(kind: Any) -> None:
    ctype = ctype_of(kind)

    @settings(max_examples=100, deadline=None)
    @given(values(kind))
    def check(value: Any) -> None:
        assert ctype.from_bytes(ctype.to_bytes(value)) == value

    check()


@pytest.mark.parametrize(("kind", "least"), [(u32, 0), (i8, 0), (char[L[8]], ""), (array[u8, L[2]], [0, 0]),
                                             (IPv4.Address, "0.0.0.0"), (bool, False)])
def test_values_shrink_to_nothing(kind: Any, least: Any) -> None:
    assert smallest(values(kind)) == least


def test_records_shrink_field_by_field() -> None:
    assert smallest(values(Every)) == Every(0, 0, 0, False, "")
    assert smallest(values(Every), lambda each: each.signed < -5) == Every(0, -6, 0, False, "")


def test_numbers_are_often_at_an_edge() -> None:
    seen: set[int] = set()

    @settings(max_examples=200, deadline=None, database=None)
    @given(values(u16))
    def gather(value: int) -> None:
        seen.add(value)

    gather()
    assert {0, 0xFFFF} <= seen and len(seen & {1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE}) >= 4


# packets


def chain(packet: Packet) -> list[type[Any]]:
    return [type(header) for header in packet.headers]


@settings(max_examples=200, deadline=None)
@given(packets(Ethernet, Vlan | None, IPv4 | IPv6, TCP | UDP))
def test_layers_are_drawn_as_named(packet: Packet) -> None:
    kinds = chain(packet)
    assert kinds[0] is Ethernet and kinds[-1] in (TCP, UDP) and kinds[-2] in (IPv4, IPv6) and len(kinds) in (3, 4)
    parsed = Packet.parse(bytes(packet))
    assert chain(parsed)[:len(kinds)] == kinds
    if len(parsed.headers) == len(kinds):
        assert parsed.recomputed() == packet  # lengths, checksums and protocol numbers are right


@settings(max_examples=300, deadline=None, derandomize=True)
@given(packets(tunnels=True))
def test_any_chain_is_one_that_is_parsed_again(packet: Packet) -> None:
    assert 1 <= len(packet.headers) <= 6 and len(packet.payload) <= 64
    assume(all(map(is_shipped, chain(packet))))  # other tests' own headers are drawn too
    assert chain(Packet.parse(bytes(packet)))[:len(packet.headers)] == chain(packet)


def test_all_shipped_headers_turn_up() -> None:
    seen: set[type[Any]] = set()

    @settings(max_examples=1500, deadline=None, database=None, derandomize=True)
    @given(packets(tunnels=True))
    def gather(packet: Packet) -> None:
        seen.update(chain(packet))

    gather()
    assert len(seen) >= 15 and {Ethernet, Vlan, IPv4, IPv6, TCP, UDP} <= seen


def test_packets_shrink_to_the_fewest_headers_the_shortest_payload_and_no_fields() -> None:
    assert smallest(packets()) == Ethernet() / b""
    assert repr(smallest(packets(Ethernet, Vlan | None, IPv4 | IPv6, TCP | UDP))) == "Ethernet() / IPv4() / TCP()"
    def high_port(packet: Packet) -> bool:
        udp = packet.find(UDP)
        return udp is not None and udp.dport > 100

    found = smallest(packets(Ethernet, Vlan | None, IPv4 | IPv6, TCP | UDP), high_port)
    assert repr(found) in ("Ethernet() / IPv4() / UDP(dport=101)", "Ethernet() / IPv6() / UDP(dport=101)")
    # Of all chains that lead there, which one is left depends on what other tests declare.
    found = smallest(packets(), high_port)
    assert not found.payload and found.headers[-1] == UDP(dport=101)
    found = smallest(packets(Ethernet, IPv4), lambda packet: len(packet.payload) > 3 and packet.headers[1].ttl == 0)
    assert repr(found) == "Ethernet() / IPv4(ttl=0) / b'\\x00\\x00\\x00\\x00'"
    found = smallest(packets(Ethernet, IPv4, TCP), lambda packet: len(packet.headers[2].rest) > 4)
    assert len(found.headers[2].rest) <= 10 and not found.payload  # five bytes, or one option


def test_fields_are_drawn_as_asked() -> None:
    @settings(max_examples=50, deadline=None)
    @given(packets(Ethernet, IPv4, TCP, fields={TCP: {"dport": [23, 80]}, IPv4: {"ttl": st.integers(3, 5)}}))
    def check(packet: Packet) -> None:
        assert packet.headers[2].dport in (23, 80) and 3 <= packet.headers[1].ttl <= 5  # type: ignore[attr-defined]

    check()


def test_what_is_wrong_on_demand_is_wrong() -> None:
    def broken(packet: Packet) -> bool:
        return bytes(Packet.parse(bytes(packet), Ethernet).recomputed()) != bytes(packet)

    layers = (Ethernet, IPv4, UDP)
    with pytest.raises(NoSuchExample):
        find(packets(*layers), broken, random=Random(7),
             settings=settings(max_examples=100, database=None, deadline=None))
    found = smallest(packets(*layers, wrong=["checksums"]), broken)
    assert repr(found) in ("Ethernet() / IPv4(checksum=0) / UDP()", "Ethernet() / IPv4() / UDP(checksum=0)")
    found = smallest(packets(*layers, wrong=["lengths"]), lambda packet: 0 < packet.headers[2].length < 8)
    assert repr(found) == "Ethernet() / IPv4() / UDP(length=1)"
    found = smallest(packets(*layers, wrong=["lengths"]), lambda packet: packet.headers[1].ihl < 5)
    assert bytes(found)[14] == 0x40
    found = smallest(packets(*layers, wrong=["protocols"]), lambda packet: bytes(packet)[23] != 17)
    assert bytes(found)[23] == 0


def test_cut_packets_come_as_bytes() -> None:
    both: set[type] = set()

    @settings(max_examples=100, deadline=None, database=None)
    @given(packets(Ethernet, IPv4, TCP, truncated=True))
    def gather(packet: Packet | bytes) -> None:
        both.add(type(packet))
        assert len(bytes(packet)) >= 14

    gather()
    assert both == {Packet, bytes}
    assert isinstance(smallest(packets(Ethernet, IPv4, truncated=True)), Packet)
    cut = smallest(packets(Ethernet, IPv4, truncated=True), lambda packet: isinstance(packet, bytes))
    assert cut == bytes(Ethernet() / IPv4())[:14]


@pytest.mark.parametrize(("call", "said"), [
    (lambda: packets(Ethernet, IPv4, wrong=["colour"]), "colour"),
    (lambda: packets(Ethernet, IPv4 | int), "no packet header"),
    (lambda: smallest(packets(Ethernet, TCP)), "TCP does not follow Ethernet"),
    (lambda: smallest(packets(Ethernet, IPv4, fields={IPv4: {"colour": [1]}})), "no field 'colour'"),
    (lambda: entries(Queue[u32](max_entries=3)), "no keys"),
])
def test_mistakes_are_named(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()


def test_options_are_there_and_parse() -> None:
    found = smallest(packets(Ethernet, IPv4, TCP), lambda packet: any(
        isinstance(option, TcpOption) and option.kind == 8 for option in packet.headers[2].options))
    assert chain(Packet.parse(bytes(found))) == [Ethernet, IPv4, TCP]


# contexts, records, maps


def test_contexts() -> None:
    assert smallest(xdp_contexts()) == XdpContext() and smallest(skb_contexts()) == SkbContext()
    found = smallest(xdp_contexts([(1, 1), (3, 4)]), lambda each: each.rx_queue == 2)
    assert found == XdpContext(3, 2) and found.to_bytes(60)[12:20] == bytes([3, 0, 0, 0, 2, 0, 0, 0])
    mark = smallest(skb_contexts(), lambda each: each.mark > 6)
    assert mark == SkbContext(7) and SkbContext.of(mark.to_bytes(60)) == mark


def test_records_of_an_event() -> None:
    least = smallest(records(sys_enter_openat), lambda each: each.flags > 2)
    assert vars(least) == {**dict.fromkeys(sys_enter_openat.__own__, 0), "flags": 3}


networks = LpmTrie[IPv4.Address, Blocked](max_entries=5)


def test_map_states_are_of_the_maps_types() -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(entries(blocked, max_size=5), entries(counts), entries(networks))
    def check(some: dict[int, Blocked], numbers: dict[int, int], prefixes: dict[Any, Blocked]) -> None:
        assert len(some) <= 5 and all(0 <= key < 1 << 32 and isinstance(value, Blocked) for key, value in some.items())
        assert all(0 <= key < 4 for key in numbers) and len(prefixes) <= 5
        assert all(0 <= key.length <= 32 for key in prefixes)

    check()
    assert smallest(entries(blocked)) == {}
    assert smallest(entries(blocked), len) == {0: Blocked(0, 0)}
    assert str(next(iter(smallest(entries(networks), len)))) == "0.0.0.0/32"
    assert smallest(entries(Hash[u8, u8](max_entries=2)), lambda found: 7 in found.values()) == {0: 7}


def test_bit_fields_stay_in_their_width() -> None:
    assert bits is not None

    @settings(max_examples=100, deadline=None)
    @given(packets(Ethernet, Vlan, IPv4))
    def check(packet: Packet) -> None:
        tag = packet.headers[1]
        assert isinstance(tag, Vlan) and 0 <= tag.vid < 4096 and 0 <= tag.priority < 8

    check()
