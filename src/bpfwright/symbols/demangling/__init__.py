"""Names as programmers wrote them: Rust by our own readers, C++ by the C++ runtime's."""
from __future__ import annotations

import re
from functools import lru_cache

from bpfwright._host import cxa_demangle
from bpfwright.symbols.demangling.legacy import demangle_legacy
from bpfwright.symbols.demangling.v0 import demangle_v0

__all__ = ["demangle", "knows_cxx"]

_LONGEST = 4096
_REFERENCE = re.compile("[ST][0-9A-Z]*_")
_MOST_REFERENCES = 32  # each may double what comes out: 400 bytes can be made to mean a terabyte


@lru_cache(maxsize=65_536)
def demangle(name: str) -> str:
    """A symbol's name as it was written: `_ZN3foo3barEv` is `foo::bar()`, `_RNvC6_123foo3bar` is `123foo::bar`.

    Rust's names of both kinds (legacy; v0, RFC 2603) come without hashes. C++ names (the Itanium ABI, 5.1) need
    libstdc++ or libc++abi on the machine, see `knows_cxx`. What is not mangled, cannot be read, or means something
    absurdly long comes back as it is.
    """
    if name[:1] != "_" or len(name) > _LONGEST:
        return name
    if name.startswith(("_R", "__R")):
        return demangle_v0(name) or name
    if name.startswith(("_ZN", "__ZN")):
        rust = demangle_legacy(name)
        if rust:
            return rust
    if name.startswith("_Z") and _references(name) <= _MOST_REFERENCES:
        return cxa_demangle(name) or name
    return name


def knows_cxx() -> bool:
    """Whether this machine has a C++ runtime that reads C++ names; without one they stay as they are."""
    return cxa_demangle("_Z1fv") == "f()"


def _references(name: str) -> int:
    """How often a name refers to a part of itself (`S_`, `T0_`), counted high."""
    return len(_REFERENCE.findall(name))
