"""Our own vectors, one or more for every row of RFC 9669, in both engines and in the running kernel."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bpfwright import Kernel, Userspace
from bpfwright.errors import BpfwrightError, VerifierError
from bpfwright.formats.isa import ATOMICS, OPCODES, Instruction
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec, Relocation
from tests.conformance.by_hand import PACKET, VECTORS, ByHand, spec_of
from tests.conformance.edges import EdgeVector, edge_vectors, refused_by_linux, slot
from tests.conformance.rfc9669 import ADDITIONS, ANY, ROWS, Row, row_of
from tests.conformance.vectors import vectors

EDGES = tuple(edge_vectors())
ACCESSES = tuple(vector for vector in EDGES if vector.row.opcode & 7 in (1, 2, 3))
FOR_LINUX = tuple(edge_vectors(for_kernel=True))
ENGINES = ("interpreter", "jit")
MEMORY = 1 << 22


@pytest.fixture(scope="module", params=ENGINES)
def machine(request: pytest.FixtureRequest) -> Iterator[Userspace]:
    with Userspace(engine=request.param, memory_bytes=MEMORY) as made:
        yield made


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel() as made:
        yield made


def left_by(machine: Userspace, vector: EdgeVector, *, checked: bool) -> bytes:
    """What the program makes of the vector's memory."""
    program = machine.load_code(vector.insns)
    program.verified = not checked
    address = machine.arena.allocate(len(vector.before))
    try:
        machine.arena.memory[address:address + len(vector.before)] = vector.before
        assert program.call(address) == 0
        return bytes(machine.arena.memory[address:address + len(vector.before)])
    finally:
        machine.arena.release(address)
        program.close()


def difference(vector: EdgeVector, got: bytes) -> str:
    """The first word that differs; empty when none does."""
    at = next((at for at in range(0, len(got), 8) if got[at:at + 8] != vector.after[at:at + 8]), -1)
    return "" if at < 0 else f"{vector.row}: word at {at}: {got[at:at + 8].hex()}, not {vector.after[at:at + 8].hex()}"


@pytest.mark.parametrize("vector", EDGES, ids=lambda vector: vector.row.name)
def test_edges(machine: Userspace, vector: EdgeVector) -> None:
    assert not difference(vector, left_by(machine, vector, checked=False))


@pytest.mark.parametrize("vector", ACCESSES, ids=lambda vector: vector.row.name)
def test_edges_with_checked_accesses(machine: Userspace, vector: EdgeVector) -> None:
    assert not difference(vector, left_by(machine, vector, checked=True))


def by_hand(machine: Any, vector: ByHand) -> int | None:
    """r0, or None for what was refused or faulted."""
    try:
        with machine.load(spec_of(vector)) as loaded:
            return int(loaded.programs["main"].test_run(PACKET).value)
    except BpfwrightError:
        return None


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_by_hand(machine: Userspace, vector: ByHand) -> None:
    assert by_hand(machine, vector) == vector.result


@pytest.mark.kernel
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_by_hand_in_the_kernel(kernel: Kernel, vector: ByHand) -> None:
    assert by_hand(kernel, vector) == (vector.result if vector.linux else None)


@pytest.mark.kernel
@pytest.mark.parametrize("vector", FOR_LINUX, ids=lambda vector: vector.row.name)
def test_edges_in_the_kernel(kernel: Kernel, vector: EdgeVector) -> None:
    with kernel.load(from_map(slot(0x18, 1) + slot(0) + vector.insns, vector.before)) as loaded:
        assert loaded.programs["main"].test_run(PACKET).value == 0
        got = loaded.maps["cells"].lookup(bytes(4))
    assert got is not None and not difference(vector, got)


def from_map(insns: bytes, contents: bytes) -> ObjectSpec:
    """A program whose first instruction loads the address of a map's values."""
    main = Function("main", insns, (Relocation(0, "data", "cells"),))
    cells = MapSpec("cells", 2, 4, len(contents), 1, contents=contents)
    return ObjectSpec((ProgramSpec("main", "main", "tc", 3),), (main,), (cells,))


@pytest.mark.kernel
def test_linux_refuses_these_immediates(kernel: Kernel) -> None:
    """The forms that the kernel's vectors leave out, and why."""
    seen = set()
    for row in ROWS:
        for imm in (0, -1, 32, 64):
            if row.meaning and refused_by_linux(row, imm):
                insns = slot(0xB7) + slot(row.opcode, 0, 0, max(row.offset, 0), imm) + slot(0x95)
                with pytest.raises(VerifierError) as refused, kernel.load(from_map(slot(0x18, 1) + slot(0) + insns,
                                                                                   bytes(8))):
                    pass
                seen.add(refused.value.reason.split()[0])
    assert seen == {"invalid", "div"}


# the tables

def covered() -> set[Row]:
    """Rows that some vector runs."""
    found = {vector.row for vector in EDGES if vector.cases}
    for vector in VECTORS:
        for opcode, src in vector.rows:
            found |= {row for row in ROWS if row.opcode == opcode and row.src == src}
    return found


def test_every_row_of_the_rfc_has_vectors() -> None:
    assert covered() == set(ROWS)
    assert len(ROWS) == 171
    assert sum(vector.cases for vector in EDGES) > 100_000


def instructions() -> Iterator[Instruction]:
    """One of every kind in bpfwright's table, with what hides in other fields."""
    for code, row in OPCODES.items():
        offsets, sources, numbers = [0], [0], [0]
        if row.op in ("div", "mod"):
            offsets = [0, 1]
        elif row.op == "mov" and row.operand == "x":
            offsets = [0, 8, 16, 32] if row.width == 64 else [0, 8, 16]
        elif row.op == "atomic":
            numbers = list(ATOMICS) if row.width >= 32 else [0x100, 0x110]
        elif row.op in ("to_le", "to_be", "bswap"):
            numbers = [16, 32, 64]
        elif row.op == "call":
            sources = [0, 1, 2]
        elif row.op == "ldimm64":
            sources = list(range(7))
        yield from (Instruction(code, 0, src, offset, imm)
                    for src in sources for offset in offsets for imm in numbers)


def added(one: Instruction) -> bool:
    return any((one.opcode, one.imm) == (opcode, imm) and offset in (ANY, one.offset)
               for places in ADDITIONS.values() for opcode, offset, imm in places)


def test_our_table_is_the_rfcs_and_linuxs_additions() -> None:
    assert not [one for one in instructions() if not added(one) and row_of(one.opcode, *one[2:5]) is None]
    reached = {row_of(one.opcode, *one[2:5]) for one in instructions()}
    # The second half of a wide load is no instruction of its own.
    assert set(ROWS) - reached == {row for row in ROWS if row.opcode == 0}
    assert {one.opcode for one in instructions() if added(one)} == {
        opcode for places in ADDITIONS.values() for opcode, _, _ in places}


def test_additions_have_vectors() -> None:
    names = " ".join(vector.name for vector in VECTORS)
    assert all(name in names for name in ADDITIONS)


def test_the_oracle_is_not_our_semantics() -> None:
    import tests.conformance.edges
    import tests.conformance.oracle
    import tests.conformance.rfc9669
    for module in (tests.conformance.oracle, tests.conformance.rfc9669, tests.conformance.edges):
        assert not [name for name, value in vars(module).items()
                    if str(getattr(value, "__module__", "")).startswith("bpfwright")]


@pytest.mark.userspace
def test_once_compiled_all_of_them_take_less_than_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Own and public vectors by both engines, in this process. LLVM takes another ten seconds where nothing is in the
    cache yet, which is not what is timed."""
    _time_of_all("jit")
    spent = {engine: _time_of_all(engine) for engine in ENGINES}
    with capsys.disabled():
        print(" " + ", ".join(f"{engine} {seconds:.1f} s" for engine, seconds in spent.items()), end=" ")
    assert sum(spent.values()) < 10


def _time_of_all(engine: str) -> float:
    began = time.perf_counter()
    with Userspace(engine=engine, memory_bytes=MEMORY) as machine:
        for edge in EDGES:
            assert not difference(edge, left_by(machine, edge, checked=False))
        for hand in VECTORS:
            assert by_hand(machine, hand) == hand.result
        for public in vectors():
            assert public.run(machine) == public.result
    return time.perf_counter() - began
