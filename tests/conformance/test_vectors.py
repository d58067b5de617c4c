"""The public conformance vectors, in process, by both engines."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from bpfwright import Userspace
from tests.conformance.vectors import Vector, vectors

ALL = vectors()


@pytest.fixture(scope="module", params=["interpreter", "jit"])
def machine(request: pytest.FixtureRequest) -> Iterator[Userspace]:
    with Userspace(engine=request.param, memory_bytes=1 << 20) as made:
        yield made


def test_they_are_all_there() -> None:
    assert len(ALL) == 313


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
def test_vector(machine: Userspace, vector: Vector) -> None:
    assert vector.run(machine) == vector.result
