"""Programs out of a Python file: import it, find what its decorators made, compile that."""
from __future__ import annotations

import os
import sys
from types import ModuleType

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from bpfwright.spec.program import Program

__all__ = ["add_target", "chosen_programs", "compile_file", "load_module", "programs_of"]


def add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=("oldest", "here"), default="oldest",
                        help="compile a .py for the oldest supported kernel, or for this one (oldest)")


def load_module(path: str) -> ModuleType:
    """Import a file by path, as a script finds its neighbours, but under its own name: its main part does not run."""
    from importlib.util import module_from_spec, spec_from_file_location
    name = os.path.basename(path).removesuffix(".py")
    if not os.path.isfile(path):
        raise FileNotFoundError(2, os.strerror(2), path)
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", cure="Its name has to end in .py.")
    module = module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def programs_of(names: dict[str, Any]) -> list[Program[Any, Any, Any]]:
    """The programs among a module's names, in its order, each function once."""
    from bpfwright.spec.program import Program
    found: dict[int, Program[Any, Any, Any]] = {}
    for value in names.values():
        if isinstance(value, Program):
            found.setdefault(id(value.function), value)
    return list(found.values())


def chosen_programs(path: str, wanted: list[str]) -> list[Program[Any, Any, Any]]:
    """The named programs of a file, or all that are there."""
    found = {program.name: program for program in programs_of(vars(load_module(path)))}
    if not found:
        raise UsageError(f"{path} has no program", cure="Decorate a function, as in `@xdp.program`.")
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise UsageError(f"{path} has no program {unknown[0]}", cure=f"It has {', '.join(found)}.")
    return [found[name] for name in wanted or found]


def compile_file(path: str, wanted: list[str], target: str) -> bytes:
    """One object of a file's programs."""
    programs = chosen_programs(path, wanted)
    from bpfwright.kernel import Kernel
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import OLDEST
    from bpfwright.session import prepare, target_of
    with Kernel() as kernel:
        # Which fields events have, and which parameters functions have, is read from this kernel.
        prepare(programs, kernel)
        for program in programs:
            remark = program.hook.make_portable(kernel, program)
            if remark:
                print(f"bpfwright: {remark}", file=sys.stderr)
        return compile_programs(programs, OLDEST if target == "oldest" else target_of(kernel)).elf
