"""Object files: what clang, libbpf, other tools and this package's compiler ship, read into an ObjectSpec."""
from __future__ import annotations

from bpfwright.objfile.may_goto import rewrite_may_goto
from bpfwright.objfile.reader import read
from bpfwright.objfile.strip import strip_debug

__all__ = ["read", "rewrite_may_goto", "strip_debug"]
