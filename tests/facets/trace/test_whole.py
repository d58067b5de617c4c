"""Whole programs by chance: what the checker takes, LLVM and the verifier take; what it refuses, it says."""
from __future__ import annotations

import os
from random import Random

import pytest

from bpfwright.errors import CompileError, VerifierError
from bpfwright.facets.trace.options import Options
from bpfwright.facets.trace.scripts import compiled
from bpfwright.kernel import Kernel
from tests.facets.trace.whole import program

_HERE = int(os.environ.get("BPFWRIGHT_WHOLE_PROGRAMS", "60"))
_KERNELS_OWN = "verifier bug"
"""What a kernel's verifier says of itself: 6.18's does, of some loops in loops."""


@pytest.mark.kernel
@pytest.mark.parametrize("seed", range(3))
def test_what_is_taken_loads(seed: int) -> None:
    random = Random(seed)
    loaded = 0
    with Kernel() as machine:
        for _ in range(_HERE // 3):
            source = program(random)
            try:
                made = compiled(source, "", Options(unsafe=True), machine, cached=False)
            except CompileError as refused:
                assert str(refused) and "LLVM" not in str(refused), source
                continue
            try:
                machine.load(made.object).close()
            except VerifierError as rejected:
                assert _KERNELS_OWN in rejected.log, f"{source}\n{rejected}"
            loaded += 1
    assert loaded >= _HERE // 6
