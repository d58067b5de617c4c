"""The machine."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from bpfwright.kernel import Kernel


@pytest.fixture(scope="module")
def machine() -> Iterator[Kernel]:
    with Kernel() as made:
        yield made
