"""The notes of static tracepoints, and the places of arguments as assemblers write them."""
from __future__ import annotations

from pathlib import Path

import pytest

from bpfwright.errors import ElfError, FormatError
from bpfwright.formats.elf.program import MemoryBytes, Program
from bpfwright.formats.elf.usdt import StaticArgument, parse_argument, static_probes
from tests.facets.trace.probes import programs

A = StaticArgument


@pytest.mark.parametrize(("text", "expected"), [
    ("8@%rax", A(8, False, "register", "rax")),
    ("-4@%edx", A(4, True, "register", "rdx")),
    ("2@%r9w", A(2, False, "register", "r9")),
    ("1@%r13b", A(1, False, "register", "r13")),
    ("-1@%ah", A(1, True, "register", "rax", shift=8)),
    ("1@%bl", A(1, False, "register", "rbx")),
    ("1@%sil", A(1, False, "register", "rsi")),
    ("2@%bp", A(2, False, "register", "rbp")),
    ("4@%esp", A(4, False, "register", "rsp")),
    ("%rdi", A(8, False, "register", "rdi")),
    ("8@$5", A(8, False, "constant", offset=5)),
    ("-4@$-9", A(4, True, "constant", offset=-9)),
    ("4@$0x10", A(4, False, "constant", offset=16)),
    ("-4@-20(%rbp)", A(4, True, "memory", "rbp", -20)),
    ("8@(%rax)", A(8, False, "memory", "rax")),
    ("8@0x18(%rsp)", A(8, False, "memory", "rsp", 24)),
    ("8@(%rax,%rbx,8)", A(8, False, "memory", "rax", 0, "rbx", 8)),
    ("8@-8(%rax,%rbx)", A(8, False, "memory", "rax", -8, "rbx", 1)),
    ("8@16(,%rbx,4)", A(8, False, "memory", "", 16, "rbx", 4)),
    ("4@sym(%rip)", A(4, False, "symbol", symbol="sym")),
    ("4@sym+8(%rip)", A(4, False, "symbol", offset=8, symbol="sym")),
    ("4@4+sym(%rip)", A(4, False, "symbol", offset=4, symbol="sym")),
    ("8@global", A(8, False, "symbol", symbol="global")),
    ("8f@%xmm3", A(8, False, "float", "xmm3")),
])
def test_x86_arguments(text: str, expected: StaticArgument) -> None:
    assert parse_argument(text, "x86_64") == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("8@x0", A(8, False, "register", "x0")),
    ("-4@w19", A(4, True, "register", "x19")),
    ("4@5", A(4, False, "constant", offset=5)),
    ("-4@-5", A(4, True, "constant", offset=-5)),
    ("8@xzr", A(8, False, "constant")),
    ("8@[sp]", A(8, False, "memory", "sp")),
    ("-4@[sp, 60]", A(4, True, "memory", "sp", 60)),
    ("8@[x1, -16]", A(8, False, "memory", "x1", -16)),
    ("8@[x29, #24]", A(8, False, "memory", "x29", 24)),
    ("8@[x0, x1]", A(8, False, "memory", "x0", 0, "x1", 1)),
    ("8@[x0, x1, lsl #3]", A(8, False, "memory", "x0", 0, "x1", 8)),
    ("8f@d0", A(8, False, "float", "d0")),
])
def test_arm_arguments(text: str, expected: StaticArgument) -> None:
    assert parse_argument(text, "aarch64") == expected


@pytest.mark.parametrize(("text", "architecture"), [
    ("3@%rax", "x86_64"), ("8@%rzx", "x86_64"), ("8@(%xmm0)", "x86_64"), ("8@[x0]", "x86_64"), ("8@(", "x86_64"),
    ("8@%rax", "aarch64"), ("8@x31", "aarch64"), ("8@[x0, w1, sxtw #3]", "aarch64"), ("8@", "aarch64"), ("", "x86_64"),
])
def test_what_is_none(text: str, architecture: str) -> None:
    with pytest.raises(FormatError):
        parse_argument(text, architecture)


def test_notes_of_a_program(tmp_path: Path) -> None:
    data = programs.built(programs.NOTES, tmp_path / "notes").read_bytes()
    found = static_probes(Program(MemoryBytes(data)))
    assert [f"{one.provider}:{one.name}" for one in found] == [
        "app:registers", "app:memory", "app:symbol", "app:text", "other:text", "app:registers", "app:gated"]
    assert found[1].arguments == ("8@(%rax)", "8@8(%rax)", "8@(%rax,%rdx,8)", "8@-8(%rax,%rdx,8)")
    assert all(data[one.offset] == 0x90 for one in found)  # the nop that a probe is
    assert [bool(one.semaphore) for one in found] == [False] * 6 + [True]
    assert data[found[-1].semaphore:found[-1].semaphore + 2] == b"\0\0"


def test_a_moved_file_moves_its_probes(tmp_path: Path) -> None:
    """A note says where .stapsdt.base was when it was written; prelinking moves all and leaves notes."""
    data = programs.built(programs.NOTES, tmp_path / "notes").read_bytes()
    program = Program(MemoryBytes(data))
    section = program.section(b".note.stapsdt")
    assert section is not None
    right = static_probes(program)[0]
    note = bytearray(data)
    for place in (20, 28):  # the probe's address and the base, both as if linked 0x1000 higher
        at = section.offset + place
        note[at:at + 8] = (int.from_bytes(note[at:at + 8], "little") + 0x1000).to_bytes(8, "little")
    assert static_probes(Program(MemoryBytes(bytes(note))))[0] == right


def test_damaged_notes_are_refused(tmp_path: Path) -> None:
    data = programs.built(programs.NOTES, tmp_path / "notes").read_bytes()
    section = Program(MemoryBytes(data)).section(b".note.stapsdt")
    assert section is not None
    refused = 0
    for at in range(section.offset, section.offset + 120):
        for value in (0, 0xFF):
            try:
                static_probes(Program(MemoryBytes(data[:at] + bytes([value]) + data[at + 1:])))
            except ElfError:
                refused += 1
    assert refused > 20
