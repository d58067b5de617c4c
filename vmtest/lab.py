"""Builds the cases here, runs them in guests, one boot a kernel; one that dies boots again without its killer."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from vmtest import boot, kernels
from vmtest.protocol import Case, Result

__all__ = ["KernelRun", "build_cases", "run_host", "run_kernel", "run_suite"]

TOP = Path(__file__).parent.parent
BOOTS = 3          # a guest that dies before its first test gets these many tries: emulated CPUs fail now and then
CASE_TIMEOUT_S = 400  # emulated, and beside other work
HANDED_ON = ("HOME", "LANG", "TERM", "CI")


class KernelRun(NamedTuple):
    """All results of one kernel."""

    series: str
    release: str
    results: list[Result]
    seconds: float


class _Progress:
    """Reads the guest's lines; knows which test is running."""

    def __init__(self, report: Callable[[Result], None]) -> None:
        self.report = report
        self.results: list[Result] = []
        self.running: str | None = None
        self.began = time.monotonic()
        self.noise: list[str] = []

    def line(self, text: str) -> None:
        try:
            message = json.loads(text)
            if "start" in message:
                self.running, self.began = message["start"], time.monotonic()
                return
            self.finish(Result(**message))
        except (ValueError, TypeError):
            self.noise.append(text)  # a test that prints is no protocol error

    def finish(self, result: Result) -> None:
        self.results.append(result)
        self.running = None
        self.report(result)


def build_cases(cases: Iterable[Case], folder: Path) -> list[Result]:
    """Write what each case's `build` makes to FOLDER/NAME; the results are those that did not build."""
    broken = []
    for case in cases:
        started = time.monotonic()
        try:
            files = case.module.build()
        except Exception:
            broken.append(Result(case.name, "failed", round(time.monotonic() - started, 3), traceback.format_exc()))
            continue
        (folder / case.name).mkdir(parents=True)
        for name, data in files.items():
            (folder / case.name / name).write_bytes(data)
    return broken


def run_kernel(kernel: kernels.KernelImage, cases: list[Case], folder: Path, report: Callable[[Result], None],
               *, timeout_s: float = 600.0) -> KernelRun:
    """Every case in one boot of `kernel`, with `report` called as each ends."""
    started = time.monotonic()
    progress = _Progress(report)
    deaths = 0
    while todo := [case.name for case in cases if case.name not in {done.case for done in progress.results}]:
        seen = len(progress.results)
        outcome = _one_boot(kernel, todo, folder, progress, timeout_s - (time.monotonic() - started))
        if progress.running:
            why = "the guest ran out of time" if outcome.timed_out else "the guest died"
            seconds = round(time.monotonic() - progress.began, 3)
            progress.finish(Result(progress.running, "died", seconds, f"{why}\n{outcome.console}\n{outcome.stderr}"))
        elif outcome.status != 0 or len(progress.results) == seen:
            deaths += 1
            print(f"vmtest: {kernel.series}: the guest did not come up (try {deaths})", file=sys.stderr)
            # A guest that came up and failed by itself would do so again.
            if deaths == BOOTS or outcome.timed_out or outcome.status is not None:
                tail = f"\n{outcome.console}\n{outcome.stderr}"
                for name in todo[len(progress.results) - seen:]:
                    progress.finish(Result(name, "died", 0.0, f"the guest did not run its tests{tail}"))
                    tail = " (see above)"
    return KernelRun(kernel.series, kernel.release, progress.results, time.monotonic() - started)


def run_host(cases: list[Case], folder: Path, report: Callable[[Result], None], *, timeout_s: float = 600.0,
             ) -> KernelRun:
    """The same cases on this machine's own kernel, in a process of their own."""
    started = time.monotonic()
    progress = _Progress(report)
    command = _command(folder, [case.name for case in cases])
    done = subprocess.run(command, cwd=TOP, env={**os.environ, **_environment()}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=timeout_s, check=False)
    for text in done.stdout.splitlines():
        progress.line(text)
    if progress.running:
        progress.finish(Result(progress.running, "died", 0.0, f"exit status {done.returncode}"))
    return KernelRun("host", os.uname().release, progress.results, time.monotonic() - started)


def run_suite(kernel: kernels.KernelImage, rooms: Iterable[str], *, timeout_s: float = 900.0) -> bool:
    """The kernel tests of `rooms`, which need no compiler, by pytest in one boot; prints what it prints."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "kernel", "-p", "no:cacheprovider", "--tb=short", "--lab",
               "--timeout=0", *rooms]
    outcome = boot.run(kernel, command, folder=str(TOP), environment=_environment(), timeout_s=timeout_s, on_line=print)
    if outcome.status is None:
        print(f"vmtest: {kernel.series}: {'ran out of time' if outcome.timed_out else 'the guest died'}\n"
              f"{outcome.console}\n{outcome.stderr}")
    return outcome.status == 0


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    return kept | {"PYTHONPATH": f"{TOP}/src:{TOP}", "PYTHONUNBUFFERED": "1"}


def _command(folder: Path, names: list[str]) -> list[str]:
    return [sys.executable, "-m", "vmtest.guest", str(folder), str(CASE_TIMEOUT_S), *names]


def _one_boot(kernel: kernels.KernelImage, names: list[str], folder: Path, progress: _Progress,
              timeout_s: float) -> boot.Outcome:
    return boot.run(kernel, _command(folder, names), folder=str(TOP), environment=_environment(),
                    timeout_s=max(timeout_s, 1.0), on_line=progress.line)
