"""Functions of the dialect in an object that another front end makes: lowered into its module, with what they use."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.lang import compile as compiling
from bpfwright.lang import ir
from bpfwright.lang.capture import Captures
from bpfwright.lang.emit import GlobalData, MapShape
from bpfwright.lang.shapes import shape_of
from bpfwright.lang.target import Target
from bpfwright.lang.unit import Unit
from bpfwright.spec.program import Program
from bpfwright.types.config import Config

__all__ = ["Embedded", "embed"]


class Embedded(NamedTuple):
    """What the object needs beside the functions: maps by name, data, kernel types and functions."""

    maps: dict[str, MapShape]
    data: tuple[GlobalData, ...]
    kernel_types: dict[str, tuple[type[Any], str]]
    kfuncs: dict[str, Any]


def embed(programs: list[Program[Any, Any, Any]], target: Target, module: ir.Module, *configs: Config,
          without: str = "") -> Embedded:
    """Lower programs and what they call into a module. `without`: a program that only names what is wanted, left out.

    Functions and maps keep their names, which must be free in the module.
    """
    captures = Captures([program.function for program in programs])
    captures.configs.update({type(config): config for config in configs})
    unit = Unit(target, captures.names, captures.configs, shape_of)
    unit.module = module
    unit.taken |= set(module.functions)
    compiling.lower(programs, target, unit)
    module.functions.pop(without, None)
    unit.add_scratch()
    data = tuple(area.finish() for area in (unit.shared, unit.constants, unit.config) if area.members)
    return Embedded(unit.shapes, data, unit.kernel_types, unit.kfuncs)
