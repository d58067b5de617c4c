"""Each example once more, recorded at its work: replayed without a kernel, as nobody, it prints the same."""
from __future__ import annotations

import contextlib
import inspect
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright.formats.recording import Recording
from tests.cli.commands import as_nobody
from tests.examples import stage, test_examples
from tests.examples.stage import EXAMPLES, Running
from tests.examples.test_examples import NAMES, group, sleeping_often, wire

__all__ = ["group", "sleeping_often", "wire"]  # fixtures

LIVE = [name for name in NAMES if name != "lsm_file_guard"]


@pytest.mark.kernel
@pytest.mark.parametrize("name", LIVE)
def test_a_replay_prints_the_same(name: str, tmp_path: Path, request: pytest.FixtureRequest,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "live.rec"
    ran: list[Running] = []

    @contextlib.contextmanager
    def recorded(name: str, *words: str) -> Iterator[Running]:
        with stage.running(sys.executable, "-m", "bpfwright.cli", "run", "--record", str(kept),
                           str(EXAMPLES / f"{name}.py"), "--", *words) as example:
            ran.append(example)
            yield example
            if example.process.poll() is None:
                example.process.send_signal(signal.SIGINT)
                example.ended(0, 130)

    monkeypatch.setattr(test_examples, "script", recorded)
    monkeypatch.setattr(test_examples, "declared", recorded)
    test = getattr(test_examples, f"test_{name}")
    test(**{wanted: request.getfixturevalue(wanted) for wanted in inspect.signature(test).parameters})
    (example,) = ran

    folder = request.config.getoption("--keep-recordings")
    if folder:
        shutil.copyfile(kept, Path(folder) / f"{name}.rec")
        (Path(folder) / f"{name}.txt").write_text(example.heard)
        if name == "packet_capture":
            shutil.copyfile(tmp_path / "out.pcap", Path(folder) / f"{name}.pcap")

    recording = Recording.open(str(kept))
    assert recording.runs and recording.lost == 0
    output = tmp_path / "home" / "out.pcap"
    words = ["--", "left", str(output), "2"] if name == "packet_capture" else []
    if words:
        os.rename(tmp_path / "out.pcap", tmp_path / "live.pcap")
    done = as_nobody("run", "--replay", str(kept), str(EXAMPLES / f"{name}.py"), *words, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    # Runs of two CPUs at the same time are replayed one after another: their lines may change places.
    assert sorted(done.stdout.splitlines()) == sorted(example.heard.splitlines())
    mine = [[line for line in text.splitlines() if "cat" in line.split()] for text in (done.stdout, example.heard)]
    assert mine[0] == mine[1]
    replayed = re.search(r"replayed ([0-9,]+) runs", done.stderr)
    assert replayed is not None and 0 < int(replayed[1].replace(",", "")) <= len(recording.runs)
    if words:
        assert output.read_bytes() == (tmp_path / "live.pcap").read_bytes()
    else:
        assert done.stdout
