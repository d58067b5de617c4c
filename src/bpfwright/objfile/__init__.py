"""Object files: what clang, libbpf, other tools and this package's compiler ship, read into an ObjectSpec."""
from __future__ import annotations

from bpfwright.objfile.reader import read

__all__ = ["read"]
