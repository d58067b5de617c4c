"""A wire between two namespaces, and a data path of the toy facet that leaves nothing behind."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger

from .toy import Toy
from .wire import Wire, wired


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wired() as made:
        yield made


@pytest.fixture
def controller(tmp_path: Path, wire: Wire) -> Iterator[Controller]:
    ledger = Ledger(f"test-{os.getpid()}", state=str(tmp_path))
    with Controller("", {"toy": Toy()}, ledger=ledger) as made:
        try:
            yield made
        finally:
            if ledger.exists:
                made.remove()
            assert not os.path.exists(ledger.pins)
