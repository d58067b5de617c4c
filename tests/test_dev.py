"""`./dev` on machines that lack something: it says what to install, and changes nothing."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("dev", "pyproject.toml"):
        shutil.copy(TOP / name, tmp_path / name)
    return tmp_path


def dev(clone: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHON")}
    return subprocess.run(["./dev", *words], cwd=clone, env={**kept, **environment}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)


def test_without_a_word_it_says_what_it_can_do(clone: Path) -> None:
    done = dev(clone)
    assert done.returncode == 0 and "./dev test" in done.stdout
    done = dev(clone, "tset")
    assert done.returncode == 2 and "./dev test" in done.stderr and not done.stdout


def test_a_python_without_its_venv_module_names_the_one_package(clone: Path) -> None:
    half = clone / "half-python"
    half.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; *_base_executable*) echo "$0"; exit;; esac\n'
                    f'exec {sys.executable} "$@"\n')
    half.chmod(0o755)
    done = dev(clone, "demo", PYTHON=str(half))
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert done.returncode == 1
    assert f"sudo apt-get install -y python{version}-venv" in done.stderr
    assert not (clone / ".venv").exists()


def test_without_a_python_it_says_how_to_name_one(clone: Path) -> None:
    tools = clone / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "cat", "id", "cksum"):
        (tools / name).symlink_to(shutil.which(name) or "")
    done = dev(clone, "demo", PATH=str(tools))
    assert done.returncode == 1
    assert "PYTHON=/path/to/python" in done.stderr
