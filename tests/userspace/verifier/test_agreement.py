"""Our verdicts beside the running kernel's: random programs, and real ones."""
from __future__ import annotations

import importlib
import os
import runpy
from pathlib import Path

import pytest

from bench import agreement, population
from bpfwright import objfile
from bpfwright.errors import BpfwrightError, CompileError, VerifierError
from bpfwright.formats.btf import Btf
from bpfwright.kernel import Kernel
from bpfwright.lang.compile import compile_programs
from bpfwright.session import prepare, target_of
from bpfwright.spec.program import Program
from bpfwright.userspace.verifier import Profile, verify
from bpfwright.userspace.verifier.reasons import classify

pytestmark = pytest.mark.kernel
TOP = Path(__file__).parents[3]
OBJECTS = ["vmtest.programs.rejected", "vmtest.programs.block_list", "bpfwright.cli.demo.programs",
           "bench.tracers.opens", *(f"bench.programs.{path.stem}" for path in sorted((TOP / "bench/programs").glob(
               "*.py")))]
EXAMPLES = sorted((TOP / "examples").glob("*.py"))


def test_random_programs() -> None:
    made = agreement.run(600, 20, population.strata(), quiet=True, limit=30_000)
    tallies, disagreements = made.tallies, made.disagreements
    accepted = sum(tally.accepted for tally in tallies.values())
    refused = sum(tally.refused for tally in tallies.values())
    assert accepted > 200
    assert refused > 200
    assert sum(tally.right_accepts for tally in tallies.values()) >= 0.95 * accepted, disagreements
    assert sum(tally.right_refusals for tally in tallies.values()) >= 0.99 * refused, disagreements
    assert sum(tally.same for tally in tallies.values()) >= 0.85 * refused, disagreements


def programs_of(name: str) -> list[Program]:  # type: ignore[type-arg]
    names = runpy.run_path(name, run_name="read") if name.endswith(".py") else vars(importlib.import_module(name))
    return [value for value in names.values() if isinstance(value, Program)]


@pytest.fixture(scope="module")
def vmlinux() -> Btf:
    return Btf.open("/sys/kernel/btf/vmlinux")


@pytest.mark.parametrize("name", [*OBJECTS, *map(str, EXAMPLES)], ids=lambda name: Path(name).stem)
def test_real_programs(name: str, vmlinux: Btf) -> None:
    """What the kernel says of each compiled program, we say; refusals fall in the same class."""
    profile = Profile(cpus=os.cpu_count() or 0)
    with Kernel() as kernel:
        for program in programs_of(name):
            try:
                prepare([program], kernel)
                spec = objfile.read(compile_programs([program], target_of(kernel)).elf)
            except CompileError:
                continue        # refused before any verifier sees it
            said = ""
            try:
                with kernel.load(spec):
                    pass
            except VerifierError as refused:
                said = refused.reason
            except BpfwrightError:
                continue        # not for this kernel
            verdict = verify(spec, spec.programs[0].name, profile=profile, kernel_btf=vmlinux)
            assert verdict.accepted is (not said), (program.name, said, verdict._replace(aux={}))
            assert verdict.reason == classify(said), (program.name, said, verdict)
