"""The instruction bars: what the compiler makes of programs against C, and that both do the same."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.code_quality import MEAN_BAR, WORST_BAR, compilers

pytestmark = pytest.mark.kernel
ROOT = Path(__file__).parents[2]
# In a process of its own: the programs declare headers, which every parser of the process knows from then on.
SCRIPT = """
import json
from bench.code_quality import report
from bench.workloads import WORK
print(json.dumps(report(list(WORK), 0)))
"""


def test_as_small_as_c_and_the_same_program() -> None:
    if not compilers():
        pytest.skip("no C compiler for BPF is here: apt-get install clang-14 libbpf-dev, or pip install ziglang")
    ran = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    text, mean, worst = json.loads(ran.stdout.splitlines()[-1])
    assert "NOT THE SAME PROGRAM" not in text, text
    assert mean <= MEAN_BAR and worst <= WORST_BAR, text


DROPS = """
import json
from bench.firewall import counted
print(json.dumps(counted()))
"""


def test_drops_are_as_small_as_c() -> None:
    if "clang-14" not in compilers():
        pytest.skip("clang-14 is not here: apt-get install clang-14 libbpf-dev")
    ran = subprocess.run([sys.executable, "-c", DROPS], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert {name for name, _, _ in found} == {"hash", "prefix"}
    assert all(ours <= theirs for _, ours, theirs in found), found
