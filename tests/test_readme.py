"""The README tells the truth: its program runs, its commands exist, its first screen is short."""
from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from bpfwright.cli import VERBS
from tests.cli.commands import start

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()
PROGRAM = README.partition("```python\n")[2].partition("```")[0]


def test_the_first_program_is_short() -> None:
    assert 5 < len([line for line in PROGRAM.splitlines() if line.strip()]) <= 12


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"`bpfwright ([\w-]+)", README))
    assert named and named <= set(VERBS)
    assert set(re.findall(r"^    \./dev (\w+)", README, re.MULTILINE)) <= set(
        re.findall(r"^(\w+)\)", (TOP / "dev").read_text(), re.MULTILINE))


def test_every_example_is_listed_and_every_link_leads_somewhere() -> None:
    links = set(re.findall(r"\]\(([\w./-]+)\)", README))
    assert {f"examples/{path.name}" for path in (TOP / "examples").glob("*.py")} <= links
    assert all((TOP / link).exists() for link in links)


@pytest.mark.kernel
def test_the_first_program_runs(tmp_path: Path) -> None:
    (tmp_path / "exits.py").write_text(PROGRAM)
    running = start("run", str(tmp_path / "exits.py"))
    assert running.stdout is not None and running.stderr is not None
    with running:
        try:
            assert running.stderr.readline() == "bpfwright: attached exits; Ctrl-C detaches\n"
            child = os.spawnvp(os.P_NOWAIT, "true", ["true"])
            os.waitpid(child, 0)
            assert running.stdout.readline().split() == ["PID", "COMM"]
            while (line := running.stdout.readline()).split() != [str(child), "true"]:
                assert line, running.stderr.read()
            running.send_signal(signal.SIGINT)
            assert running.wait(10) == 0
            assert re.fullmatch(r"bpfwright: \d+ events, 0 lost\n", running.stderr.read())
        finally:
            running.kill()
