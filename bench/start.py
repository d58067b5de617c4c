"""How long commands take to start, whole process, over bare Python: `import bpfwright`, and each lazy verb.

    .venv/bin/python bench/start.py [--rounds N]

Contestants take turns within a round; bare Python runs twice a round, and the difference of the two is the A/A spread.
Bars: importing at most 25 ms over bare Python, a verb at most 45 ms.
"""
from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
BARS = {"import bpfwright": 25.0}
VERB_BAR = 45.0


def contestants() -> dict[str, list[str]]:
    from bpfwright.cli import VERBS
    found = {"bare Python": ["-c", "pass"], "bare Python again": ["-c", "pass"],
             "import bpfwright": ["-c", "import bpfwright"]}
    return found | {f"bpfwright {verb} --help": ["-m", "bpfwright.cli", verb, "--help"] for verb in VERBS}


def once(words: list[str]) -> tuple[float, float]:
    """(wall ms, peak MiB) of one process."""
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it would make every start compile again
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = (time.perf_counter() - started) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed with {process.returncode}")
    return elapsed, usage.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    table = contestants()
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in table}
    for words in table.values():
        once(words)  # writes bytecode
    for _ in range(rounds):
        for name, words in table.items():
            results[name].append(once(words))
    bare = min(wall for wall, _ in results["bare Python"])
    print(f"{'':26}{'best ms':>9}{'median':>9}{'over bare':>11}{'bar':>7}{'MiB':>7}")
    missed = 0
    for name, runs in results.items():
        best, median = min(wall for wall, _ in runs), statistics.median(wall for wall, _ in runs)
        bar = BARS.get(name, VERB_BAR if name.startswith("bpfwright") else 0.0)
        missed += bool(bar) and best - bare > bar
        print(f"{name:26}{best:9.1f}{median:9.1f}{best - bare:11.1f}{bar or '':>7}{max(mib for _, mib in runs):7.1f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
