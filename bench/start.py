"""How long `import bpfwright` and each command take to start, whole process, over bare Python.

    .venv/bin/python bench/start.py [--quick] [--rounds N]

Contestants take turns within a round; bare Python runs twice a round, and the difference of the two is the A/A spread.
Over bare is best over best: what others do to this machine only ever adds.
"""
from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bench.measuring import Whole

BARE = "bare Python"
IMPORT_BAR, VERB_BAR = 25.0, 45.0  # ms over bare Python


def contestants() -> dict[str, tuple[list[str], float]]:
    """Arguments of Python, and the bar (0: none), by name."""
    from bpfwright.cli import VERBS
    command = ["-m", "bpfwright.cli"]
    found = {BARE: (["-c", "pass"], 0.0), f"{BARE}, again": (["-c", "pass"], 0.0),
             "import bpfwright": (["-c", "import bpfwright"], IMPORT_BAR),
             "bpfwright --version": ([*command, "--version"], VERB_BAR)}
    return found | {f"bpfwright {verb} --help": ([*command, verb, "--help"], VERB_BAR) for verb in VERBS}


def report(rounds: int) -> tuple[str, bool]:
    """The table, and whether the bars are met."""
    table = contestants()
    found: dict[str, list[Whole]] = {name: [] for name in table}
    python = measuring.bare_python()
    for words, _ in table.values():
        measuring.process([python, *words])  # writes bytecode
    for _ in range(rounds):
        for name, (words, _) in table.items():
            found[name].append(measuring.process([python, *words]))
    best = {name: min(run.wall_ms for run in runs) for name, runs in found.items()}
    rows: list[list[object]] = []
    met = True
    for name, (_, bar) in table.items():
        over = best[name] - min(best[BARE], best[f"{BARE}, again"])
        met &= not bar or over <= bar
        rows.append([name, best[name], statistics.median(run.wall_ms for run in found[name]), over, bar or "",
                     measuring.verdict(over <= bar) if bar else ""])
    return measuring.table(["starting", "best ms", "median ms", "over bare ms", "bar", ""], rows), met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    text, met = report(3 if chosen.quick else chosen.rounds)
    print(text)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
