"""Loops over maps are callbacks of the kernel's: what they assign is there after them, as in Python."""
from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from bpfwright import L, Struct, char, load, u32, u64
from bpfwright.errors import CompileError
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash
from bpfwright.session import Session

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


@xdp.program
def perhaps(ctx: xdp.Context) -> xdp.Action:
    made: Row | None = None
    lost: Row | None = Row(50, "lost")
    grown: Row | None = Row(10, "grown")
    shown: Row | None = None
    for _, row in rows.items():
        if row.number > 4 and (made is None or row.number > made.number):
            made = Row(row.number, row.text)
        if row.number == 9:
            lost = None
        if grown is not None:
            grown.number += row.number
            if grown.number > 30:
                grown = Row(1, "over")
        if shown is None or row.number > shown.number:
            shown = row
    if made is not None:
        made.number += 100
        best[1] = made
    if lost is not None:
        best[2] = lost
    if grown is not None:
        best[3] = grown
    if shown is not None:
        best[4] = shown
        shown.number += 1000
    return xdp.PASS


@xdp.program
def nested(ctx: xdp.Context) -> xdp.Action:
    found = None
    for _host, count in hosts.items():
        for _, row in rows.items():
            if row.number == count:
                found = Row(row.number * 2, row.text)
                break
        if found is not None:
            break
    if found is None:
        found = Row(0, "nothing")
    best[1] = found
    return xdp.PASS


def records(session: Session) -> dict[int, tuple[int, str]]:
    return {key: (row.number, str(row.text)) for key, row in session[best].items()}


def test_a_record_or_none_outlives_the_walk() -> None:
    with load(perhaps) as session:
        session.test(PACKET)
        assert records(session) == {2: (50, "lost"), 3: (10, "grown")}
        session[rows].update({3: Row(3, "three"), 5: Row(5, "five"), 7: Row(7, "seven")})
        session.test(PACKET)
        assert records(session) == {1: (107, "seven"), 2: (50, "lost"), 3: (25, "grown"), 4: (7, "seven")}
        assert session[rows][7].number == 1007
    with load(perhaps) as session:
        session[rows].update({9: Row(9, "nine"), 30: Row(30, "thirty")})
        session.test(PACKET)
        found = records(session)
        assert found[1] == (130, "thirty") and 2 not in found
        assert found[3] in ((10, "over"), (1, "over"))


@pytest.mark.parametrize(("counts", "wanted"), [((1, 7, 2), (14, "seven")), ((1, 2), (0, "nothing")),
                                                ((), (0, "nothing"))])
def test_a_record_or_none_outlives_two_walks(counts: tuple[int, ...], wanted: tuple[int, str]) -> None:
    with load(nested) as session:
        session[rows].update({3: Row(5, "five"), 4: Row(7, "seven")})
        session[hosts].update({IPv4.Address(f"10.0.0.{n + 1}"): count for n, count in enumerate(counts)})
        session.test(PACKET)
        assert records(session) == {1: wanted}


def first_of(number: int) -> Row | None:
    for _, row in rows.items():
        if row.number == number:
            return Row(row.number, row.text)
    return None


@xdp.program
def returned(ctx: xdp.Context) -> xdp.Action:
    row = first_of(7)
    if row is not None:
        best[1] = row
    return xdp.PASS


@xdp.program
def headers(ctx: xdp.Context) -> xdp.Action:
    last = None
    for key, row in rows.items():
        ip = ctx.find(IPv4)
        if ip is not None and row.number > 5:
            last = ip
            best[key] = Row(ip.ttl, row.text)
    if last is not None:
        best[100] = Row(last.protocol, "last")
    return xdp.PASS


def test_a_record_is_returned_out_of_the_walk() -> None:
    with load(returned) as session:
        session[rows].update({3: Row(5, "five")})
        session.test(PACKET)
        assert records(session) == {}
        session[rows][4] = Row(7, "seven")
        session.test(PACKET)
        assert records(session) == {1: (7, "seven")}


def test_headers_are_found_in_the_walk_and_known_behind_it() -> None:
    with load(headers) as session:
        session[rows].update({3: Row(5, "five"), 4: Row(7, "seven")})
        session.test(PACKET)
        assert records(session) == {4: (64, "seven"), 100: (17, "last")}


@xdp.program
def asking(ctx: xdp.Context) -> xdp.Action:
    for host in hosts:
        hosts[host] = ctx.length
    return xdp.PASS


def test_the_context_is_reached_in_the_walk() -> None:
    with load(asking) as session:
        session[hosts][IPv4.Address("192.0.2.1")] = 1
        session.test(PACKET)
        assert list(session[hosts].values()) == [len(PACKET)]


@xdp.program
def either(ctx: xdp.Context) -> xdp.Action:
    kept: Row | None = None
    for _, row in rows.items():
        kept = row if row.number > 5 else Row(0, "small")
    if kept is not None:
        best[1] = kept
    return xdp.PASS


@xdp.program
def paired(ctx: xdp.Context) -> xdp.Action:
    pair = (u32(0), Row(0, "none"))
    for key, row in rows.items():
        pair = (key, Row(row.number, "some"))
    best[pair[0]] = pair[1]
    return xdp.PASS


@pytest.mark.parametrize(("program", "says"), [(either, "may be a map's or the program's own"), (paired, "is a tuple")])
def test_what_does_not_come_out_is_refused(program: Any, says: str) -> None:
    with pytest.raises(CompileError, match=says) as caught, load(program):
        pass
    assert "for " in caught.value.source and caught.value.cure
