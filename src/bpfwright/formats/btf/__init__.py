"""BTF: the kernel's type information, read, written, printed and matched (CO-RE)."""
from __future__ import annotations

from bpfwright.formats.btf.reader import (
    Array,
    Btf,
    Enumerator,
    IntEncoding,
    Kind,
    Member,
    Parameter,
    SectionVariable,
)

__all__ = ["Array", "Btf", "Enumerator", "IntEncoding", "Kind", "Member", "Parameter", "SectionVariable"]
