"""What a first compilation and a first look at the kernel's types leave open is no leak of a tool."""
from __future__ import annotations

import pytest

from bpfwright import _llvm


@pytest.fixture(scope="session", autouse=True)
def _compiler() -> None:
    _llvm.start()
