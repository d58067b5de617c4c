"""Loading a small object starts quickly: what it imports is counted, and paths with odd names are understood."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bpfwright.kernel.mounts import _unescaped

HEAVY = ("numpy", "llvmlite", "asyncio", "dataclasses", "inspect", "subprocess", "pathlib", "json", "socket", "ssl",
         "bpfwright.kernel.verifier_log", "bpfwright.kernel.features", "bpfwright.kernel.netlink",
         "bpfwright.formats.btf.relocate", "bpfwright.kernel.explain")


@pytest.mark.kernel
def test_a_load_imports_nothing_heavy() -> None:
    code = ("import sys\nfrom bpfwright.kernel import Kernel\nfrom bpfwright.objfile import read\n"
            "from tests.kernel.programs import counting\n"
            "with Kernel() as machine, machine.load(counting(2, 6, 37)) as loaded:\n"
            "    loaded.programs['main'].test_run(bytes(64))\n"
            f"print([name for name in {HEAVY!r} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("escaped", "path"), [("/sys/fs/bpf", "/sys/fs/bpf"), ("/a\\040b", "/a b"),
                                               ("/gr\u00fc\u00dfe", "/gr\u00fc\u00dfe")])
def test_mount_points_with_odd_names(escaped: str, path: str) -> None:
    assert _unescaped(escaped) == path
