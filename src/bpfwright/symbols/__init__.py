"""Symbols: address → name in a live or ended process and in the kernel; source lines; names as they were written.

    KernelSymbols       /proc/kallsyms, with modules and BPF programs
    ProcessSymbols      a process: its files, its vDSO, what its runtime made
    ElfSymbols          one file, by the addresses in it
    FileCache           what processes share
    demangle            a C++ or Rust name as it was written
"""
from __future__ import annotations

from importlib import import_module

from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.formats.dwarf.lines import SourceLine
    from bpfwright.symbols.demangling import demangle, knows_cxx
    from bpfwright.symbols.elf import ElfSymbols
    from bpfwright.symbols.files import FileCache
    from bpfwright.symbols.kernel import KernelSymbols
    from bpfwright.symbols.mappings import Mapping
    from bpfwright.symbols.process import ProcessSymbols
    from bpfwright.symbols.table import Resolved, Symbol

__all__ = ["ElfSymbols", "FileCache", "KernelSymbols", "Mapping", "ProcessSymbols", "Resolved", "SourceLine", "Symbol",
           "demangle", "knows_cxx"]

_FILES = {"ElfSymbols": "symbols.elf", "FileCache": "symbols.files", "KernelSymbols": "symbols.kernel",
          "Mapping": "symbols.mappings", "ProcessSymbols": "symbols.process", "Resolved": "symbols.table",
          "SourceLine": "formats.dwarf.lines", "Symbol": "symbols.table", "demangle": "symbols.demangling",
          "knows_cxx": "symbols.demangling"}


def __getattr__(name: str) -> object:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"bpfwright.{_FILES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
