"""Every script of bench/ runs in its quick form, and its figures are there; times are not judged here."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
pytestmark = pytest.mark.kernel


@pytest.mark.timeout(500)
@pytest.mark.parametrize(("script", "shown"), [
    ("startup.py", "bpfwright, uncached"), ("syscalls.py", "Attach and detach"), ("maps.py", "update_columns"),
    ("start.py", "import bpfwright"), ("btf.py", "in process, cold"),
    ("symbols.py", "addresses of this process, first"), ("profile.py", "by tables, Python"),
    ("blast.py", "floor: the same frame"),
    ("datapath.py", "one more linked program"),
    ("signatures.py", "in segments"),
    ("sets.py", "one network in place"),
    ("maglev.py", "1,000 backends, filled"),
])
def test_quick_form(script: str, shown: str) -> None:
    run = subprocess.run([sys.executable, str(BENCH / script), "--quick"], capture_output=True, text=True, timeout=400)
    assert shown in run.stdout and "Traceback" not in run.stderr, run.stdout + run.stderr
