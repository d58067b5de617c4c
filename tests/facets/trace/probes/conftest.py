"""The machine, and programs that are traced."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright.kernel import Kernel
from tests.facets.trace.probes import programs


@pytest.fixture(scope="module")
def machine() -> Iterator[Kernel]:
    with Kernel() as made:
        yield made


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with static tracepoints."""
    return programs.built(programs.NOTES, tmp_path_factory.mktemp("notes") / "notes")


@pytest.fixture(scope="session")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with DWARF."""
    return programs.built(programs.TYPED, tmp_path_factory.mktemp("typed") / "typed")
