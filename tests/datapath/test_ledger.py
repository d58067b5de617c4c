"""The lock of a data path: one process at a time, though the file goes when nothing is left."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bpfwright.datapath.ledger import Ledger

WORKER = """
import os, random, sys
from bpfwright.datapath.ledger import Ledger
folder, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
ledger = Ledger("one", state=folder + "/state", pins=folder + "/pins")
for _ in range(400):
    with ledger.locked():
        os.close(os.open(folder + "/inside", os.O_CREAT | os.O_EXCL))  # nobody else is
        if chance.random() < 0.5:
            ledger.make()
        else:
            ledger.remove()
        os.unlink(folder + "/inside")
"""


def test_nobody_else_is_inside_while_others_remove_it(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(seed)],
                                stderr=subprocess.PIPE, text=True) for seed in range(4)]
    for worker in workers:
        said = worker.communicate(timeout=60)[1]
        assert worker.returncode == 0, said
    ledger = Ledger("one", state=str(tmp_path / "state"), pins=str(tmp_path / "pins"))
    with ledger.locked():
        ledger.make()
    assert sorted(os.listdir(tmp_path / "state")) == ["one", "one.lock"]
    with ledger.locked():
        ledger.remove()
    assert os.listdir(tmp_path / "state") == [] and os.listdir(tmp_path / "pins") == []


def test_a_data_path_that_is_not_there_leaves_no_lock(tmp_path: Path) -> None:
    ledger = Ledger("none", state=str(tmp_path / "state"), pins=str(tmp_path / "pins"))
    with ledger.locked():
        assert not ledger.exists
    assert os.listdir(tmp_path / "state") == []
