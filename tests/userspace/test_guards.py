"""Programs that no verifier saw: whatever they pass to helpers, they end in a fault, and nothing else is touched."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfwright import Userspace
from bpfwright.errors import Fault, NotSupported
from bpfwright.helpers.bodies import BODIES
from bpfwright.maps.stores import HELPERS
from bpfwright.spec.objects import MapSpec
from bpfwright.userspace.calls import PYTHON, STORE_CALLS
from bpfwright.userspace.guards import guards_of
from tests.conformance.assembler import assemble
from tests.conformance.edges import slot
from tests.userspace.machines import TC, XDP, program, run
from tests.userspace.test_helpers import FOUR, call, words

pytestmark = pytest.mark.userspace
MAPS = (MapSpec("table", 1, 4, 8, 4), MapSpec("ring", 27, 0, 0, 4096), MapSpec("list", 22, 0, 8, 4))
EVERY = sorted({*BODIES, *HELPERS, *PYTHON, *STORE_CALLS} - {164, 181})
POINTERS = ("m", "k", "v", "V", "r", "w", "W", "rec", "dyn", "dyn0")
WILD = st.sampled_from([0, 1, 0x10, 0x1000, 0x2000, 0x12345, 1 << 20, 1 << 21, (1 << 30) - 1, 1 << 30, 1 << 31, 1 << 40,
                        1 << 47, (1 << 64) - 1, (1 << 63) + 5])


@pytest.fixture(params=["interpreter", "jit"])
def machine(request: pytest.FixtureRequest) -> Any:
    with Userspace(engine=request.param, memory_bytes=1 << 21, checks="always") as found:
        yield found


BAD = {
    "no map": "lddw %r1, 0x12340\nmov %r2, %r10\nadd %r2, -56\ncall 1",
    "a map far away": "lddw %r1, 0x7fffffffffff\nmov %r2, %r10\nadd %r2, -56\ncall 1",
    "a made-up map": words(1, 4, 8, 4) + "\nmov %r1, %r10\nadd %r1, -56\nmov %r2, %r10\nadd %r2, -16\ncall 1",
    "a key that is nowhere": "MAP %r1, table\nlddw %r2, 0x99999999\ncall 1",
    "a key half outside": "MAP %r1, table\nmov %r2, %r10\nadd %r2, -2\ncall 1",
    "a value that is nowhere": "MAP %r1, table\nmov %r2, %r10\nadd %r2, -8\nmov %r3, 8\nmov %r4, 0\ncall 2",
    "pop into nothing": "MAP %r1, list\nlddw %r2, 0x300000\ncall 88",
    "probe into nothing": call(113, 8, 0, first="lddw %r1, 0x40000000"),
    "probe into the machine's page": call(113, 8, 0, first="mov %r1, 0x1000"),
    "a record of nothing": call(132, 0, first="mov %r1, %r10\nadd %r1, -48"),
    "a record given back twice": "MAP %r1, ring\nmov %r2, 16\nmov %r3, 0\ncall 131\nmov %r7, %r0\nmov %r1, %r7\n"
                                 "mov %r2, 0\ncall 132\nmov %r1, %r7\nmov %r2, 0\ncall 132",
    "a context of one's own": "mov %r1, %r10\nadd %r1, -64\nmov %r2, -4\ncall 44",
    "bytes of a packet into nothing": call(189, 0, 0x40000000, 8),
    "a dynptr of one's own": words(0x40000000 | 1 << 32, 16) + "\n" + call(
        201, 8, "fp-56", 0, 0, first="mov %r1, %r10\nadd %r1, -32"),
    "output of nothing": "MAP %r1, ring\nlddw %r2, 0x40000000\nmov %r3, 16\nmov %r4, 0\ncall 130",
    "output of too much": "MAP %r1, ring\nmov %r2, %r10\nadd %r2, -16\nmov %r3, 64\nmov %r4, 0\ncall 130",
    "more of a name than there is memory": call(16, 1 << 40, first="mov %r1, 0"),
    "a name of more than 32 bits": call(16, (1 << 40) + 8, first="mov %r1, %r10\nadd %r1, -16"),
    "a sum of nothing": call(28, 64, 0, 0, 0, first="mov %r1, 0"),
    "a sum of nothing, and much of it": call(28, 0, 0, 0x40000000, 0, first="mov %r1, 0"),
    "text of nothing": call(6, 8, 0, first="lddw %r1, 0x40000000"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_faults(machine: Any, name: str) -> None:
    with pytest.raises(Fault):
        run(machine, program(XDP, BAD[name], value="2", maps=MAPS), FOUR, b"")


@pytest.mark.parametrize("wild", [0, 0x1000, 1 << 40, (1 << 64) - 1], ids=hex)
def test_a_load_of_a_packet_that_is_none(machine: Any, wild: int) -> None:
    """Classic BPF's loads take the context from r6."""
    code = assemble(f"lddw %r6, {wild}") + slot(0x20) + assemble("exit")
    with pytest.raises(Fault):
        machine.load_code(code).call(0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.sampled_from(EVERY), values=st.lists(WILD, min_size=5, max_size=5), kind=st.sampled_from((XDP, TC)))
def test_wild_arguments_break_nothing(machine: Any, number: int, values: list[int], kind: int) -> None:
    body = "\n".join(f"lddw %r{i}, {value}" for i, value in enumerate(values, 1)) + f"\ncall {number}"
    try:
        run(machine, program(kind, body, value="1", maps=MAPS), FOUR, b"")
    except (Fault, NotSupported):
        pass
    good = run(machine, program(kind, call(8, first=""), value="1", maps=MAPS), FOUR, b"")
    assert good.data == FOUR and good.out == bytes(64)


@pytest.mark.parametrize("wild", [(1 << 64) - 1, 1 << 47, 1 << 31, 1 << 21], ids=hex)
@pytest.mark.parametrize("kind", [XDP, TC])
def test_no_helper_follows_a_wild_address(kind: int, wild: int) -> None:
    """Each of them with it in all five registers. The interpreter: it raises where native code would read on."""
    body = "\n".join(f"lddw %r{register}, {wild}" for register in range(1, 6))
    with Userspace(engine="interpreter", memory_bytes=1 << 21, checks="always") as machine:
        for number in EVERY:
            try:
                run(machine, program(kind, f"{body}\ncall {number}", value="1", maps=MAPS), FOUR, b"")
            except (Fault, NotSupported):
                pass


def test_every_pointer_of_a_helper_is_guarded() -> None:
    from bpfwright.userspace.verifier.helpers import PROTOTYPES
    for number in EVERY:
        row = PROTOTYPES[number]
        pointers = [a for a in row.arguments if a.rstrip("?") in POINTERS]
        assert len(guards_of(number)) >= len(pointers), (number, row.name)
