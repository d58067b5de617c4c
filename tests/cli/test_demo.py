"""The demo: it shows what it promises, and leaves nothing behind, however it ends."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bpfwright.cli.demo.without import RECORDING
from bpfwright.formats.recording import Recording
from bpfwright.kernel import listing
from tests.cli.commands import as_nobody, command, start

PROGRAMS = {"firewall", "opening", "opened", "connecting", "connected", "changed", "write_started", "write_ended"}


class Demo(NamedTuple):
    """A running demo, with the processes that it started and the numbers of the programs that it loaded."""

    process: subprocess.Popen[str]
    children: set[str]
    programs: set[int]

    def left(self) -> list[str]:
        """What is still there of it, once the kernel has had time to clean up."""
        end = time.monotonic() + 10
        while True:
            found = [f"process {pid}" for pid in self.children if os.path.exists(f"/proc/{pid}/cmdline")]
            found += [f"program {info.name}" for info in listing.programs() if info.id in self.programs]
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.1)


@pytest.fixture
def demo() -> Iterator[Demo]:
    """One that is a second old."""
    running = start("demo", "--seconds", "60")
    pid = running.pid
    assert running.stdout is not None
    with running:
        try:
            for line in running.stdout:
                if re.match(r" +1 s   passed", line):
                    break
            yield Demo(running, set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()), {
                number for (kind, number), holders in listing.holders().items()
                if kind == "prog" and any(holder.pid == pid for holder in holders)})
        finally:
            running.kill()


@pytest.mark.kernel
def test_it_shows_programs_at_work() -> None:
    code, out, err = command("demo", "--seconds", "3")
    assert code == 0, err
    assert "8 kernel programs written in Python" in out and "XDP of server (native)" in out
    numbers = {name.strip(): int(value.replace(",", "")) for name, value in re.findall(
        r"^(packets passed|packets dropped|files|connections|TCP states|events lost) +([\d,]+)", out, re.MULTILINE)}
    assert numbers.pop("events lost") == 0
    assert len(numbers) == 5 and min(numbers.values()) > 0, out
    assert re.search(r"^ +[\d.]+ [um]?s \.\. ", out, re.MULTILINE), "no histogram"
    costs = {name: (int(runs.replace(",", "")), float(cost)) for name, runs, cost in re.findall(
        r"^(\w+) +([\d,]+) +([\d.]+)$", out, re.MULTILINE)}
    assert set(costs) == PROGRAMS
    assert all(runs > 0 and cost > 0 for runs, cost in costs.values())


@pytest.mark.userspace
def test_without_privilege_its_programs_run_here(tmp_path: Path) -> None:
    done = as_nobody("demo", home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first == ("This process lacks CAP_NET_ADMIN and CAP_SYS_ADMIN, so nothing is loaded into a kernel: what "
                     "follows ran without one.")
    recording = Recording.open(RECORDING)
    assert f"on {len(recording.runs_of('opened')):,} of its runs in this demo, recorded on Linux 6." in done.stdout
    assert {program.name for program in recording.programs} == PROGRAMS - {"firewall"} and not recording.lost
    seconds = len(re.findall(r"^ +\d+ s   passed", done.stdout, re.MULTILINE))
    assert seconds >= 5
    numbers = {name: int(number.replace(",", "")) for name, number in re.findall(
        r"^(packets passed|packets dropped|files|connections|TCP states|events lost) +([\d,]+)", done.stdout,
        re.MULTILINE)}
    assert (numbers["packets passed"], numbers["packets dropped"]) == (240 * seconds, 40 * seconds)
    assert numbers["events lost"] == 0 and min(numbers[n] for n in ("files", "connections", "TCP states")) > 10
    ran = {name: int(runs.replace(",", "")) for name, runs in re.findall(r"^(\w+) +([\d,]+) +\d+$", done.stdout,
                                                                        re.MULTILINE)}
    assert ran.keys() == PROGRAMS and sum(ran.values()) - ran["firewall"] == len(recording.runs)
    assert re.search(r"Without the kernel: \d+ s of traffic and events", done.stdout)
    assert re.search(rf"sudo ({re.escape(sys.executable)} -m bpfwright\.cli|\S+) demo", done.stderr)


def test_a_short_one_is_short(tmp_path: Path) -> None:
    done = as_nobody("demo", "--seconds", "2", home=tmp_path / "home")
    assert done.returncode == 0 and "  2 s   passed" in done.stdout and "  3 s   passed" not in done.stdout


@pytest.mark.kernel
def test_after_an_interrupt_nothing_is_left(demo: Demo) -> None:
    assert len(demo.children) == 3 and len(demo.programs) == 8
    demo.process.send_signal(signal.SIGINT)
    out, err = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0, err
    assert "stopped" in out and "events lost" in out
    assert demo.left() == []


@pytest.mark.kernel
def test_killed_it_leaves_nothing(demo: Demo) -> None:
    demo.process.kill()
    demo.process.wait()
    assert demo.left() == []
