"""Prefix tables against the plain meaning of "longest prefix", on both machines, written whole and changed in place."""
from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bpfwright import Userspace, load, u64
from bpfwright.datapath.prefixes import Content, PrefixTable
from bpfwright.errors import MapFull, UsageError
from bpfwright.hooks import xdp
from bpfwright.maps import Array
from bpfwright.types import Struct

ROWS = 512
MACHINES = [pytest.param(Userspace, marks=pytest.mark.userspace, id="userspace"),
            pytest.param(lambda: None, marks=pytest.mark.kernel, id="kernel")]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Row(Struct):
    high: u64
    low: u64
    found: u64


class Asker:
    """A table in a session, with a program that looks up as many addresses as there are rows."""

    def __init__(self, table: PrefixTable, machine: Any) -> None:
        self.rows = rows = Array[Row](max_entries=ROWS)
        find = table.find

        @xdp.program
        def ask(ctx: xdp.Context) -> xdp.Action:
            for number in range(ROWS):
                row = rows.get(number)
                if row is not None:
                    row.found = find(row.high, row.low)
            return xdp.PASS

        self.session = load(ask, machine=machine)
        self.content = Content(table, self.session.__getitem__)

    def ask(self, addresses: list[int]) -> list[int]:
        asked = addresses + [0] * (-len(addresses) % ROWS)
        found: list[int] = []
        for begin in range(0, len(asked), ROWS):
            for place, address in enumerate(asked[begin:begin + ROWS]):
                self.session[self.rows][place] = Row(address >> 64, address & (1 << 64) - 1, 0)
            self.session.test(bytes(64))
            found += [row.found for row in self.session[self.rows]]
        return found[:len(addresses)]


@contextmanager
def asking(table: PrefixTable, machine: Any) -> Iterator[Asker]:
    asker = Asker(table, machine())
    try:
        yield asker
    finally:
        asker.content.close()
        asker.session.close()


def number_of(address: Any) -> int:
    return int(address) | (0xFFFF << 32 if address.version == 4 else 0)


class Model:
    """The same with dicts and no thought of speed."""

    def __init__(self) -> None:
        self.held: dict[Network, int] = {}

    def find(self, address: int) -> int:
        four = address >> 32 == 0xFFFF
        width = 32 if four else 128
        kind: Any = ipaddress.IPv4Network if four else ipaddress.IPv6Network
        value = address & 0xFFFFFFFF if four else address
        for length in range(width, -1, -1):
            found = self.held.get(kind((value >> width - length << width - length, length)))
            if found:
                return found
        return 0

    def places(self, draw: random.Random) -> list[int]:
        """Addresses at the edges of all prefixes and at random."""
        found = [draw.getrandbits(128) for _ in range(8)] + [0xFFFF << 32 | draw.getrandbits(32) for _ in range(8)]
        for network in self.held:
            first, last = number_of(network[0]), number_of(network[-1])
            found += [first, last, draw.randint(first, last)]
            found += [each for each in (first - 1, last + 1) if 0 <= each < 1 << 128
                      and (network.version == 6 or each >> 32 == 0xFFFF)]
        return found


def drawn(draw: random.Random, crowd: int) -> Network:
    """A prefix: most are near one another, so that they lie in one another and cells are crowded."""
    if draw.random() < 0.5:
        base = 0x0A000000 + draw.getrandbits(crowd) if draw.random() < 0.8 else draw.getrandbits(32)
        return ipaddress.IPv4Network((base, draw.choice((0, 1, 4, 7, 8, 9, 12, 16, 20, 24, 28, 30, 31, 32, 32))),
                                     strict=False)
    base = 0x2A00 << 112 | draw.getrandbits(crowd) << draw.choice((0, 32, 60, 64, 70, 80, 90))
    if draw.random() < 0.2:
        base = draw.getrandbits(128)
    return ipaddress.IPv6Network((base, draw.choice((0, 1, 2, 3, 7, 10, 16, 29, 32, 44, 48, 56, 63, 64, 65, 80, 127,
                                                     128, 128))), strict=False)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("crowd", [6, 16, 24])
def test_every_address_has_its_longest_prefix(machine: Any, crowd: int) -> None:
    draw = random.Random(crowd)
    model = Model()
    while len(model.held) < 400:
        model.held[drawn(draw, crowd)] = draw.randint(1, 100)
    with asking(PrefixTable(four=500, six=500, highest=100), machine) as asker:
        asker.content.write_networks({str(network): answer for network, answer in model.held.items()})
        places = model.places(draw)
        assert asker.ask(places) == [model.find(each) for each in places]
        assert asker.content.networks() == {str(network): answer for network, answer in model.held.items()}
        assert len(asker.content) == 400


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("crowd", [5, 20])
def test_changes_in_place_are_those_of_a_dict(machine: Any, crowd: int) -> None:
    draw = random.Random(crowd)
    model = Model()
    with asking(PrefixTable(four=300, six=300, highest=9), machine) as asker:
        first = {drawn(draw, crowd): draw.randint(1, 9) for _ in range(100)}
        model.held |= first
        asker.content.write_networks({str(network): answer for network, answer in first.items()})
        for turn in range(30):
            for _ in range(10):
                if model.held and draw.random() < 0.5:
                    gone = draw.choice(sorted(model.held, key=str))
                    del model.held[gone]
                    assert asker.content.remove(str(gone))
                else:
                    network, answer = drawn(draw, crowd), draw.randint(1, 9)
                    model.held[network] = answer
                    asker.content.put(str(network), answer)
            if turn % 7 == 6:
                asker.content.tidy()
            places = model.places(draw)
            assert asker.ask(places) == [model.find(each) for each in places], turn
        assert asker.content.networks() == {str(network): answer for network, answer in model.held.items()}
        for network in list(model.held):
            assert asker.content.get(str(network)) == model.held[network]
            asker.content.remove(str(network))
        assert set(asker.ask(places)) == {0} and len(asker.content) == 0
        assert not asker.content.remove("10.0.0.0/8")


@pytest.mark.userspace
def test_lines_come_back_however_often_a_cell_changes() -> None:
    with asking(PrefixTable(four=256, six=256), Userspace) as asker:
        for turn in range(12):
            for place in range(60):
                asker.content.put(f"10.0.{turn % 2}.{place}")
                asker.content.put(f"2a00::{turn % 2}:{place:x}")
            assert asker.ask([0xFFFF << 32 | 0x0A000000 | (turn % 2) << 8 | 7]) == [1]
            for place in range(60):
                asker.content.remove(f"10.0.{turn % 2}.{place}")
                asker.content.remove(f"2a00::{turn % 2}:{place:x}")
        assert len(asker.content) == 0


@pytest.mark.userspace
def test_mistakes() -> None:
    with pytest.raises(UsageError, match="room for one"):
        PrefixTable()
    with pytest.raises(UsageError, match="no largest answer"):
        PrefixTable(four=1, highest=1 << 20)
    with asking(PrefixTable(four=2), Userspace) as asker:
        with pytest.raises(UsageError, match="no room for IPv6"):
            asker.content.put("2001:db8::/32")
        with pytest.raises(UsageError, match="is no network"):
            asker.content.put("10.0.0.1/8")
        with pytest.raises(UsageError, match="outside"):
            asker.content.put("10.0.0.0/8", 2)
        asker.content.put("10.0.0.0/8")
        asker.content.put("10.1.0.0/16")
        with pytest.raises(MapFull):
            asker.content.put("10.2.0.0/16")
        asker.content.put("10.1.0.0/16")
        assert asker.ask([0xFFFF << 32 | 0x0A020000, 5]) == [1, 0]
        with pytest.raises(MapFull):
            asker.content.write_networks({f"10.0.{n}.0/24": 1 for n in range(3)})
