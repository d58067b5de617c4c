"""What an object asks of a kernel, and the userspace machine does not have."""
from __future__ import annotations

import pytest

from bpfwright import Userspace
from bpfwright.errors import Fault, NotSupported
from bpfwright.formats.isa import Instruction, encode
from bpfwright.spec.objects import Extern, Function, ObjectSpec, ProgramSpec, Relocation

MOV64K, EXIT, CALL, LDIMM64, JEQ = 0xB7, 0x95, 0x85, 0x18, 0x15


def asks(kind: str, name: str, weak: bool, *instructions: Instruction, at: int = 0) -> ObjectSpec:
    main = Function("main", encode(instructions), (Relocation(at, "kfunc" if kind == "kfunc" else "extern", name),))
    return ObjectSpec((ProgramSpec("main", "main", "xdp", 6),), (main,), (), (Extern(name, kind, 0, weak),))


ADDRESS = (Instruction(LDIMM64, dst=0), Instruction(EXIT))
CALLS = (Instruction(CALL, src=2, imm=-1), Instruction(MOV64K, imm=2), Instruction(EXIT))


@pytest.mark.parametrize("kind", ["ksym", "kconfig"])
def test_a_symbol_that_must_be_there_is_refused_and_a_weak_one_is_zero(kind: str) -> None:
    with Userspace() as machine:
        with pytest.raises(NotSupported, match="symbol 'bpf_prog_active'"):
            machine.load(asks(kind, "bpf_prog_active", False, *ADDRESS))
        with machine.load(asks(kind, "bpf_prog_active", True, *ADDRESS)) as loaded:
            assert loaded.programs["main"].test_run(bytes(64)).value == 0


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_a_weak_function_that_is_not_there_faults_only_where_it_is_called(engine: str) -> None:
    with Userspace(engine=engine) as machine:
        with pytest.raises(NotSupported, match="kernel function bpf_nonesuch"):
            machine.load(asks("kfunc", "bpf_nonesuch", False, *CALLS))
        with machine.load(asks("kfunc", "bpf_nonesuch", True, *CALLS)) as loaded, pytest.raises(Fault) as raised:
            loaded.programs["main"].test_run(bytes(64))
        assert raised.value.kind == "call" and raised.value.instruction == 0
        around = (Instruction(MOV64K, dst=0, imm=1), Instruction(JEQ, dst=0, imm=1, offset=1), *CALLS[:1],
                  Instruction(EXIT))
        with machine.load(asks("kfunc", "bpf_nonesuch", True, *around, at=2)) as loaded:
            assert loaded.programs["main"].test_run(bytes(64)).value == 1


def test_a_flavour_of_a_kernel_function_is_that_function() -> None:
    names = ("bpf_rcu_read_lock___old", "bpf_rcu_read_unlock___old")
    calls = tuple(Relocation(index, "kfunc", name) for index, name in enumerate(names))
    main = Function("main", encode((CALLS[0], *CALLS)), calls)
    spec = ObjectSpec((ProgramSpec("main", "main", "xdp", 6),), (main,), (),
                      tuple(Extern(name, "kfunc", 0, True) for name in names))
    with Userspace() as machine, machine.load(spec) as loaded:
        assert loaded.programs["main"].test_run(bytes(64)).value == 2
