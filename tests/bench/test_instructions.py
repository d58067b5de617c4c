"""The instruction bars: what the compiler makes of programs against C, and that both do the same."""
from __future__ import annotations

import pytest

from bench.code_quality import MEAN_BAR, WORST_BAR, compilers, report
from bench.workloads import WORK

pytestmark = pytest.mark.kernel


def test_as_small_as_c_and_the_same_program() -> None:
    if not compilers():
        pytest.skip("no C compiler for BPF is here: apt-get install clang-14 libbpf-dev, or pip install ziglang")
    text, mean, worst = report(list(WORK), 0)
    assert "NOT THE SAME PROGRAM" not in text, text
    assert mean <= MEAN_BAR and worst <= WORST_BAR, text
