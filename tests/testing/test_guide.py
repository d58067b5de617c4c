"""The guide's page on testing: its tests pass as they stand, and cover its program."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bpfwright.cli.sources import load_module

TOP = Path(__file__).parents[2]
CLOCKLESS = """from hypothesis import HealthCheck, settings
settings.register_profile("page", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("page")
"""  # the clock says nothing on a shared machine
pytestmark = pytest.mark.userspace


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with the page's Python as a file of tests."""
    text = (TOP / "docs" / "guide" / "testing.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "test_page.py").write_text("\n".join(blocks))
    (tmp_path / "conftest.py").write_text(CLOCKLESS)
    return tmp_path


def test_the_pages_tests_pass_and_cover_its_program(page: Path) -> None:
    plugin = [] if entry_points(group="pytest11", name="bpfwright") else ["-p", "bpfwright.testing.plugin"]
    said = subprocess.run([sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "--bpf-machine=user",
                           "--cov=.", "--cov-branch", "--cov-report=json"], cwd=page, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(TOP / "src")})
    assert said.returncode == 0 and "6 passed, 1 deselected" in said.stdout, said.stdout + said.stderr
    found = json.loads((page / "coverage.json").read_text())["files"]["test_page.py"]["functions"]["guard"]
    assert not found["missing_lines"] and not found["missing_branches"], found


def test_the_pages_report_works(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracefile = load_module(str(page / "test_page.py")).show_coverage()
    assert tracefile.startswith("TN:\nSF:") and str(page / "test_page.py") in capsys.readouterr().out
