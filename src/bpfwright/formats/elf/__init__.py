"""ELF: sections, symbols and relocations of 64-bit relocatable objects."""
from __future__ import annotations

from bpfwright.formats.elf.reader import EM_BPF, Elf, ElfRelocation, Section, Symbol

__all__ = ["EM_BPF", "Elf", "ElfRelocation", "Section", "Symbol"]
