"""Verdicts on small programs: what is accepted, and in which class what is refused falls. No kernel is asked."""
from __future__ import annotations

from typing import Any

import pytest

from bpfwright._abi import bpf as B
from bpfwright.formats.isa import Instruction, encode
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec, Relocation
from bpfwright.userspace.verifier import Profile, State, Verdict, verify
from bpfwright.userspace.verifier import reasons as R

I = Instruction
MAPS = (MapSpec("array", B.BPF_MAP_TYPE_ARRAY, 4, 16, 4), MapSpec("hash", B.BPF_MAP_TYPE_HASH, 4, 16, 4),
        MapSpec("ring", B.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096), MapSpec("data", B.BPF_MAP_TYPE_ARRAY, 4, 16, 1),
        MapSpec("constant", B.BPF_MAP_TYPE_ARRAY, 4, 4, 1, flags=B.BPF_F_RDONLY_PROG, contents=b"\5\0\0\0",
                frozen=True))
RETURN = (I(0xB7), I(0x95))


def program(*insns: Instruction, kind: int = B.BPF_PROG_TYPE_XDP, maps: dict[int, tuple[str, str]] | None = None,
            license_text: str = "GPL") -> ObjectSpec:
    """`maps` says by slot which loads are of maps (`map`) or their values (`data`)."""
    relocations = tuple(Relocation(index, how, name) for index, (how, name) in (maps or {}).items())
    return ObjectSpec((ProgramSpec("main", "main", "test", kind),), (Function("main", encode(insns), relocations),),
                      MAPS, license=license_text)


def judged(*insns: Instruction, kind: int = B.BPF_PROG_TYPE_XDP, maps: dict[int, tuple[str, str]] | None = None,
           **rules: Any) -> Verdict:
    return verify(program(*insns, kind=kind, maps=maps), "main", profile=Profile("linux_6_18", **rules))


LOOKUP = (I(0x62, 10, 0, -4, 1), I(0xBF, 2, 10), I(0x07, 2, imm=-4), I(0x18, 1), I(0x85, imm=1))
HASH = {3: ("map", "hash")}
RESERVE = (I(0x18, 1), I(0xB7, 2, imm=8), I(0xB7, 3), I(0x85, imm=131))
RING = {0: ("map", "ring")}
PACKET = (I(0x61, 2, 1, 0), I(0x61, 3, 1, 4), I(0xBF, 4, 2), I(0x07, 4, imm=14))

ACCEPTED: dict[str, tuple[tuple[Instruction, ...], dict[int, tuple[str, str]]]] = {
    "a number": (RETURN, {}),
    "a context field": ((I(0x61, 0, 1, 12), I(0x57, 0, imm=1), I(0x95)), {}),
    "a checked element": ((*LOOKUP, I(0x15, 0, 0, 1), I(0x79, 0, 0, 8), *RETURN), HASH),
    "a checked packet": ((*PACKET, I(0x2D, 4, 3, 1), I(0x71, 0, 2, 13), *RETURN), {}),
    "a packet checked the other way": ((*PACKET, I(0xBD, 4, 3, 1), I(0x05, 0, 0, 1), I(0x71, 0, 2, 13), *RETURN), {}),
    "a masked index": ((I(0x61, 2, 1, 12), I(0x57, 2, imm=15), I(0x18, 1), I(0x0F, 1, 2), I(0x71, 0, 1), *RETURN),
                       {2: ("data", "data")}),
    "a copy learns with its source": ((I(0x61, 2, 1, 12), I(0xBF, 3, 2), I(0x25, 3, 0, 4, 15), I(0x18, 1),
                                       I(0x0F, 1, 2), I(0x71, 0, 1), *RETURN), {3: ("data", "data")}),
    "a spilled number learns too": ((I(0x61, 2, 1, 12), I(0x7B, 10, 2, -8), I(0x25, 2, 0, 5, 15), I(0x79, 3, 10, -8),
                                     I(0x18, 1), I(0x0F, 1, 3), I(0x71, 0, 1), *RETURN), {4: ("data", "data")}),
    "a record given back": ((*RESERVE, I(0x15, 0, 0, 4), I(0x7A, 0), I(0xBF, 1, 0), I(0xB7, 2), I(0x85, imm=132),
                             *RETURN), RING),
    "a bounded loop": ((I(0xB7, 1), I(0x07, 1, imm=1), I(0xA5, 1, 0, -2, 100), *RETURN), {}),
    "a constant map": ((I(0x18, 1), I(0x61, 2, 1), I(0x18, 3), I(0x0F, 3, 2), I(0x71, 0, 3, 10), *RETURN),
                       {0: ("data", "constant"), 3: ("data", "data")}),
    "an array element that is there": ((I(0x62, 10, 0, -8, 1), I(0xBF, 2, 10), I(0x07, 2, imm=-8), *LOOKUP[3:],
                                        I(0x79, 0, 0, 8), *RETURN), {3: ("map", "array")}),
    "an atomic": ((I(0x18, 1), I(0xB7, 2, imm=1), I(0xDB, 1, 2, 8), *RETURN), {0: ("data", "data")}),
    "stack memory never written": ((I(0x79, 0, 10, -8), *RETURN), {}),
}
REFUSED: dict[str, tuple[tuple[Instruction, ...], dict[int, tuple[str, str]], str]] = {
    "nothing in r0": ((I(0x95),), {}, R.UNINITIALISED),
    "a register never written": ((I(0xBF, 0, 5), I(0x95)), {}, R.UNINITIALISED),
    "an unchecked element": ((*LOOKUP, I(0x79, 0, 0, 8), *RETURN), HASH, R.NULL),
    "beyond an element": ((*LOOKUP, I(0x15, 0, 0, 1), I(0x79, 0, 0, 9), *RETURN), HASH, R.MAP_VALUE),
    "beyond the packet's check": ((*PACKET, I(0x2D, 4, 3, 1), I(0x71, 0, 2, 14), *RETURN), {}, R.PACKET),
    "an unchecked packet": ((I(0x61, 2, 1, 0), I(0x71, 0, 2), *RETURN), {}, R.PACKET),
    "an unbounded index": ((I(0x61, 2, 1, 12), I(0x18, 1), I(0x0F, 1, 2), I(0x71, 0, 1), *RETURN),
                           {1: ("data", "data")}, R.SIZE),
    "an index that may be negative": ((I(0x85, imm=5), I(0x65, 0, 0, 4, 8), I(0x18, 1), I(0x0F, 1, 0), I(0x71, 0, 1),
                                       *RETURN), {2: ("data", "data")}, R.ARITHMETIC),
    "a record kept": ((*RESERVE, *RETURN), RING, R.REFERENCE),
    "a record used after": ((*RESERVE, I(0x15, 0, 0, 5), I(0xBF, 6, 0), I(0xBF, 1, 0), I(0xB7, 2), I(0x85, imm=132),
                             I(0x79, 0, 6), *RETURN), RING, R.TYPE),
    "an endless loop": ((I(0xB7, 0), I(0x05, 0, 0, -1), I(0x95)), {}, R.STRUCTURE),
    "a loop without progress": ((I(0xB7, 1), I(0x15, 1, 0, -1), *RETURN), {}, R.LOOP),
    "a context field that is none": ((I(0x61, 0, 1, 64), *RETURN), {}, R.CONTEXT),
    "a moved context": ((I(0x07, 1, imm=4), I(0x61, 0, 1, 8), *RETURN), {}, R.CONTEXT),
    "a write into the context": ((I(0xB7, 2), I(0x63, 1, 2, 12), *RETURN), {}, R.CONTEXT),
    "below the stack": ((I(0x7A, 10, 0, -520), *RETURN), {}, R.STACK),
    "above the stack": ((I(0x7A, 10, 0, 0), *RETURN), {}, R.STACK),
    "a crooked stack access": ((I(0x7A, 10, 0, -12), *RETURN), {}, R.STACK),
    "a part of a pointer": ((I(0x63, 10, 1, -8), *RETURN), {}, R.STACK),
    "the frame pointer written": ((I(0xB7, 10), *RETURN), {}, R.STACK),
    "multiplied pointers": ((I(0x27, 1, imm=2), *RETURN), {}, R.ARITHMETIC),
    "a cut pointer": ((I(0x04, 1, imm=2), *RETURN), {}, R.ARITHMETIC),
    "a number as an address": ((I(0xB7, 2, imm=99), I(0x79, 0, 2), *RETURN), {}, R.TYPE),
    "a helper of other kinds": ((I(0x85, imm=9), *RETURN), {}, R.HELPER),
    "an unknown helper": ((I(0x85, imm=5000), *RETURN), {}, R.HELPER),
    "division by zero": ((I(0xB7, 0, imm=4), I(0x37, 0, imm=0), I(0x95)), {}, R.STRUCTURE),
    "a shift too far": ((I(0xB7, 0, imm=4), I(0x67, 0, imm=64), I(0x95)), {}, R.STRUCTURE),
    "an unknown opcode": ((I(0xFF), *RETURN), {}, R.STRUCTURE),
    "dead code": ((*RETURN, *RETURN), {}, R.STRUCTURE),
    "the end run over": ((I(0xB7),), {}, R.STRUCTURE),
    "callx": ((I(0xB7, 0), I(0x8D, 0), I(0x95)), {}, R.STRUCTURE),
    "a write to a constant map": ((I(0x18, 1), I(0x7A, 1), *RETURN), {0: ("data", "constant")}, R.READ_ONLY),
    "the wrong map": ((*RESERVE, *RETURN), {0: ("map", "hash")}, R.MAP),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    insns, maps = ACCEPTED[name]
    verdict = judged(*insns, maps=maps)
    assert verdict.accepted, verdict


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    insns, maps, reason = REFUSED[name]
    verdict = judged(*insns, maps=maps)
    assert not verdict.accepted
    assert verdict.reason == reason, verdict
    assert verdict.message


def test_a_verdict_says_what_is_missing() -> None:
    insns, maps, _ = REFUSED["beyond the packet's check"]
    verdict = judged(*insns, maps=maps)
    assert verdict.instruction == 5
    assert "bytes 14 to 15" in verdict.message
    assert verdict.missing == "r2 + 15 <= data_end on this path"
    assert verdict.cure
    assert verdict.facts == (("R2", "pkt(r=14)"),)


def test_an_accepted_program_says_what_its_accesses_go_through() -> None:
    insns, maps = ACCEPTED["a checked packet"]
    verdict = judged(*insns, maps=maps)
    assert set(verdict.aux) == {0, 1, 5}
    assert verdict.processed == 10


def test_licences() -> None:
    call = (I(0x62, 10, 0, -8, 0), I(0xBF, 1, 10), I(0x07, 1, imm=-8), I(0xB7, 2, imm=4), I(0x85, imm=6), *RETURN)
    assert verify(program(*call), "main").accepted
    refused = verify(program(*call, license_text="Proprietary"), "main")
    assert refused.reason == R.HELPER


@pytest.mark.parametrize(("kind", "value", "good"), [
    (B.BPF_PROG_TYPE_XDP, 77, True), (B.BPF_PROG_TYPE_CGROUP_SKB, 1, True), (B.BPF_PROG_TYPE_CGROUP_SKB, 2, False),
    (B.BPF_PROG_TYPE_SK_LOOKUP, 2, False), (B.BPF_PROG_TYPE_TRACEPOINT, 5, True)])
def test_what_may_be_returned(kind: int, value: int, good: bool) -> None:
    assert judged(I(0xB7, 0, imm=value), I(0x95), kind=kind).accepted is good


def test_a_kernel_without_a_feature() -> None:
    loop = (I(0xB7, 1), I(0xE5, 0, 0, 1), I(0x05, 0, 0, -2), *RETURN)
    assert judged(*loop).accepted
    assert judged(*loop, may_goto=False).reason == R.STRUCTURE
    assert not judged(*ACCEPTED["stack memory never written"][0], uninitialised_stack=False).accepted


def test_the_budget() -> None:
    long = (I(0xB7, 1), I(0x07, 1, imm=1), I(0xA5, 1, 0, -2, 5000), *RETURN)
    assert judged(*long).accepted
    assert judged(*long, limit=1000).reason == R.TOO_COMPLEX


def test_the_state_can_be_watched() -> None:
    seen: list[tuple[int, int]] = []

    def watch(index: int, state: State) -> None:
        seen.append((index, state.regs[0].type))
    verify(program(*RETURN), "main", trace=watch)
    assert seen == [(0, 0), (1, 1)]


@pytest.mark.parametrize(("sentence", "reason"), [
    ("R0 invalid mem access 'map_value_or_null'", R.NULL), ("R1 !read_ok", R.UNINITIALISED),
    ("invalid access to packet, off=14 size=1, R2(id=0,off=14,r=14)", R.PACKET),
    ("R1 type=map_value_or_null expected=map_ptr", R.NULL), ("infinite loop detected at insn 5", R.LOOP),
    ("BPF program is too large. Processed 1000001 insn", R.TOO_COMPLEX),
    ("math between map_value pointer and register with unbounded min value is not allowed", R.ARITHMETIC),
    ("invalid access to map value, value_size=8 off=8 size=1 | R1 max value is outside of the allowed memory range",
     R.MAP_VALUE),
    ("program of this type cannot use helper bpf_skb_store_bytes#9", R.HELPER),
    ("Unreleased reference id=2 alloc_insn=4", R.REFERENCE), ("invalid bpf_context access off=64 size=4", R.CONTEXT),
    ("dereference of modified ctx ptr R1 off=4 disallowed", R.CONTEXT), ("unreachable insn 2", R.STRUCTURE),
    ("invalid write to stack R10 off=-520 size=8", R.STACK), ("misaligned stack access off 0+-12+0 size 8", R.STACK),
    ("At program exit the register R0 has smin=2 smax=2 should have been in [0, 1]", R.RETURN),
    ("combined stack size of 3 calls is 640. Too large", R.CALLS),
    ("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region", R.LOCK)])
def test_the_kernels_sentences_fall_into_classes(sentence: str, reason: str) -> None:
    assert R.classify(sentence) == reason
