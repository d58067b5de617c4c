"""BTF: the kernel's type information, read, written, printed and matched (CO-RE).

Names beyond the reader are fetched when first used: loading a plain object needs none of them.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
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

if TYPE_CHECKING:
    from bpfwright.formats.btf.printing import declaration, definition
    from bpfwright.formats.btf.relocate import Relocator
    from bpfwright.formats.btf.writer import BtfBuilder

__all__ = ["Array", "Btf", "BtfBuilder", "Enumerator", "IntEncoding", "Kind", "Member", "Parameter", "Relocator",
           "SectionVariable", "declaration", "definition"]

_LAZY = {"BtfBuilder": "writer", "Relocator": "relocate", "declaration": "printing", "definition": "printing"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(name)
    from importlib import import_module
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
