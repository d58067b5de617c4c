"""Programs that our compiler made, and their mutations: the other half of the population of agreement.py."""
from __future__ import annotations

import importlib
import os
import runpy
from pathlib import Path
from random import Random

from bench import population
from bpfwright import objfile
from bpfwright._abi import bpf as B
from bpfwright.errors import BpfwrightError, CompileError, KernelError
from bpfwright.formats.btf import Btf, Relocator
from bpfwright.kernel import Kernel
from bpfwright.kernel import sys as door
from bpfwright.kernel.loader import Loader
from bpfwright.kernel.typeload import load_types
from bpfwright.kernel.types import KernelTypes
from bpfwright.lang.compile import compile_programs
from bpfwright.session import prepare, target_of
from bpfwright.spec.linking import link
from bpfwright.spec.objects import ObjectSpec
from bpfwright.spec.program import Program

__all__ = ["Original", "originals"]

TOP = Path(__file__).resolve().parents[1]
MODULES = ("vmtest.programs.block_list", "vmtest.programs.rejected", "bpfwright.cli.demo.programs",
           "bench.tracers.opens", "tests.maps.test_both_sides")
_TYPED = (B.BPF_PROG_TYPE_TRACING, B.BPF_PROG_TYPE_LSM)


class Original:
    """One compiled program with its maps in the kernel: mutations of it are judged there."""

    def __init__(self, name: str, spec: ObjectSpec, vmlinux: Btf) -> None:
        self.name = name
        program = spec.programs[0]
        loader = Loader(spec, KernelTypes(), lambda: Relocator(spec.btf, vmlinux))
        self._held = loader.load(frozenset(), None)
        loader._resolve_externs([program], self._held)
        self._references = loader.references
        self._btf_fd = load_types(spec.btf)
        self._aimed: dict[str, int | bytes] = {}
        if program.type in _TYPED:
            loader._aim(program, self._aimed)
        # CO-RE is applied: what is mutated is what the kernel sees.
        self.spec = spec._replace(functions=tuple(
            function._replace(insns=loader.resolved.get(function.name, function.insns), core_relocations=())
            for function in spec.functions if function.name in loader.resolved))

    def mutated(self, random: Random) -> ObjectSpec:
        """A change or a few in the instructions."""
        return population.mutate(random, self.spec)

    def verdict(self, spec: ObjectSpec, log: bytearray) -> tuple[bool, str]:
        """What the kernel says: accepted, or its log."""
        functions = {function.name: function for function in spec.functions}
        program = spec.programs[0]
        linked = link(program.function, functions, {name: one.insns for name, one in functions.items()},
                      self._references)
        attributes = door.ProgramLoad(program.type, bytes(linked.insns), spec.license, "main")
        attributes.values["expected_attach_type"] = program.expected_attach_type
        attributes.values["flags"] = program.flags
        attributes.values.update(self._aimed)
        if self._btf_fd and linked.function_info:
            attributes.values.update(btf_fd=self._btf_fd, func_info_rec_size=8,
                                     func_info=attributes.keep(linked.function_info),
                                     func_info_cnt=len(linked.function_info) // 8)
        log[0] = 0
        try:
            fd = attributes.send(4, log)
        except KernelError as error:
            return False, log.partition(b"\0")[0].decode("utf-8", "replace") or f"errno {error.errno}"
        os.close(fd)
        return True, ""


def originals(vmlinux: Btf) -> list[Original]:
    """Every program of the examples, benchmarks and tests that this kernel can be shown."""
    found = []
    files = [*sorted((TOP / "examples").glob("*.py")), *sorted((TOP / "bench/programs").glob("*.py"))]
    with Kernel() as kernel:
        target = target_of(kernel)
        modules = [vars(importlib.import_module(name)) for name in (
            *(f"bench.programs.{path.stem}" for path in files if path.parent.name == "programs"), *MODULES)]
        examples = [runpy.run_path(str(path), run_name="read") for path in files if path.parent.name == "examples"]
        for names in [*examples, *modules]:
            for name, value in list(names.items()):
                if not isinstance(value, Program):
                    continue
                try:
                    if value.hook.section(value).startswith("lsm"):
                        continue        # a kernel that refuses all of them says nothing of this one
                    prepare([value], kernel)
                    spec = objfile.read(compile_programs([value], target).elf)
                    found.append(Original(name, spec, vmlinux))
                except (CompileError, BpfwrightError):
                    continue
    return found
