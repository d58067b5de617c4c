"""DWARF: the variables of a function, its lines and what was inlined into it; pyelftools does the reading."""
from __future__ import annotations

from bpfwright.formats.dwarf.variables import Field, Place, Type, Variable, read_variables

__all__ = ["Field", "Place", "Type", "Variable", "read_variables"]
