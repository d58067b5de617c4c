"""Hashes and rings against published vectors, and rings against the plain way to fill them."""
from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import UsageError
from bpfwright.facets.balancer.hashes import address_hash, flow_hash, jhash, murmur3_two
from bpfwright.facets.balancer.ring import SIZE, SIZES, Endpoint, moved, ring

REALS = {"10.20.30.40": (0x1B94F244807FC95C, 17885, 58093), "10.20.30.41": (0xE56589A18E49E60B, 31702, 60641),
         "10.20.30.42": (0x8511F63C62CE7727, 8624, 7778), "2001:db8::10": (0xA1172F28219621E3, 55777, 19514)}


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def ports(source: int, destination: int) -> int:
    return int.from_bytes(source.to_bytes(2, "big") + destination.to_bytes(2, "big"), "little")


@pytest.mark.parametrize("address", REALS)
def test_the_hash_of_a_backend_and_its_walk(address: str) -> None:
    found = address_hash(packed(address))
    assert found == REALS[address][0]
    walk = murmur3_two(found, 42, 0) % SIZE, murmur3_two(found, 2718281828, 2307) % (SIZE - 1) + 1
    assert walk == REALS[address][1:]


def test_an_ipv4_address_written_as_ipv6_is_the_same_backend() -> None:
    assert address_hash(packed("::ffff:10.20.30.40")) == address_hash(packed("10.20.30.40"))


@pytest.mark.parametrize(("source", "hashed", "place"), [("192.0.2.10", 0x833E99B9, 5755),
                                                        ("2001:db8::5", 0x40F08DF9, 19721)])
def test_the_hash_of_a_flow(source: str, hashed: int, place: int) -> None:
    found = flow_hash(packed(source), ports(40000, 443))
    assert (found, found % SIZE) == (hashed, place)


def test_jhash_of_all_lengths_differs() -> None:
    assert len({jhash(bytes(length), 7) for length in range(40)}) == 40


def reals(*weights: int) -> list[Endpoint]:
    return [Endpoint(at + 1, address_hash(packed(f"10.20.30.{40 + at}")), weight) for at, weight in enumerate(weights)]


@pytest.mark.parametrize("weights", ["proportional", "first round"])
def test_three_equal_backends(weights: str) -> None:
    found = ring(reals(1, 1, 1), weights=weights)  # type: ignore[arg-type]
    assert found[:16].tolist() == [2, 2, 3, 3, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1]
    assert np.bincount(found).tolist() == [0, 21846, 21845, 21846]


def test_three_backends_by_weight() -> None:
    assert np.bincount(ring(reals(1, 2, 3))).tolist() == [0, 10923, 21845, 32769]


def turns(weights: list[int], way: str) -> Iterator[int]:
    """Whose turn it is, in order."""
    gathered = [0] * len(weights)
    if way == "first round":
        for at, weight in enumerate(weights):
            yield from [at] * weight
        weights = [1] * len(weights)
    while True:
        for at, weight in enumerate(weights):
            gathered[at] += weight
            if gathered[at] >= max(weights):
                gathered[at] -= max(weights)
                yield at


def plainly(endpoints: list[Endpoint], size: int, way: str) -> list[int]:
    """The definition: one place after the other."""
    chosen = sorted((each for each in endpoints if each.weight), key=lambda each: each.hash)
    if len(chosen) < 2:
        return [chosen[0].number if chosen else 0] * size
    places, steps, left = [0] * size, [0] * len(chosen), size
    for at in turns([each.weight for each in chosen], way):
        offset = murmur3_two(chosen[at].hash, 42, 0) % size
        skip = murmur3_two(chosen[at].hash, 2718281828, 2307) % (size - 1) + 1
        while places[place := (offset + steps[at] * skip & 0xFFFFFFFF) % size]:
            steps[at] += 1
        places[place] = chosen[at].number
        steps[at] += 1
        left -= 1
        if not left:
            return places
    raise AssertionError


@given(st.integers(0, 2 ** 32), st.integers(0, 110), st.sampled_from((11, 97, 251)),
       st.sampled_from((1, 2, 9, 300)), st.sampled_from(("proportional", "first round")))
def test_as_if_one_after_the_other(seed: int, count: int, size: int, most: int, way: str) -> None:
    random = Random(seed)
    endpoints = [Endpoint(at + 1, random.getrandbits(64), random.randint(0, most)) for at in range(count)]
    assert ring(endpoints, size=size, weights=way).tolist() == plainly(endpoints, size, way)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "count", "most", "way"), [
    (SIZE, 60, 3, "proportional"), (SIZE, 3, 40_000, "first round"), (SIZE, 70, 900, "first round"),
    (65521, 2, 1, "proportional")])
def test_large_rings_whose_sums_wrap(size: int, count: int, most: int, way: str) -> None:
    random = Random(count)
    endpoints = [Endpoint(at + 1, random.getrandbits(64), random.randint(1, most)) for at in range(count)]
    assert ring(endpoints, size=size, weights=way).tolist() == plainly(endpoints, size, way)  # type: ignore[arg-type]


def test_a_thousand_backends_share_evenly_and_little_moves() -> None:
    random = Random(1)
    endpoints = [Endpoint(at + 1, random.getrandbits(64)) for at in range(1000)]
    before, after = ring(endpoints), ring(endpoints[1:])
    shares = np.bincount(before)[1:]
    assert shares.max() / (SIZE / 1000) - 1 <= 0.01
    assert moved(before, after) - shares[0] <= 0.01 * SIZE
    assert 1 not in after


def test_the_order_of_endpoints_does_not_count() -> None:
    endpoints = reals(1, 2, 3)
    assert moved(ring(endpoints), ring(endpoints[::-1])) == 0


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: int) -> None:
    assert len(ring(reals(1, 1, 1), size=size)) == size


@pytest.mark.parametrize(("endpoints", "size", "says"), [
    (reals(1, 1), 65536, "cannot have 65536 places"), (reals(1, 1), 131071, "65537 at most"),
    (reals(1, -1), SIZE, "has the weight -1"),
    ([Endpoint(1, 5), Endpoint(1, 6)], SIZE, "the same number"),
    ([Endpoint(1, 5), Endpoint(2, 5)], SIZE, "the same hash")])
def test_what_is_no_ring(endpoints: list[Endpoint], size: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ring(endpoints, size=size)


def test_llvm_is_not_imported() -> None:
    script = ("import sys; from bpfwright.facets.balancer.ring import Endpoint, ring; "
              "ring([Endpoint(1, 5), Endpoint(2, 6)]); print('llvmlite' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          check=True).stdout == "False\n"
