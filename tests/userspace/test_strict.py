"""Strict runs: every pointer within its own object, nothing held at the end, in both engines where both look."""
from __future__ import annotations

import pytest

from bpfwright import Userspace
from bpfwright._abi import bpf as B
from bpfwright.errors import Fault, UsageError
from bpfwright.formats.isa.instructions import Instruction, encode
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec, Relocation

I = Instruction
PACKET = bytes(64)
MAPS = (MapSpec("array", B.BPF_MAP_TYPE_ARRAY, 4, 16, 8), MapSpec("ring", B.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096))
LOOKUP = (I(0x62, 10, 0, -4, 3), I(0xBF, 2, 10), I(0x07, 2, 0, 0, -4), I(0x18, 1), I(0x85, imm=1),
          I(0x15, 0, 0, 2, 0))
DONE = (I(0xB7, 0, imm=2), I(0x95))


def program(*body: Instruction, map_at: int = -1, name: str = "array") -> ObjectSpec:
    relocations = (Relocation(map_at, "map", name),) if map_at >= 0 else ()
    return ObjectSpec((ProgramSpec("main", "main", "xdp", B.BPF_PROG_TYPE_XDP),),
                      (Function("main", encode(body), relocations),), MAPS)


def outcome(spec: ObjectSpec, checks: str = "strict", engine: str = "interpreter") -> tuple[str, int, str]:
    """The fault's kind, place and reason; the value without one."""
    with Userspace(engine=engine, checks=checks, memory_bytes=1 << 22) as machine, machine.load(spec) as loaded:
        try:
            return "", loaded.programs["main"].test_run(PACKET).value, ""
        except Fault as fault:
            return fault.kind, fault.instruction, fault.why


def beyond(offset: int) -> ObjectSpec:
    return program(*LOOKUP, I(0x79, 1, 0, offset), I(0x05), *DONE, map_at=3)


def test_the_next_value_of_an_array_is_another_object() -> None:
    assert outcome(beyond(8)) == ("", 2, "")
    kind, _, why = outcome(beyond(16))
    assert kind == "read" and "8 bytes at offset 16 of the map value, which has 16" in why
    assert outcome(beyond(16), "always") == ("", 2, "")  # memory of the program's own, all the same


def test_a_register_that_nothing_set() -> None:
    assert outcome(program(I(0xBF, 3, 7), *DONE)) == ("unset", 0, "nothing was stored in r7 on this way")


def test_a_packet_that_may_have_moved() -> None:
    adjust = (I(0xBF, 6, 1), I(0x61, 7, 6), I(0xB7, 2, imm=4), I(0x85, imm=44), I(0x71, 3, 7), *DONE)
    kind, place, why = outcome(program(*adjust))
    assert (kind, place) == ("read", 4) and "may have moved" in why
    again = (I(0xBF, 6, 1), I(0xB7, 2, imm=4), I(0x85, imm=44), I(0x61, 7, 6), I(0x71, 3, 7), *DONE)
    assert outcome(program(*again)) == ("", 2, "")


RESERVE = (I(0x18, 1), I(0xB7, 2, imm=16), I(0xB7, 3), I(0x85, imm=131), I(0x15, 0, 0, 3, 0))
GIVE_BACK = (I(0xBF, 1, 0), I(0xB7, 2), I(0x85, imm=132))


@pytest.mark.parametrize(("engine", "checks"), [("interpreter", "strict"), ("interpreter", "always"),
                                                ("jit", "always")])
def test_a_record_that_is_kept(engine: str, checks: str) -> None:
    kept = program(*RESERVE, I(0x05), I(0x05), I(0x05), *DONE, map_at=0, name="ring")
    kind, place, why = outcome(kept, checks, engine)
    assert kind == "held" and why.startswith("a record of a ring is still held")
    assert place == 10  # its only exit
    assert outcome(program(*RESERVE, *GIVE_BACK, *DONE, map_at=0, name="ring"), checks, engine) == ("", 2, "")


def test_a_record_that_was_given_back() -> None:
    used = program(*RESERVE[:-1], I(0x15, 0, 0, 5, 0), I(0xBF, 6, 0), *GIVE_BACK, I(0x79, 1, 6), *DONE, map_at=0,
                   name="ring")
    kind, _, why = outcome(used)
    assert kind == "read" and why == "the record was given back before"


def test_only_the_interpreter_is_strict() -> None:
    with pytest.raises(UsageError):
        Userspace(checks="strict")
