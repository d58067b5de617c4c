"""Programs with a seeded bug: accepted ones out of which a check was taken, or in which a number is off by a little.

The originals are what our compiler makes of the examples, benchmarks and tests, what clang makes of the C beside them,
and random programs of bench/population.py, all accepted by the kernel. A bug is one change of one instruction:

    no check      a conditional jump never jumps, or always does
    off by some   a number that something is compared with, or that is added to a pointer, is 1 to 8 more or less
    too far       a load or store reaches 1 to 8 bytes further, or is of a larger size
    no release    a call that gives something back is left out
"""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

from bench import population
from bench.agreement import LOG, Referee, said
from bench.compiled import Original, originals
from bpfwright import objfile
from bpfwright.errors import BpfwrightError
from bpfwright.formats.btf import Btf
from bpfwright.spec.objects import Function, ObjectSpec
from bpfwright.userspace.kernel_functions import NUMBERS
from bpfwright.userspace.verifier import Profile, verify

__all__ = ["BUGS", "Mutant", "Source", "mutants", "random_sources", "written_sources"]

TOP = Path(__file__).resolve().parents[1]
BUGS = ("no check", "off by some", "too far", "no release")
_RELEASES = frozenset((86, 94, 132, 133, 199, 200))
_GIVING_BACK = ("_release", "_destroy", "_unlock", "_enable", "_restore")
_C = ("clang-14", "-O2", "-g", "-target", "bpf", "-D__TARGET_ARCH_x86", "-I/usr/include/x86_64-linux-gnu", "-c", "-o",
      "-", "-x", "c")


class Judge(Protocol):
    """Who says what the kernel says of a mutant: accepted, and its sentence."""

    def __call__(self, spec: ObjectSpec) -> tuple[bool, str]: ...


class Source(NamedTuple):
    """A correct program: where it comes from, its kind, and the kernel's word on changes of it."""

    name: str
    origin: str
    kind: str
    spec: ObjectSpec
    judge: Judge


class Mutant(NamedTuple):
    """A program with one bug. `change` says in words what was changed."""

    source: Source
    bug: str
    change: str
    spec: ObjectSpec


def written_sources(vmlinux: Btf) -> list[Source]:
    """Programs that people wrote, in Python and in C, which the kernel accepts as they are."""
    log = bytearray(LOG)
    found = [(each, "python") for each in originals(vmlinux)]
    for path in sorted((TOP / "bench/programs").glob("*.c")):
        try:
            elf = subprocess.run([*_C, str(path)], capture_output=True, check=True, cwd=path.parent).stdout
            whole = objfile.read(elf, path.name)
        except (subprocess.CalledProcessError, FileNotFoundError, BpfwrightError):
            continue
        for program in whole.programs:
            try:
                found.append((Original(path.stem, whole._replace(programs=(program,)), vmlinux), "C"))
            except BpfwrightError:
                continue
    sources = []
    for original, origin in found:
        def judge(spec: ObjectSpec, original: Original = original) -> tuple[bool, str]:
            accepted, text = original.verdict(spec, log)
            return accepted, "" if accepted else said(text)

        if judge(original.spec)[0]:
            section = original.spec.programs[0].section.split("/")[0]
            sources.append(Source(original.name, origin, section, original.spec, judge))
    return sources


def random_sources(random: Random, referee: Referee, vmlinux: Btf, each: int) -> Iterator[Source]:
    """Accepted random programs, `each` of every stratum of bench/population.py."""
    profile = Profile(limit=20_000)
    for kind, feature in population.strata():
        count = 0
        for _ in range(40 * each):
            if count == each:
                break
            spec = population.generate(random, kind, feature)
            try:
                accepted = verify(spec, "main", profile=profile, kernel_btf=vmlinux).accepted
            except BpfwrightError:
                continue
            if accepted and referee.verdict(spec)[0]:
                count += 1
                yield Source(f"{feature} {count}", "random", kind, spec, referee.verdict)


def mutants(source: Source) -> Iterator[Mutant]:
    """Every program that one bug makes of it."""
    for index, function in enumerate(source.spec.functions):
        relocated = {one.index: one for one in function.relocations}
        wide = False
        for at in range(len(function.insns) // 8):
            code, registers, offset, imm = _fields(function.insns, at)
            if wide:
                wide = False
                continue
            wide = code == 0x18
            for bug, change, new in _changes(code, registers, offset, imm, relocated.get(at)):
                insns = function.insns[:8 * at] + new + function.insns[8 * at + 8:]
                kept = tuple(one for one in function.relocations if one.index != at or bug != "no release")
                changed: list[Function] = list(source.spec.functions)
                changed[index] = function._replace(insns=insns, relocations=kept)
                yield Mutant(source, bug, f"{function.name}, instruction {at}: {change}",
                             source.spec._replace(functions=tuple(changed)))


def _fields(insns: bytes, at: int) -> tuple[int, int, int, int]:
    raw = insns[8 * at:8 * at + 8]
    offset, imm = (int.from_bytes(part, "little", signed=True) for part in (raw[2:4], raw[4:]))
    return raw[0], raw[1], offset, imm


def _insn(code: int, registers: int, offset: int, imm: int) -> bytes:
    tail = (offset & 0xFFFF).to_bytes(2, "little") + (imm & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes((code, registers)) + tail


_STEPS = (1, -1, 2, -2, 4, -4, 8, -8)


def _changes(code: int, registers: int, offset: int, imm: int, relocation: object) -> Iterator[tuple[str, str, bytes]]:
    kind = code & 7
    if kind in (5, 6) and code not in (0x05, 0x06, 0x85, 0x8D, 0x95, 0xE5):
        yield "no check", "the jump is never made", _insn(0x05, 0, 0, 0)
        yield "no check", "the jump is always made", _insn(0x05, 0, offset, 0)
        if not code & 8:
            for step in _STEPS:
                yield "off by some", f"compared with {step:+}", _insn(code, registers, offset, imm + step)
    elif code == 0x85 and ((imm in _RELEASES and registers >> 4 == 0) or _gives_back(relocation)):
        yield "no release", "the call is left out", _insn(0xB7, 0, 0, 0)
    elif code in (0x07, 0x04) and -4096 < imm < 4096:
        for step in _STEPS:
            yield "off by some", f"{step:+} is added", _insn(code, registers, offset, imm + step)
    elif kind in (1, 2, 3) and code & 0xE0 in (0x60, 0x80, 0xC0) and relocation is None:
        for step in (1, 2, 4, 8):
            yield "too far", f"{step} bytes further", _insn(code, registers, offset + step, imm)
        wider = {0x10: 0x08, 0x08: 0x00, 0x00: 0x18}.get(code & 0x18)
        if wider is not None and code & 0xE0 == 0x60:
            yield "too far", "a size more", _insn(code & ~0x18 | wider, registers, offset, imm)


def _gives_back(relocation: object) -> bool:
    name = getattr(relocation, "name", "")
    return getattr(relocation, "kind", "") == "kfunc" and name in NUMBERS and name.endswith(_GIVING_BACK)
