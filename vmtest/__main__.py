"""`python -m vmtest [KERNEL...]`: the hook tests on stock kernels, a line a test, and an exit status."""
from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vmtest import kernels, lab, report
from vmtest.protocol import Case, Result, case, case_names

__all__ = ["main"]

# Rooms whose kernel tests need no LLVM, which takes seconds to start in a guest.
SUITE = ("tests/kernel", "tests/events")


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev vmtest", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL",
                        help=f"of {' '.join(kernels.SERIES)} host (none: all but host)")
    parser.add_argument("-k", dest="match", default="", help="only cases with this in their name")
    parser.add_argument("--update", action="store_true", help="look for newer kernels")
    parser.add_argument("--timeout", type=float, default=1500.0, help="seconds for each kernel (1500)")
    parser.add_argument("--at-once", type=int, default=1, metavar="N",
                        help="so many guests beside one another; each keeps one CPU busy (1)")
    parser.add_argument("--suite", action="store_true", help="run the kernel tests of tests/ too")
    parser.add_argument("--record", action="store_true", help="keep the results for the README's table")
    chosen = parser.parse_args(words)
    unknown = [name for name in chosen.kernels if name not in (*kernels.SERIES, "host")]
    if unknown:
        parser.error(f"no kernel {unknown[0]}: there are {' '.join(kernels.SERIES)} and host")
    if chosen.record and chosen.match:
        parser.error("--record keeps all results of a kernel: leave -k out")
    chosen.kernels = chosen.kernels or list(kernels.SERIES)
    return chosen


def main(words: list[str] | None = None) -> int:
    chosen = _arguments(words)
    cases = [case(name) for name in case_names() if chosen.match in name]
    if not cases:
        print(f"vmtest: no case has {chosen.match!r} in its name: there are {' '.join(case_names())}", file=sys.stderr)
        return 2
    try:
        return _run(chosen, cases)
    except kernels.LabError as problem:
        print(f"vmtest: {problem}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace, cases: list[Case]) -> int:
    with tempfile.TemporaryDirectory(prefix="cases.", dir=kernels.cache_folder()) as scratch:
        broken = lab.build_cases(cases, Path(scratch))
        for result in broken:
            print(report.line("build", frozenset(("ok",)), result), flush=True)
        unbuilt = {result.case for result in broken}
        runnable = [each for each in cases if each.name not in unbuilt]
        counts = _run_all(chosen, runnable, Path(scratch)) if runnable else []
    good = sum(count[0] for count in counts)
    bad = sum(count[1] for count in counts) + len(broken)
    print(f"vmtest: {good} passed, {bad} failed", flush=True)
    return 1 if bad else 0


def _run_all(chosen: argparse.Namespace, cases: list[Case], folder: Path) -> list[tuple[int, int]]:
    """(passed, failed) of each kernel."""
    for series in chosen.kernels:  # one after the other: they share a folder of packages
        if series != "host":
            kernels.get(series, update=chosen.update)
    chosen.update = False
    with ThreadPoolExecutor(max_workers=max(1, chosen.at_once)) as guests:
        return list(guests.map(lambda series: _run_on(series, cases, folder, chosen), chosen.kernels))


def _run_on(series: str, cases: list[Case], folder: Path, chosen: argparse.Namespace) -> tuple[int, int]:
    """(passed, failed) of the cases on one kernel."""
    expected = {each.name: each.expected_on(series) for each in cases}

    def say(result: Result) -> None:
        print(report.line(series, expected[result.case], result), flush=True)

    if series == "host":
        run = lab.run_host(cases, folder, say, timeout_s=chosen.timeout)
    else:
        run = lab.run_kernel(kernels.get(series, update=chosen.update), cases, folder, say, timeout_s=chosen.timeout)
    print(f"vmtest: {run.release}: {len(run.results)} cases in {run.seconds:.1f} s", flush=True)
    if chosen.record and series != "host":
        report.record(series, run.release, run.results, cases)
    bad = sum(result.verdict not in expected[result.case] for result in run.results)
    good = len(run.results) - bad
    if chosen.suite and series != "host":
        passed = lab.run_suite(kernels.get(series), SUITE)
        print(f"vmtest: {run.release}: the kernel tests {'pass' if passed else 'FAIL'}", flush=True)
        good, bad = good + passed, bad + (not passed)
    return good, bad


if __name__ == "__main__":
    sys.exit(main())
