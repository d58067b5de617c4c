"""Expressions: what they mean, what varies in them, and one clear error for each that means nothing."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import BpfwrightError, UsageError
from bpfwright.facets.blast.expression import addressed, parse_expression, parse_value, with_fields
from bpfwright.facets.blast.presets import PRESETS
from bpfwright.facets.blast.values import Held, Random, key_of, varying
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6, MaximumSegment, Packet
from bpfwright.types.ctype import CType


def ctype(header: type[IPv4 | IPv6 | UDP | Ethernet], name: str) -> CType:
    return header.__layout__().fields[name].type


def shown(text: str, header: type[IPv4 | IPv6 | UDP | Ethernet] = IPv4, name: str = "source",
          count: int = 4) -> list[str]:
    """The first values of a field, as they are written."""
    found = parse_expression(text)
    (field,) = found.fields
    address = getattr(ctype(header, name), "cls", None)
    values = [field.varying.value(number, key_of(1, 0)) for number in range(count)]
    return [str(address.from_int(value) if address else value) for value in values]


def test_constants_make_the_packet_that_python_makes() -> None:
    found = parse_expression('Ethernet(source="02:00:00:00:00:01") / IPv4(source="192.0.2.1", ttl=3) / '
                             'TCP(dport=80, syn=1, options=[MaximumSegment(size=1400)]) / (b"ab" * 2) / b"c"')
    assert not found.fields
    assert bytes(found.packet) == bytes(
        Ethernet(source="02:00:00:00:00:01") / IPv4(source="192.0.2.1", ttl=3)
        / TCP(dport=80, syn=1, options=[MaximumSegment(size=1400)]) / b"ababc")


@pytest.mark.parametrize(("value", "values"), [
    ('"10.0.0.0/30"', ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.0"]),
    ('"10.0.0.255-10.0.1.0"', ["10.0.0.255", "10.0.1.0", "10.0.0.255", "10.0.1.0", "10.0.0.255"]),
    ('["1.1.1.1", "9.9.9.9"]', ["1.1.1.1", "9.9.9.9", "1.1.1.1", "9.9.9.9", "1.1.1.1"]),
    ('hold(2, "10.0.0.0/31")', ["10.0.0.0", "10.0.0.0", "10.0.0.1", "10.0.0.1", "10.0.0.0"]),
    ('hold(2, hold(2, "10.0.0.0/31"))', ["10.0.0.0"] * 4 + ["10.0.0.1"]),
])
def test_addresses_vary(value: str, values: list[str]) -> None:
    assert shown(f"Ethernet() / IPv4(source={value})", count=5) == values


@pytest.mark.parametrize(("value", "values"), [
    ("range(5, 8)", ["5", "6", "7", "5"]), ("range(8, 5, -1)", ["8", "7", "6", "8"]), ('"5-6"', ["5", "6", "5", "6"]),
    ("range(0, 100, 40)", ["0", "40", "80", "0"]), ("[7, 3]", ["7", "3", "7", "3"]),
])
def test_numbers_vary(value: str, values: list[str]) -> None:
    assert shown(f"Ethernet() / IPv4() / UDP(dport={value})", UDP, "dport") == values


def test_hardware_and_long_addresses_vary() -> None:
    assert shown('Ethernet(source="02:00:00:00:00:ff-02:00:00:00:01:00")', Ethernet, count=2) == [
        "02:00:00:00:00:ff", "02:00:00:00:01:00"]
    assert parse_expression('Ethernet(source="02-00-00-00-00-ff")').fields == ()  # hyphens of another notation
    assert shown('Ethernet() / IPv6(source="2001:db8::/32")', IPv6, count=2) == ["2001:db8::", "2001:db8::1"]
    assert shown('Ethernet() / IPv6(source=["::1", "2001:db8::7"])', IPv6, count=2) == ["::1", "2001:db8::7"]


@given(st.integers(1, 1 << 20), st.integers(0, 1 << 40), st.integers(0, 1 << 64))
def test_chance_stays_inside_and_is_the_same_again(size: int, number: int, key: int) -> None:
    how = varying("IPv4.source", ctype(IPv4, "source"), Random(range(7, 7 + size)))
    assert how is not None
    value = how.value(number, key)
    assert 7 <= value < 7 + size and how.value(number, key) == value


def test_chance_reaches_everything_evenly() -> None:
    how = varying("UDP.dport", ctype(UDP, "dport"), Random(range(16)))
    assert how is not None
    seen = [0] * 16
    for number in range(16_000):
        seen[how.value(number, key_of(5, 3))] += 1
    assert min(seen) > 850 and max(seen) < 1150  # 1000 each, five deviations of 31
    whole = varying("UDP.dport", ctype(UDP, "dport"), Random())
    assert whole is not None and whole.largest == 65535 and key_of(1, 0) != key_of(1, 1) != key_of(2, 1)


MISTAKES = {
    "Ethernet() / IPv5()": "no header has this name: IPv5", "Ether()": "no header has this name",
    "Ethernet() / IPv4(src='1.2.3.4')": "IPv4 has no field 'src'", "Ethernet() / IPv4(ttl=256)": "256",
    "Ethernet() / IPv4(ttl=range(250, 257))": "IPv4.ttl cannot be 256",
    "Ethernet() / IPv4(ttl=[1, -1])": "cannot be -1", "Ethernet() / IPv4(source='10.0.0')": "not an IPv4 address",
    "Ethernet() / IPv4(source='10.0.0.1/8')": "has bits behind its prefix",
    "Ethernet() / IPv4(source='10.0.0.0/33')": "is not a prefix",
    "Ethernet() / IPv4(source='10.0.0.9-10.0.0.1')": "ends before it begins",
    "Ethernet() / UDP(dport=range(5, 5))": "the range is empty", "Ethernet() / UDP(dport=[])": "a list of 0 values",
    "Ethernet() / IPv4(ttl=random(3))": "random() takes", "Ethernet() / UDP(dport=hold(0, range(3)))": "hold() takes",
    "Ethernet() / UDP(dport=range('a'))": "cannot be interpreted", "Ethernet() / UDP(dport=range(1, 2, 3, 4))": "range",
    "Ethernet() / UDP(53)": "takes its fields by name", "Ethernet() / IPv4() / b'x' / UDP()": "cannot follow payload",
    "b'abc'": "begins with a header", "Ethernet() / 5": "made of headers and bytes", "Ethernet() +": "cannot be read",
    "__import__('os')": "no header has this name", "Ethernet() / (b'x' * 70000)": "only bytes are repeated",
    "Ethernet() / b'x' * 7": "takes all that is left of it",
    "Ethernet() / UDP(dport=(lambda: 1)())": "no such thing", "Ethernet(**{})": "one by one", "": "cannot be read",
    "Ethernet() / TCP(options=[MaximumSegment(size=range(9))])": "MaximumSegment.size cannot vary",
    "Ethernet() / " * 5000 + "IPv4()": "an expression of", "Packet()": "no header has this name",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_clear_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_expression(text)
    assert MISTAKES[text] in caught.value.what and "\n" not in caught.value.what


def test_names_are_suggested() -> None:
    with pytest.raises(UsageError) as caught:
        parse_expression("Ethernet() / ipv6()")
    assert caught.value.cure == "Did you mean IPv6?"


@given(st.text(max_size=60))
def test_no_text_does_more_than_an_error(text: str) -> None:
    try:
        parse_expression(text)
        parse_value(text)
    except BpfwrightError:
        pass


def test_fields_are_changed_from_outside() -> None:
    found = with_fields(parse_expression("Ethernet() / IPv4(source='10.0.0.0/8') / UDP()"),
                        {"source": "1.2.3.4", "dport": parse_value("range(5, 9)"), "destination": "9.9.9.9"})
    assert [(field.header, field.name) for field in found.fields] == [(2, "dport")]
    four, udp = found.packet.find(IPv4), found.packet.find(UDP)
    assert four is not None and udp is not None and (str(four.source), str(four.destination)) == ("1.2.3.4", "9.9.9.9")
    assert udp.dport == 5
    with pytest.raises(UsageError, match="no header of the frame has a field 'dport'"):
        with_fields(parse_expression("Ethernet() / IPv4()"), {"dport": 1})


def test_hardware_addresses_are_filled_in_where_none_is_given() -> None:
    made = addressed("Ethernet(source='02:00:00:00:00:09') / IPv4()", "02:00:00:00:00:01", "02:00:00:00:00:02")
    ethernet = made.packet.find(Ethernet)
    assert ethernet is not None
    assert (str(ethernet.source), str(ethernet.destination)) == ("02:00:00:00:00:09", "02:00:00:00:00:02")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_they_say(name: str) -> None:
    found = parse_expression(PRESETS[name].text)
    assert found.fields and Packet.parse(bytes(found.packet)) == found.packet


def test_held_and_random_of_no_range() -> None:
    assert varying("UDP.dport", ctype(UDP, "dport"), Held(3, 7)) is None
    with pytest.raises(UsageError, match="cannot be 69999"):
        varying("UDP.dport", ctype(UDP, "dport"), Random(range(70_000)))
