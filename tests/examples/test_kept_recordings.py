"""Recordings of every example, kept in the tree: replayed anywhere, without a kernel and without privilege."""
from __future__ import annotations

from pathlib import Path

import pytest

from bpfwright.formats.recording import Recording
from tests.cli.commands import TOP, as_nobody
from tests.examples.stage import EXAMPLES

KEPT = TOP / "tests" / "data" / "recordings"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_there_is_one_of_each() -> None:
    assert sorted(path.stem for path in KEPT.glob("*.rec")) == NAMES
    for name in NAMES:
        data = (KEPT / f"{name}.rec").read_bytes()
        recording = Recording.parse(data)
        assert len(data) < 16_384
        assert recording.runs and not recording.lost
        assert Recording.parse(recording.to_bytes()).runs == recording.runs
        everything = b"".join([repr(recording.notes).encode(), repr(recording.facts).encode(),
                               *(entry.data for run in recording.runs for entry in run.entries)])
        assert b"/root/" not in everything and b"/home/" not in everything, name


@pytest.mark.userspace
@pytest.mark.parametrize("name", NAMES)
def test_it_prints_what_was_printed_live(name: str, tmp_path: Path) -> None:
    """The compiler may have become another one since: --changed."""
    home = tmp_path / "home"
    words = ["--", "left", str(home / "out.pcap"), "2"] if name == "packet_capture" else []
    done = as_nobody("run", "--replay", str(KEPT / f"{name}.rec"), "--changed", str(EXAMPLES / f"{name}.py"), *words,
                     home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (KEPT / f"{name}.txt").read_text()
    assert "without a kernel" in done.stderr
    if words:
        assert (home / "out.pcap").read_bytes() == (KEPT / "packet_capture.pcap").read_bytes()
