#!/usr/bin/env python3
"""All that `./dev test` runs, on two CPUs: what needs no kernel beside the lab, whose guests keep a CPU busy each; then
the tests of the kernel, alone. The last line is the sum of all tests.

    scripts/run_all.py --profile ci 6.1 6.12        other kernels, as `python -m vmtest` takes them
"""
from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

TOP = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# pytest's closing line: "== 3 failed, 5 passed, 2 deselected in 7.81s (0:00:07) =="
CLOSING = re.compile(r"^=* ?(?:\d+ [a-z]+(?:, )?)+ in [\d.]+s(?: \([\d:]+\))? ?=*$")
COUNT = re.compile(r"(\d+) (failed|passed|skipped|xfailed|xpassed|error|warning)s?\b")
GUESTS = max(1, min(2, (os.cpu_count() or 1) - 1))  # each keeps a CPU busy, and so do the tests beside them
ORDER = ("failed", "passed", "skipped", "xfailed", "xpassed", "warning", "error")


class Ended(NamedTuple):
    """How a step ended, and what its tests counted."""

    name: str
    status: int
    counts: Counter[str]


def say(text: str) -> None:
    print(f"dev: {text}", file=sys.stderr, flush=True)


def counts_of(line: str) -> Counter[str]:
    """What a closing line of pytest counts; empty for any other line."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", line).strip()
    return Counter({word: int(number) for number, word in COUNT.findall(plain)}) if CLOSING.match(plain) else Counter()


def told(name: str, command: Sequence[str]) -> Ended:
    """Run a step whose output is shown as it comes."""
    say(name)
    counts: Counter[str] = Counter()
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          errors="replace") as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                counts = counts_of(line) or counts
        except BaseException:
            process.terminate()
            raise
    return _ended(name, process.returncode, counts)


def _ended(name: str, status: int, counts: Counter[str]) -> Ended:
    if status:
        say(f"FAILED: {name}")
    return Ended(name, status, counts)


class Beside:
    """A step that runs while others do; its output is shown when it is waited for."""

    def __init__(self, name: str, command: Sequence[str], log: IO[str]) -> None:
        say(f"{name} (beside what follows)")
        self.name, self.log = name, log
        self.process = subprocess.Popen(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self) -> Ended:
        status = self.process.wait()
        say(self.name)
        self.log.seek(0)
        for line in self.log:
            print(line, end="", flush=True)
        return _ended(self.name, status, Counter())


@contextmanager
def beside(name: str, command: Sequence[str]) -> Iterator[Beside]:
    """Whatever happens, it is over at the end."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        step = Beside(name, command, log)
        try:
            yield step
        finally:
            if step.process.poll() is None:
                step.process.send_signal(signal.SIGINT)  # so that its guests end with it
                step.process.wait()


def everything(kernels: Sequence[str], profile: str) -> list[Ended]:
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--hypothesis-profile={profile}"]
    guests = [sys.executable, "-m", "vmtest", "--at-once", str(GUESTS), *kernels]
    with beside(f"other kernels: {' '.join(kernels)}", guests) as lab:
        ended = [told("checks", ["scripts/check"]),
                 told("documentation", [str(BIN / "mkdocs"), "build", "--strict", "--quiet"]),
                 told("tests that need no kernel", [*pytest, "-m", "not kernel"]),
                 lab.wait()]
    return [*ended, told("tests that need the kernel", [*pytest, "-m", "kernel"])]


def closing(ended: Sequence[Ended], seconds: float) -> str:
    """The sum of all tests, as pytest writes it; a step that failed without one that says so is an error."""
    total = sum((each.counts for each in ended), Counter[str]())
    total["error"] += sum(bool(each.status) and not (each.counts["failed"] or each.counts["error"]) for each in ended)
    parts = [f"{total[word]} {word}{'s' * (word in ('warning', 'error') and total[word] > 1)}"
             for word in ORDER if total[word]] or ["no tests ran"]
    whole = int(seconds)
    text = f" {', '.join(parts)} in {seconds:.2f}s ({whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}) "
    return text.center(100, "=")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="ci", help="how much is drawn by chance: ci or full")
    chosen, kernels = parser.parse_known_args(words)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: the lab is ended by it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    ended = everything(kernels, chosen.profile)
    failed = [each.name for each in ended if each.status]
    if failed:
        say(f"failed: {', '.join(failed)}")
    print(closing(ended, time.monotonic() - began), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
