"""Small programs as instructions, for tests of the kernel machine that need no compiler."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright.formats.isa import Instruction, encode
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec, Relocation

MOV64K, EXIT, CALL, LDX32, LDIMM64, ADD64X, MOV64X, ST32, ATOMIC64 = (0xB7, 0x95, 0x85, 0x61, 0x18, 0x0F, 0xBF, 0x62,
                                                                      0xDB)
JEQ64K, ADD64K = 0x15, 0x07
COUNTERS = MapSpec("counters", B.BPF_MAP_TYPE_ARRAY, 4, 8, 1)


def constant(value: int, kind: int, attach_type: int = 0, *, section: str = "test", attach_to: str = "",
             name: str = "main") -> ObjectSpec:
    """A program that returns a number."""
    main = Function(name, encode((Instruction(MOV64K, imm=value), Instruction(EXIT))))
    return ObjectSpec((ProgramSpec(name, name, section, kind, attach_type, attach_to),), (main,), ())


def counting(value: int, kind: int, attach_type: int = 0, *, section: str = "test", attach_to: str = "") -> ObjectSpec:
    """A program that adds one to `counters` and returns a number."""
    code = encode((
        Instruction(ST32, dst=10, offset=-4, imm=0), Instruction(MOV64X, dst=2, src=10),
        Instruction(ADD64K, dst=2, imm=-4), Instruction(LDIMM64, dst=1), Instruction(CALL, imm=1),
        Instruction(JEQ64K, dst=0, imm=0, offset=2), Instruction(MOV64K, dst=1, imm=1),
        Instruction(ATOMIC64, dst=0, src=1), Instruction(MOV64K, imm=value), Instruction(EXIT)))
    main = Function("main", code, (Relocation(3, "map", "counters"),))
    return ObjectSpec((ProgramSpec("main", "main", section, kind, attach_type, attach_to),), (main,), (COUNTERS,))
