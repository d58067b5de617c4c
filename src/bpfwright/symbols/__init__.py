"""Symbols: address → name in a live or ended process and in the kernel; source lines; names as they were written.

    KernelSymbols       /proc/kallsyms, with modules and BPF programs
    find_in_kernel      the same for some addresses, once
    ProcessSymbols      a process: its files, its vDSO, what its runtime made
    ElfSymbols          one file, by the addresses in it
    FileCache           what processes share
    demangle            a C++ or Rust name as it was written
"""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.formats.dwarf.lines import SourceLine
    from bpfwright.symbols.demangling import demangle, knows_cxx
    from bpfwright.symbols.elf import ElfSymbols
    from bpfwright.symbols.files import FileCache
    from bpfwright.symbols.kallsyms import find_in_kernel
    from bpfwright.symbols.kernel import KernelSymbols
    from bpfwright.symbols.mappings import Mapping
    from bpfwright.symbols.process import ProcessSymbols
    from bpfwright.symbols.symbol import Symbol
    from bpfwright.symbols.table import Resolved

__all__ = ["ElfSymbols", "FileCache", "KernelSymbols", "Mapping", "ProcessSymbols", "Resolved", "SourceLine", "Symbol",
           "demangle", "find_in_kernel", "knows_cxx"]

_FILES = {"ElfSymbols": "symbols.elf", "FileCache": "symbols.files", "KernelSymbols": "symbols.kernel",
          "Mapping": "symbols.mappings", "ProcessSymbols": "symbols.process", "Resolved": "symbols.table",
          "SourceLine": "formats.dwarf.lines", "Symbol": "symbols.symbol", "demangle": "symbols.demangling",
          "find_in_kernel": "symbols.kallsyms",
          "knows_cxx": "symbols.demangling"}

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__, within="bpfwright")
