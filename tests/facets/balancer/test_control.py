"""What stays when a configuration changes: connections, numbers, places of rings; and what goes at once."""
from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from tests.facets.balancer.loaded import Balancer, balancing, packed

from bpfwright.datapath.facet import Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.errors import UsageError
from bpfwright.facets.balancer import control
from bpfwright.facets.balancer.facet import made
from bpfwright.facets.balancer.ring import SIZE, Endpoint, ring
from bpfwright.facets.balancer.hashes import address_hash
from bpfwright.facets.balancer.standing import PROBED, key_of
from bpfwright.headers import TCP, Ethernet, IPv4, IPv6
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel
from bpfwright.userspace import Userspace

pytestmark = pytest.mark.kernel

VIPS = ("198.51.100.80", "2001:db8::80")


def text(backends: str, *, hash: str = "maglev", more: str = "") -> str:
    vips = "\n".join(f"- {{address: '{vip}', port: 443, backends: [{backends}]}}" for vip in VIPS)
    return f"hash: {hash}\ngateway: 02:00:00:00:00:fe\nconnections: 64k\n{more}\nvips:\n{vips}\n"


def frame(number: int, **flags: int) -> bytes:
    flags = flags or {"ack": 1}
    segment = TCP(sport=1024 + number, dport=443)
    for name, value in flags.items():
        setattr(segment, name, value)
    ethernet = Ethernet(destination="02:00:00:00:00:01")
    if number % 2:
        return bytes(ethernet / IPv6(source=f"2001:db8:1::{number:x}", destination=VIPS[1]) / segment)
    return bytes(ethernet / IPv4(source=f"192.0.2.{number % 250}", destination=VIPS[0]) / segment)


def backend_of(balancer: Balancer, number: int, **flags: int) -> str:
    action, data = balancer.send(frame(number, **flags))
    assert action == xdp.TX
    return ".".join(map(str, data[30:34]))


def ring_in(balancer: Balancer, number: int) -> Any:
    with control.words_of(balancer.maps(balancer.tables.ring)) as places:
        return np.array(places[number * SIZE:(number + 1) * SIZE])


@pytest.mark.parametrize("machine", [Kernel, Userspace])
def test_rings_are_katrans_and_only_changed_places_are_written(machine: Any) -> None:
    three = "10.20.30.40, 10.20.30.41, 10.20.30.42"
    with balancing(text(three, hash="katran"), machine()) as balancer:
        first = ring_in(balancer, 0)
        assert first[:16].tolist() == [2, 2, 3, 3, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1]
        assert np.bincount(first).tolist() == [0, 21846, 21845, 21846]
        assert balancer.refill(text(three, hash="katran")).written == 0
        without = balancer.refill(text("10.20.30.40, 10.20.30.42", hash="katran"))
        second = ring_in(balancer, 0)
        assert without.written == 2 * int((first != second).sum()) < 2 * SIZE // 2
        assert without.reals == {packed("10.20.30.40"): 1, packed("10.20.30.42"): 3}


def test_numbers_stay_and_what_is_free_comes_back_last() -> None:
    with balancing(text("10.0.0.1, 10.0.0.2, 10.0.0.3"), Kernel()) as balancer:
        assert balancer.refill(text("10.0.0.3, 10.0.0.4")).reals == {packed("10.0.0.3"): 3, packed("10.0.0.4"): 4}
        assert balancer.refill(text("10.0.0.3, 10.0.0.1")).reals == {packed("10.0.0.3"): 3, packed("10.0.0.1"): 5}
    given = control.numbers_of({"b": 2}, {1: 9, 3: 4}, ["b", "x", "y"], 1, 4)
    assert given == {"b": 2, "x": 3, "y": 1}  # 3 was free for longer
    with pytest.raises(UsageError):
        control.numbers_of({}, {}, ["a", "b"], 1, 2)


def test_a_weight_of_nothing_drains() -> None:
    with balancing(text("10.0.0.1, 10.0.0.2"), Kernel()) as balancer:
        before = {number: backend_of(balancer, number, syn=1) for number in range(0, 60, 2)}
        balancer.refill(text("{backend: 10.0.0.1, weight: 0}, 10.0.0.2"))
        assert {number: backend_of(balancer, number) for number in before} == before  # connections go on
        assert {backend_of(balancer, number, syn=1) for number in range(100, 160, 2)} == {"10.0.0.2"}
        balancer.refill(text("10.0.0.2"))  # gone: its connections are hashed anew
        assert {backend_of(balancer, number) for number in before} == {"10.0.0.2"}


def test_a_backend_that_is_down_has_no_place_in_rings_until_it_is_up() -> None:
    both = text("10.0.0.1, 10.0.0.2", more="check: tcp")
    with balancing(both, Kernel()) as balancer:
        def noted(name: str, down: bool) -> int:
            vips, reals = control.numbers_in(balancer.settings, balancer.tables, balancer.maps)
            table, written = balancer.maps(balancer.tables.down), 0
            for vip in vips.values():
                key = key_of(vip, reals[packed(name)]) | PROBED
                written += (key in table) != down
                if down:
                    table[key] = 1
                else:
                    table.discard(key)
            control.refreshed(balancer.settings, balancer.tables, balancer.maps)
            return written

        before = ring_in(balancer, 0)
        assert noted("10.0.0.1", True) == 2 and noted("10.0.0.1", True) == 0
        assert {backend_of(balancer, number, syn=1) for number in range(0, 60, 2)} == {"10.0.0.2"}
        assert any("down" in str(row["state"]) for row in balancer.part.rows(balancer.maps))  # type: ignore[misc]
        assert noted("10.0.0.2", True) == 2  # none is up: better all than none
        assert set(ring_in(balancer, 0).tolist()) == {1, 2}
        assert noted("10.0.0.1", False) == noted("10.0.0.2", False) == 2
        assert (ring_in(balancer, 0) == before).all()


def test_changes_under_traffic_move_no_connection_that_need_not_move() -> None:
    with balancing(text("10.0.0.1, 10.0.0.2, 10.0.0.3"), Kernel()) as balancer:
        flows = range(0, 400, 2)
        home = {number: backend_of(balancer, number, syn=1) for number in flows}
        moved: list[tuple[int, str]] = []
        rounds, over = [0], threading.Event()

        def traffic() -> None:
            while not over.is_set():
                for number in flows:
                    found = backend_of(balancer, number)
                    if found != home[number]:
                        moved.append((number, found))
                rounds[0] += 1
                time.sleep(0.005)

        thread = threading.Thread(target=traffic)
        thread.start()
        changes = ["10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4", "10.0.0.1, {backend: 10.0.0.2, weight: 5}, 10.0.0.3",
                   "10.0.0.1, 10.0.0.2, {backend: 10.0.0.3, weight: 0}, 10.0.0.5", "10.0.0.3, 10.0.0.2, 10.0.0.1",
                   "10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.6, 10.0.0.7"]
        written = 0
        try:
            ends = time.monotonic() + 40  # the two threads share one lock of Python's, and may be slow together
            for number in range(10_000):
                if rounds[0] > 3 and (number >= 300 or (number >= 20 and time.monotonic() > ends)):
                    break
                written += balancer.refill(text(changes[number % len(changes)])).written
        finally:
            over.set()
            thread.join()
        assert moved == [] and rounds[0] > 3 and written > 300


def test_connections_and_numbers_go_on_in_the_next_generation() -> None:
    machine = Kernel()
    with balancing(text("10.0.0.1, 10.0.0.2"), machine) as balancer:
        home = {number: backend_of(balancer, number, syn=1) for number in range(0, 60, 2)}
        kept = {name: balancer.maps(table).handle for name, table in balancer.part.kept.items()
                if control.used(balancer.maps, table) is not None}
        from tests.facets.balancer.loaded import settings_of
        settings = settings_of(text("10.0.0.9, 10.0.0.1, 10.0.0.2, 10.0.0.8"))
        tables, part = made(settings, Scene({"eth0": None}, machine))
        maps = {part.kept[name]: handle for name, handle in kept.items()}
        with Generation.load(plan_of({"balancer": part}), machine, maps=maps) as generation:
            generation.fill()
            after = Balancer(settings, tables, part, generation)
            assert {number: backend_of(after, number) for number in home} == home
            assert control.numbers_in(settings, tables, generation.maps)[1] == {
                packed("10.0.0.1"): 1, packed("10.0.0.2"): 2, packed("10.0.0.9"): 3, packed("10.0.0.8"): 4}
        # The first one was not touched: it could be gone back to.
        assert {number: backend_of(balancer, number) for number in home} == home
        assert set(ring_in(balancer, 0).tolist()) == {1, 2}


def test_weights_share_out_and_a_backend_that_leaves_takes_only_its_own() -> None:
    backends = [f"10.1.{number // 250}.{number % 250 + 1}" for number in range(200)]
    with balancing(text(", ".join(backends)), Kernel()) as balancer:
        before = ring_in(balancer, 0)
        balancer.refill(text(", ".join(backends[1:])))
        after = ring_in(balancer, 0)
        theirs = int((before == 1).sum())
        assert int((before != after).sum()) <= theirs + SIZE // 100
        assert not (after == 1).any()
    made_of = ring([Endpoint(1, address_hash(packed("10.0.0.1")), 1), Endpoint(2, address_hash(packed("10.0.0.2")), 3)])
    assert abs(int((made_of == 2).sum()) / SIZE - 0.75) < 0.01
