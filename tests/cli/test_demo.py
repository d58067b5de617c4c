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

from bpfwright.kernel import listing
from tests.cli.commands import command, start

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


def test_without_privilege_it_says_three_lines_with_the_line_to_type() -> None:
    code, out, err = command("demo", privileged=False)
    lines = err.splitlines()
    assert (code, out, len(lines)) == (3, "", 3)
    assert "CAP_NET_ADMIN and CAP_SYS_ADMIN" in lines[1]
    assert re.fullmatch(rf"Type: sudo ({re.escape(sys.executable)} -m bpfwright\.cli|\S+) demo", lines[2])


@pytest.mark.kernel
def test_after_an_interrupt_nothing_is_left(demo: Demo) -> None:
    assert len(demo.children) == 3 and len(demo.programs) == 8
    demo.process.send_signal(signal.SIGINT)
    out, err = demo.process.communicate(timeout=20)
    assert demo.process.returncode == 0, err
    assert "stopped" in out and "events lost" in out
    assert demo.left() == []


@pytest.mark.kernel
def test_killed_it_leaves_nothing(demo: Demo) -> None:
    demo.process.kill()
    demo.process.wait()
    assert demo.left() == []
