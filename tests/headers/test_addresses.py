"""Addresses as text: strict in, canonical out, as the standard library sees them."""
from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import UsageError
from bpfwright.headers import IPv4, IPv6, MacAddress
from bpfwright.types.address import Network
from bpfwright.types.ctype import AddressType, ctype_of


@given(st.binary(min_size=16, max_size=16) | st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\xff\xff"]), min_size=8,
                                                       max_size=8).map(b"".join))
def test_ipv6_reads_and_prints_as_the_c_library_does(packed: bytes) -> None:
    address = IPv6.Address.from_bytes(packed)
    text = str(address)
    assert IPv6.Address(text) == address and socket.inet_pton(socket.AF_INET6, text) == packed
    if packed[:12] != bytes(12):  # the C library writes the deprecated ::1.2.3.4, RFC 5952 does not ask for it
        assert text == socket.inet_ntop(socket.AF_INET6, packed)
    assert IPv6.Address(ipaddress.IPv6Address(packed).exploded) == address


@given(st.text("0123456789abcdefF:.", max_size=24))
def test_ipv6_accepts_what_the_c_library_accepts(text: str) -> None:
    try:
        expected: bytes | None = socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        expected = None
    try:
        got: bytes | None = IPv6.Address.parse(text)
    except UsageError:
        got = None
    assert got == expected


@given(st.text("0123456789.", max_size=16) | st.ip_addresses(v=4).map(str))
def test_ipv4_accepts_what_the_c_library_accepts(text: str) -> None:
    try:
        expected: bytes | None = socket.inet_pton(socket.AF_INET, text)
    except OSError:
        expected = None
    try:
        got: bytes | None = IPv4.Address.parse(text)
    except UsageError:
        got = None
    assert got == expected


@pytest.mark.parametrize("text", ["", "1", ":", ":::", "1::2::3", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::",
                                  "g::", "::1%eth0", "::1.2.3", "1.2.3.4::", " ::1", "::1 "])
def test_not_ipv6(text: str) -> None:
    with pytest.raises(UsageError):
        IPv6.Address(text)


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "-1.2.3.4", "1..2.3",
                                  "٣.1.1.1", "1.2.3.1000", "+1.2.3.4", "9" * 5000 + ".1.1.1"])
def test_not_ipv4(text: str) -> None:
    with pytest.raises(UsageError):
        IPv4.Address(text)


def test_mac() -> None:
    address = MacAddress("02:00:00:0A:ff:01")
    assert str(address) == "02:00:00:0a:ff:01" and address == "02-00-00-0a-ff-01" and len(bytes(address)) == 6
    for text in ("", "02:00:00:00:00", "2:0:0:0:0:1", "02:00:00:00:00:0g", "02:00-00:00:00:01", "020000000001"):
        with pytest.raises(UsageError):
            MacAddress(text)


def test_addresses_are_c_types_and_networks_hold_them() -> None:
    assert isinstance(ctype_of(IPv4.Address), AddressType) and ctype_of(IPv6.Address).size == 16
    network = Network.parse(IPv4.Address, "192.0.2.77/24")
    assert str(network) == "192.0.2.0/24" and IPv4.Address("192.0.2.9") in network
    assert IPv4.Address("192.0.3.9") not in network
    assert IPv4.Address("10.0.0.1") < IPv4.Address("10.0.0.2") and int(IPv4.Address("0.0.1.0")) == 256
