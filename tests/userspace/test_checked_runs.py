"""Checked native code: what its looks at memory have to get right."""
from __future__ import annotations

import pytest

from bpfwright import Kernel, Userspace
from bpfwright.errors import Fault
from bpfwright.formats.btf import Btf
from bpfwright.userspace.verifier import verify
from tests.conformance.assembler import assemble
from tests.conformance.by_hand import ByHand, spec_of
from tests.conformance.edges import slot

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


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
@pytest.mark.parametrize("odd", [slot(0xBC, 0, 1, 32), slot(0xBF, 0, 1, 7), slot(0x37, 0, 0, 2, 3),
                                 slot(0xDB, 10, 1, -8, 0x33)],
                         ids=["w0 = (s32)w1", "r0 = (s7)r1", "a third division", "an atomic of nothing"])
def test_a_field_that_names_no_operation_faults_where_it_is_run(engine: str, odd: bytes) -> None:
    code = assemble("mov %r0, 5\njeq %r1, 1, 1\n") + odd + assemble("exit")
    with Userspace(engine=engine, memory_bytes=1 << 20) as machine:
        program = machine.load_code(code)
        assert program.call(1) == 5
        with pytest.raises(Fault) as fault:
            program.call(2)
    assert fault.value.kind == "instruction" and fault.value.instruction == 2


@pytest.mark.kernel
def test_an_iterator_beyond_the_frame_is_no_reason_to_trust() -> None:
    """Linux takes r10 + 0 for an iterator at r10 - 8, and its destruction then writes beyond the frame."""
    vector = ByHand("beyond", (), "mov %r1, %r10\nadd %r1, -8\nmov %r2, 0\nmov %r3, 1\nKFUNC bpf_iter_num_new\n"
                    "mov %r1, %r10\nKFUNC bpf_iter_num_destroy\nmov %r0, 0\nexit", 0)
    types = Btf.open("/sys/kernel/btf/vmlinux")
    assert verify(spec_of(vector), "main", kernel_btf=types).accepted       # as Linux does
    with Userspace(engine="jit", memory_bytes=1 << 20) as machine, machine.load(spec_of(vector)) as loaded:
        with pytest.raises(Fault, match="not its own"):
            loaded.programs["main"].test_run(bytes(64))
    with Kernel() as kernel, kernel.load(spec_of(vector)) as there:
        assert there.programs["main"].fd >= 0
