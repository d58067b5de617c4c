"""Loops over maps are callbacks of the kernel's: what they assign is there after them, as in Python."""
from __future__ import annotations

from ipaddress import ip_address

import pytest

from bpfwright import L, Struct, char, load, u32, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

pytestmark = pytest.mark.kernel
PACKET = bytes(12) + b"\x08\x00" + bytes.fromhex("450000140000000040110000c0000201c0000202") + bytes(40)


class Row(Struct):
    number: u32
    text: char[L[20]]


rows = Hash[u32, Row](max_entries=16)
hosts = Hash[IPv4.Address, u64](max_entries=16)
best = Hash[u32, Row](max_entries=16)
top = Hash[IPv4.Address, u64](max_entries=16)


@xdp.program
def largest(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.DROP
    longest = "none"
    found = None
    most = u32(0)
    kept = Row(0, "nobody")
    for _, row in rows.items():
        if row.number > most:
            most = row.number
            longest = row.text
            found = row.text
            kept = Row(row.number + 1, row.text)
    address, packets = ip.source, u64(0)
    for host, count in hosts.items():
        if count > packets:
            address, packets = host, count
    top[address] = packets
    best[1] = kept
    best[2] = Row(most, longest)
    if found is not None:
        best[3] = Row(most, found)
    return xdp.PASS


@xdp.program
def last(ctx: xdp.Context) -> xdp.Action:
    record = Row(0, "first")
    other = Row(0, "other")
    for key, row in rows.items():
        record = Row(key, "again")
        record.number += row.number
        if row.number == 7:
            best[key] = other
        else:
            best[key] = record
        if row.number == 5:
            break
    best[100] = record
    return xdp.PASS


@pytest.mark.parametrize("filled", [False, True])
def test_records_texts_and_addresses_outlive_the_walk(filled: bool) -> None:
    with load(largest) as session:
        if filled:
            session[rows].update({5: Row(5, "five"), 9: Row(9, "nine"), 7: Row(7, "seven")})
            session[hosts].update({IPv4.Address(f"10.0.0.{n}"): count for n, count in ((1, 3), (2, 8), (3, 1))})
        assert session.test(PACKET).action == xdp.PASS
        found = {key: (row.number, str(row.text)) for key, row in session[best].items()}
        busiest = {ip_address(str(key)): count for key, count in session[top].items()}
    if filled:
        assert found == {1: (10, "nine"), 2: (9, "nine"), 3: (9, "nine")}
        assert busiest == {ip_address("10.0.0.2"): 8}
    else:
        assert found == {1: (0, "nobody"), 2: (0, "none")}
        assert busiest == {ip_address("192.0.2.1"): 0}


def test_a_record_made_anew_in_every_round() -> None:
    with load(last) as session:
        session[rows].update({3: Row(5, "five")})
        session.test(PACKET)
        assert {key: (row.number, str(row.text)) for key, row in session[best].items()} == {
            3: (8, "again"), 100: (8, "again")}
        session[rows].clear()
        session[rows].update({4: Row(7, "seven"), 6: Row(1, "one")})
        session.test(PACKET)
        found = {key: (row.number, str(row.text)) for key, row in session[best].items()}
    assert found[4] == (0, "other")
    assert found[6] == (7, "again")
    assert found[100] in ((11, "again"), (7, "again"))
