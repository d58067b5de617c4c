"""Elements that come and go while their tables are live: the same rules as if the file had said so from the start."""
from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bpfwright.datapath.book import Book
from bpfwright.datapath.prefixes import content
from bpfwright.datapath.prefixes.content import Half
from bpfwright.errors import SessionError, UsageError
from bpfwright.facets.firewall import editing
from bpfwright.facets.firewall.facet import FACET
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6

from .guard import Guard

NETWORKS = """
  default: deny
  keep: nothing
  shadowed: allow
  sets:
    one: {{room: 64, elements: [{one}]}}
    two: {{room: 64, elements: [{two}]}}
    fixed: {{kind: ports, elements: [80]}}
    doors: {{kind: endpoints, room: 8, elements: [{doors}]}}
  rules:
    - {{name: both, match: {{source: "@one", destination: "@two"}}, action: drop}}
    - {{name: not-two, match: {{source: "@one", protocol: udp}}, not: {{source: "@two"}}, action: drop}}
    - {{name: two, match: {{source: "@two"}}, action: allow}}
    - {{name: doors, match: {{destination-endpoint: "@doors"}}, action: allow}}
    - {{name: ports, match: {{destination-port: "@fixed"}}, action: allow}}
"""
POOL = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.1.2.128/25", "192.0.2.7/32", "0.0.0.0/1",
        "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::7/128", "2001:db8:1::/64", "10.1.2.4/30", "128.0.0.0/2"]
ASKED = ["10.1.2.3", "10.1.2.4", "10.1.2.200", "10.1.3.1", "10.9.9.9", "192.0.2.7", "1.1.1.1", "130.0.0.1", "200.0.0.1"]
ASKED_SIX = ["2001:db8:1::7", "2001:db8:1::8", "2001:db8:1:1::1", "2001:db8:2::1", "2001:dead::1"]


def text(one: list[str], two: list[str], doors: list[str]) -> str:
    return NETWORKS.format(one=", ".join(f'"{each}"' for each in one), two=", ".join(f'"{each}"' for each in two),
                           doors=", ".join(f'"{each}"' for each in doors))


def frames() -> list[Any]:
    found: list[Any] = []
    for addresses, ip in ((ASKED, IPv4), (ASKED_SIX, IPv6)):
        for source in addresses:
            for other in addresses[:3]:
                found += [Ethernet() / ip(source=source, destination=other) / UDP(dport=7),
                          Ethernet() / ip(source=source, destination=other) / TCP(dport=443)]
    return found


def rules(guard: Guard) -> list[str]:
    return [guard.rule(frame) for frame in frames()]


def test_any_edits_are_as_if_it_had_been_so_from_the_start(machine: Any) -> None:
    chance = random.Random(11)
    sets: dict[str, set[str]] = {"one": {"10.0.0.0/8", "2001:db8::/32"}, "two": {"10.1.2.0/24"}}
    with Guard(text(sorted(sets["one"]), sorted(sets["two"]), []), machine) as guard:
        for turn in range(10):
            name = chance.choice(["one", "two"])
            came = set(chance.sample(POOL, chance.randrange(4)))
            went = set(chance.sample(sorted(sets[name]), min(len(sets[name]), chance.randrange(3)))) - came
            guard.edit(name, tuple(sorted(came)), tuple(sorted(went)))
            sets[name] = sets[name] - went | came
            assert {ipaddress.ip_network(each) for each in guard.elements(name)} == {
                ipaddress.ip_network(each) for each in sets[name]}
            if turn % 3 == 0:
                with Guard(text(sorted(sets["one"]), sorted(sets["two"]), []), machine) as fresh:
                    assert rules(guard) == rules(fresh), (turn, sets)
        with Guard(text(["10.0.0.0/8", "2001:db8::/32"], ["10.1.2.0/24"], []), machine, edits=guard.edits) as again:
            assert rules(guard) == rules(again)


def test_endpoints(machine: Any) -> None:
    frame = Ethernet() / IPv4(source="203.0.113.1", destination="192.0.2.1") / TCP(dport=22)
    six = Ethernet() / IPv6(source="2001:dead::1", destination="2001:db8::1") / TCP(dport=22)
    with Guard(text([], [], []).replace("elements: []", "elements: [\"203.0.113.0/30\"]", 2).replace(
            "doors: {kind: endpoints, room: 8, elements: []}",
            "doors: {kind: endpoints, room: 8, elements: [\"192.0.2.9:22\"]}"), machine) as guard:
        assert guard.rule(six) == "default in"
        guard.edit("doors", add=("[2001:db8::1]:22",))
        assert guard.rule(six) == "doors"
        guard.edit("doors", remove=("192.0.2.9:22", "[2001:db8::1]:22"))
        assert guard.rule(six) == "default in" and guard.rule(frame) == "two" and guard.elements("doors") == []


@pytest.mark.userspace
@pytest.mark.parametrize(("name", "add", "remove", "said"), [
    ("three", ("10.0.0.0/8",), (), "there is no set 'three'"),
    ("fixed", (), ("443",), "443 is no element of fixed"), ("fixed", (), ("79-80",), "79-80 is no element of fixed"),
    ("fixed", ("90-80",), (), "ends before it begins"),
    ("one", ("10.0.0.1/8",), (), "has bits behind its length"),
    ("one", ("nonsense",), (), "is no address or network"),
    ("one", (), ("10.1.2.3",), "10.1.2.3 is no element of one: 10.0.0.0/8 holds it"),
    ("one", (), ("192.0.2.1",), "192.0.2.1 is no element of one"),
    ("doors", ("192.0.2.1",), (), "is no address with a port"),
])
def test_what_cannot_be_changed(name: str, add: tuple[str, ...], remove: tuple[str, ...], said: str) -> None:
    from bpfwright.userspace import Userspace
    with Guard(text(["10.0.0.0/8"], ["10.1.2.0/24"], []), Userspace()) as guard:
        before = rules(guard)
        with pytest.raises(UsageError) as error:
            guard.edit(name, add, remove)
        assert said in str(error.value).replace("\n", ": ")
        assert rules(guard) == before and guard.edits == []


@pytest.mark.userspace
def test_a_table_that_is_full_stays_as_it_was() -> None:
    from bpfwright.userspace import Userspace
    with Guard("""
  sets:
    few: {elements: [10.0.0.1, 10.0.0.3, 10.0.0.5]}
  rules:
    - {name: few, match: {source: "@few"}, action: drop}
""", Userspace()) as guard:
        frame = [Ethernet() / IPv4(source=f"10.0.0.{last}") / UDP() for last in range(1, 16)]
        before = [guard.rule(each) for each in frame]
        with pytest.raises(SessionError, match="a prefix table is full"):
            guard.edit("few", add=("10.0.0.9", "10.0.0.11", "10.0.0.13"))
        assert "a prefix table is full" in guard.edits[-1]["failed"]
        assert [guard.rule(each) for each in frame] == before
        assert guard.elements("few") == ["10.0.0.1/32", "10.0.0.3/32", "10.0.0.5/32"]
        guard.edit("few", add=("10.0.0.15",), remove=("10.0.0.1",))  # the table is still known to be as noted
        assert guard.rule(frame[14]) == "few" and guard.rule(frame[0]) == "default in"


PORTS = """
  default: deny
  keep: nothing
  shadowed: allow
  sets:
    web: {{kind: ports, room: 16, elements: [{web}]}}
    more: {{kind: ports, room: 16, elements: [{more}]}}
  rules:
    - {{name: source, match: {{source-port: "@more", destination-port: ["@web", 40000-40003]}}, action: drop}}
    - {{name: not-web, match: {{protocol: tcp, destination-port: 1-300}}, not: {{destination-port: ["@web", 200]}},
        action: drop}}
    - {{name: web, match: {{destination-port: "@web"}}, action: allow}}
    - {{name: fixed, match: {{destination-port: 8085-8095}}, action: drop}}
"""


def of_ports(ports: dict[str, set[int]]) -> str:
    return PORTS.format(**{name: ", ".join(map(str, sorted(those))) for name, those in ports.items()})


def test_ports_are_as_if_they_had_been_so_from_the_start(machine: Any) -> None:
    chance = random.Random(5)
    first = {"web": {80, 443}, "more": {7, 65535}}
    ports = {name: set(those) for name, those in first.items()}
    frames = [Ethernet() / IPv4() / kind(sport=sport, dport=dport) for kind in (TCP, UDP) for sport in (7, 8, 65535)
              for dport in (0, 1, 9, 31, 32, 63, 71, 79, 80, 81, 200, 443, 8080, 8085, 8090, 8096, 40001, 65535)]
    with Guard(of_ports(ports), machine) as guard:
        for turn in range(12):
            name = chance.choice(["web", "more"])
            low = chance.choice([0, 7, 30, 60, 79, 80, 8080, 8088, 65530])
            span = range(low, min(low + chance.choice([1, 2, 8, 40]), 65536))
            if chance.random() < 0.6:
                guard.edit(name, add=(f"{span[0]}-{span[-1]}",))
                ports[name] |= set(span)
            else:
                gone = tuple(str(each) for each in sorted(ports[name]) if chance.random() < 0.3)
                if len(gone) < len(ports[name]):
                    guard.edit(name, remove=gone)
                    ports[name] -= set(map(int, gone))
            shown = set()
            for text_ in guard.elements(name):
                ends = text_.split("-")
                shown |= set(range(int(ends[0]), int(ends[-1]) + 1))
            assert shown == ports[name]
            if turn % 4 == 3:
                with Guard(of_ports(ports), machine) as fresh:
                    assert [guard.rule(each) for each in frames] == [fresh.rule(each) for each in frames], (turn, ports)
        with Guard(of_ports(first), machine, edits=guard.edits) as again:
            assert [guard.rule(each) for each in frames] == [again.rule(each) for each in frames]


class Killed(BaseException):
    """As if the process had ended here."""


@contextmanager
def dying_after(stores: int) -> Iterator[None]:
    """The process dies before one of its stores into tables: heads of cells, answers, rows, hashes, lines of ports."""
    left = stores

    def counted(function: Any) -> Any:
        def run(*words: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return function(*words, **more)

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Half, "_publish", counted(Half._publish))
        patch.setattr(Half, "_leave", counted(Half._leave))
        patch.setattr(Half, "_relabel", counted(Half._relabel))
        for name in ("placed", "put_endpoint", "put_ports", "write_rows"):
            patch.setattr(editing, name, counted(getattr(editing, name)))
        patch.setattr(Book, "_write", counted(Book._write))
        patch.setattr(Book, "_forget", counted(Book._forget))
        yield


CHANGES = [("one", ("10.1.2.3", "10.1.2.4/30", "0.0.0.0/1", "2001:db8:1::/48", "192.0.2.7"), ("10.0.0.0/8",)),
           ("two", ("10.1.2.128/25", "2001:db8:1::7"), ("10.1.2.0/24",)),
           ("doors", ("[2001:db8::1]:22", "192.0.2.2:443"), ("192.0.2.9:22",)),
           ("fixed", ("100-200", "443"), ("80",))]


@pytest.mark.parametrize(("name", "add", "remove", "tidying"), [
    (*CHANGES[0], False), (*CHANGES[0], True), *((*each, False) for each in CHANGES[1:])])
def test_a_change_that_was_cut_short_is_completed(machine: Any, name: str, add: tuple[str, ...],
                                                  remove: tuple[str, ...], tidying: bool) -> None:
    """Whichever store was the last: afterwards all is as it was, or as if nothing had happened to the process."""
    start = text(["10.0.0.0/8", "2001:db8::/32"], ["10.1.2.0/24"], ["192.0.2.9:22"])
    with pytest.MonkeyPatch.context() as patch, Guard(start, machine) as whole:
        patch.setattr(content, "_TIDY", 1 if tidying else 4096)
        unchanged = [rules(whole), whole.elements(name)]
        whole.edit(name, add, remove)
        wanted = [rules(whole), whole.elements(name)]
        stores, done = 0, False
        while not done:
            with Guard(start, machine) as guard:
                try:
                    with dying_after(stores):
                        guard.edit(name, add, remove)
                    done = True
                except Killed:
                    begun = guard.book.announced() is not None
                    FACET.edit(guard.book, guard.maps, None)
                    assert guard.book.announced() is None
                    found = [rules(guard), guard.elements(name)]
                    assert found == wanted if begun else found in (unchanged, wanted), stores
                    guard.edit("one", add=("203.0.113.9",))  # and it goes on from there
                    assert "203.0.113.9/32" in guard.elements("one")
            stores += 2 if stores < 8 else 5
        assert stores > 6
