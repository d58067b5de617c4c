"""The programs without a kernel: frames byte for byte those that Python makes, arrivals told apart, reflections."""
from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright import Userspace, load
from bpfwright.facets.blast import Frames, arrivals
from bpfwright.facets.blast.frames import signature
from bpfwright.facets.blast.kernel import State, maker_of
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6, Packet
from bpfwright.hooks import xdp
from tests.facets.blast.test_frames import CASES, NUMBERS

pytestmark = pytest.mark.userspace
MAGIC = 0xBEEF


def compare(frames: Frames, numbers: tuple[int, ...], start: bytes | None = None) -> None:
    """Run the program for each number, on a page that holds something else, and compare with Frames.frame()."""
    made = maker_of(frames)
    with load(made.program, machine=Userspace()) as session:
        shapes: Any = session[made.shapes]
        for place, shape in enumerate(frames.laid_out()):
            shapes.handle.update(place.to_bytes(4, "little"), made.filled(shape))
        values = [value for slot in frames.slots for value in slot.varying.listed]
        for place, value in enumerate(values):
            session[made.listed][place] = value
        states: Any = session[made.states]
        page = b"\xA5" * frames.longest if start is None else start
        for number in numbers:
            states[0] = [State(number, 3, 0, 0, MAGIC)] * len(states[0])
            data = session.test(page).data
            time_ns = int.from_bytes(data[len(data) // 2 * 2 - 8:][:8], "big") if frames.signed else 0
            assert data.hex() == frames.frame(number, magic=MAGIC, time_ns=time_ns).hex(), number
            state = max(states[0], key=lambda each: each.made)
            assert (state.next, state.made, state.made_bytes) == (number + 3, 1, len(data))


@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed"])
@pytest.mark.parametrize("name", CASES)
def test_frames_are_those_of_python(name: str, signed: bool) -> None:
    compare(Frames.of(CASES[name][0], signed=signed), NUMBERS)


@pytest.mark.parametrize("text", [
    "Ethernet(destination='02:00:00:00:00:00-02:00:00:ff:ff:ff', source=random()) / IPv4() / UDP()",
    "Ethernet() / IPv6(source=random(), destination=['::1', 'ffff::2', '2001:db8::'], traffic_class=range(3)) / UDP()",
    "Ethernet() / IPv6(source=random('2001:db8::/32'), flow_label=random()) / TCP(ack=range(2), window=random())",
    "Ethernet() / Arp(sender='10.0.0.0/8', target=random('10.0.0.0/8'), sender_mac=random())",
    "Ethernet() / IPv4(ttl=range(255, 0, -1)) / GRE(version=range(2)) / IPv4(source='10.0.0.0/9') / ICMP(type='0-8')",
    "Ethernet() / MPLS(label=random(), ttl=[1, 2, 9]) / b'abc'",
    "Ethernet() / IPv4(protocol=hold(3, range(256)), dont_fragment=range(2), fragment_offset=random()) / b'abc'",
    "Ethernet() / IPv4() / UDP(sport=[1, 2, 3], dport=random([53, 443, 65535]), length=7) / b'12'",
])
def test_more_headers(text: str) -> None:
    compare(Frames.of(text), NUMBERS)


def test_lengths_take_turns() -> None:
    compare(Frames.of(CASES["udp"][0], length="60-64,1514,90", signed=False), tuple(range(20)))
    compare(Frames.of(CASES["udp"][0], length="imix", signed=False), tuple(range(15)))


@settings(max_examples=12)
@given(st.integers(1, 255), st.integers(0, 64), st.integers(1, 65534), st.integers(0, 1 << 40), st.booleans())
def test_frames_of_any_numbers(ttl: int, payload: int, port: int, number: int, signed: bool) -> None:
    text = (f"Ethernet() / IPv4(source=random('10.0.0.0/{8 + payload % 9 // 8}'), ttl={ttl}) / "
            f"UDP(sport=random(), dport=range({port}, 65536)) / (b'z' * {payload})")
    compare(Frames.of(text, signed=signed), (number, number + 1, (1 << 40) - 1))


def test_udp_never_writes_no_checksum() -> None:
    """A sum of zero is written as all ones: among all values of a field there is one that makes it zero."""
    frames = Frames.of("Ethernet() / IPv4() / UDP(sport=range(65536))")
    packet = Ethernet() / IPv4() / UDP()
    zero = next(port for port in range(65536) if _bare_sum(packet, port) == 0)
    assert frames.frame(zero)[40:42] == b"\xff\xff"
    compare(frames, (zero, zero + 1))


def _bare_sum(packet: Packet, port: int) -> int:
    udp = bytes([port >> 8, port & 255]) + b"\0\0\0\x08"
    total = sum(int.from_bytes((bytes(8) + b"\0\x11\0\x08" + udp)[at:at + 2], "big") for at in range(0, 18, 2))
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


# what arrives

def frame(number: int, time_ns: int = 0, magic: int = MAGIC, more: bytes = b"") -> bytes:
    return bytes(Ethernet() / IPv4() / UDP() / (bytes(10) + signature(magic, number, time_ns) + more))


def arrive(frames: list[bytes], magic: int = MAGIC, streams: int = 1, action: int = 1) -> tuple[list[Any], Any]:
    """The action on each frame, and the tally."""
    with load(arrivals.blast_arrive, machine=Userspace()) as session:
        arrivals.look_for(session, magic, streams, action == xdp.PASS)
        actions = [session.test(data).action for data in frames]
        tallies: Any = session[arrivals.tallies]
        return actions, tallies[0].total()


def test_frames_in_order() -> None:
    actions, tally = arrive([frame(number) for number in range(20)])
    assert actions == [xdp.DROP] * 20
    assert (tally.counted, tally.duplicates, tally.late, tally.timed) == (20, 0, 0, 0)
    assert tally.counted_bytes == 20 * len(frame(0))


def test_duplicates_and_late_ones_are_counted_exactly() -> None:
    numbers = [0, 1, 2, 2, 5, 4, 3, 6, 0, 7, 7, 7]
    _, tally = arrive([frame(number) for number in numbers])
    # Twice: 2, 0, 7, 7. After a higher one: 4, 3.
    assert (tally.counted, tally.duplicates, tally.late) == (12, 4, 2)


def test_any_order_as_python_counts_it() -> None:
    chance = random.Random(4)
    numbers = [chance.randrange(60) for _ in range(150)]
    seen: set[int] = set()
    highest = [-1, -1, -1]
    duplicates = late = 0
    for number in numbers:
        if number in seen:
            duplicates += 1
            continue
        seen.add(number)
        late += number < highest[number % 3]
        highest[number % 3] = max(highest[number % 3], number)
    _, tally = arrive([frame(number) for number in numbers], streams=3)
    assert (tally.duplicates, tally.late) == (duplicates, late)


def test_numbers_go_round() -> None:
    numbers = [0xFFFFFFFE, 0xFFFFFFFF, 0, 1]
    _, tally = arrive([frame(0x7FFFFFF0), frame(0xFFFFFFE0), *map(frame, numbers), frame(0xFFFFFFFE)])
    assert (tally.counted, tally.duplicates, tally.late) == (7, 1, 0)


def test_frames_of_others_go_on_uncounted() -> None:
    wrong = bytearray(frame(4))
    wrong[-1] ^= 1  # the balance says so
    others = [frame(1, magic=0x1111), bytes(60), bytes(14), bytes(wrong), frame(2, more=b"12")]
    actions, tally = arrive([*others, frame(3, more=b"1")])  # an odd byte at the end is not of the signature
    assert actions == [xdp.PASS] * 5 + [xdp.DROP] and tally.counted == 1 and tally.frames == 6


def test_without_magic_everything_counts_and_may_pass_on() -> None:
    actions, tally = arrive([bytes(60), frame(1)], magic=0, action=2)
    assert actions == [xdp.PASS] * 2 and tally.counted == 2


def test_what_comes_before_it_is_said_what_to_look_for_counts_nothing() -> None:
    """The program is attached before its run is set up; a neighbour's frame in between is not one of the run's."""
    with load(arrivals.blast_arrive, machine=Userspace()) as session:
        tallies: Any = session[arrivals.tallies]
        assert session.test(frame(0)).action == xdp.PASS
        arrivals.look_for(session, MAGIC, 1, False)
        assert tallies[0].total().frames == 0
        assert session.test(frame(0)).action == xdp.DROP and tallies[0].total().counted == 1


def test_latencies_are_put_into_buckets() -> None:
    with load(arrivals.blast_arrive, machine=Userspace()) as session:
        arrivals.look_for(session, MAGIC, 1, False)
        session.test(frame(0, time_ns=1))  # long ago: since the machine was started
        tallies: Any = session[arrivals.tallies]
        tally = tallies[0].total()
        counts: Any = session[arrivals.buckets]
        used = [bucket for bucket in range(arrivals.BUCKETS) if counts[bucket].total()]
        assert tally.timed == 1 and tally.least_ns == tally.most_ns == tally.latency_ns
        low, high = arrivals.bucket_edges(used[0])
        assert len(used) == 1 and low <= min(tally.latency_ns, (1 << 40) - 1) <= high


# and goes back

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.mark.parametrize(("there", "back"), [
    (Ethernet(source=A, destination=B) / IPv4(source="1.1.1.1", destination="2.2.2.2") / UDP(sport=5, dport=6) / b"x",
     Ethernet(source=B, destination=A) / IPv4(source="2.2.2.2", destination="1.1.1.1") / UDP(sport=6, dport=5) / b"x"),
    (Ethernet(source=A, destination=B) / IPv6(source="::1", destination="::2") / TCP(sport=5, dport=6),
     Ethernet(source=B, destination=A) / IPv6(source="::2", destination="::1") / TCP(sport=6, dport=5)),
    (Ethernet(source=A, destination=B, protocol=0x88B5) / bytes(40),
     Ethernet(source=B, destination=A, protocol=0x88B5) / bytes(40)),
])
def test_reflections_are_whole(there: Packet, back: Packet) -> None:
    with load(arrivals.blast_reflect, machine=Userspace()) as session:
        result = session.test(bytes(there))
        assert (result.action, result.data.hex()) == (xdp.TX, bytes(back).hex())
        group = bytes(Ethernet(source=A, destination="ff:ff:ff:ff:ff:ff") / IPv4() / UDP())
        assert session.test(group).action == xdp.PASS
        tally: Any = session[arrivals.reflected]
        assert (tally[0].total().frames, tally[0].total().passed) == (1, 1)
