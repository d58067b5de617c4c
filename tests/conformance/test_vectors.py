"""The public conformance vectors, in process, by both engines."""
from __future__ import annotations

import pytest

from bpfwright import Userspace
from bpfwright.errors import BpfwrightError
from tests.conformance.vectors import Vector, vectors

ALL = vectors()


def outcome(vector: Vector, engine: str) -> int | None:
    """r0, or None when the program failed."""
    with Userspace(engine=engine, memory_bytes=1 << 20) as machine:
        try:
            program = machine.load_code(vector.insns, helpers={5: lambda *words: words[0]})
            address = machine.arena.allocate(max(len(vector.memory), 1))
            machine.arena.memory[address:address + len(vector.memory)] = vector.memory
            return program.call(address, len(vector.memory))
        except BpfwrightError:
            return None


def test_they_are_all_there() -> None:
    assert len(ALL) == 313


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
def test_vector(vector: Vector, engine: str) -> None:
    assert outcome(vector, engine) == vector.result
