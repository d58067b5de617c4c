"""Checked native code: what its looks at memory have to get right."""
from __future__ import annotations

import pytest

from bpfwright import Userspace
from bpfwright.errors import Fault
from tests.conformance.assembler import assemble

pytestmark = pytest.mark.userspace


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_a_group_whose_first_access_needs_no_look(engine: str) -> None:
    """The frame's own bytes are not looked at; the one beside them, in the same straight run, is."""
    code = assemble("stdw [%r10-8], 1\nldxdw %r0, [%r10+0]\nldxdw %r0, [%r10-8]\nexit")
    with Userspace(engine=engine, memory_bytes=1 << 20, checks="always") as machine:
        program = machine.load_code(code)
        with pytest.raises(Fault) as fault:
            program.call()
    assert fault.value.kind == "read" and fault.value.instruction == 1


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_a_write_to_the_frames_address_faults_where_it_is_run(engine: str) -> None:
    """And nowhere else: Linux takes a program with one that no path comes by."""
    code = assemble("mov %r0, 5\njeq %r1, 1, over\nmov %r10, 1\nadd %r0, 1\nover: exit")
    with Userspace(engine=engine, memory_bytes=1 << 20) as machine:
        program = machine.load_code(code)
        assert program.call(1) == 5
        with pytest.raises(Fault) as fault:
            program.call(2)
    assert fault.value.kind == "instruction" and fault.value.instruction == 2
