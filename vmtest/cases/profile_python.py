"""Python's own functions in a profile, on stock kernels."""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open
from vmtest.profiling import profiled, share

HOOK = ""  # no row of its own
SINCE = "5.10"
PYTHON = """
def leaf(n):
    total = 0
    for i in range(n):
        total += i * i
    return total
def outer():
    while True:
        leaf(1000)
outer()
"""


def build() -> dict[str, bytes]:
    return {"script.py": PYTHON.encode()}


def check(files: dict[str, bytes]) -> None:
    """Python's functions need no tables, and those of an interpreter take long in a guest."""
    from bpfwright import _llvm
    from bpfwright.facets.profile import Options
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "script.py"
            script.write_bytes(files["script.py"])
            taken = profiled(Options(unwind="frames"), sys.executable, "-S", str(script))
        assert share(taken, ["outer", "leaf"]) > 0.5, (taken.quality, list(taken)[:4])
    finally:
        _llvm.stop()
