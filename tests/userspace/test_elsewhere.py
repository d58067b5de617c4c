"""The userspace machine depends on no Linux: it works in a process that takes itself for another system."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bpfwright.lang.compile import compile_programs
from bpfwright.session import target_of
from bpfwright import Userspace
from tests.userspace.elsewhere_programs import counted

pytestmark = pytest.mark.userspace
TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_it_works_without_linux(system: str, tmp_path: Path) -> None:
    with Userspace(memory_bytes=1 << 22) as machine:
        (tmp_path / "counted.o").write_bytes(compile_programs([counted], target_of(machine)).elf)
    environment = {**os.environ, "PYTHONPATH": f"{TOP / 'src'}{os.pathsep}{TOP}"}
    done = subprocess.run([sys.executable, "-m", "tests.userspace.elsewhere", system, str(tmp_path / "counted.o")],
                          cwd=TOP, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("imported ") and int(said[0].split()[1]) > 150
    assert said[1] == f"ran by interpreter auto{'' if system == 'win32' else ' jit'}"
    assert said[2:5] == ["verified", "debugged", "compiled and loaded"]
    assert said[5].startswith("refused: there is no Linux kernel here")
