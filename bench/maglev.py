"""Maglev rings: what filling one costs, how evenly it is shared, and what moves when a backend leaves.

    .venv/bin/python bench/maglev.py [--quick] [--rounds N]

CPU time of this process, the least of so many rounds; NumPy is imported before. LLVM is not imported at all.
"""
from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring

COUNTS = (2, 10, 50, 200, 1000, 5000)
BAR_MS, EVEN_BAR, MOVED_BAR = 50.0, 0.01, 0.01


def main() -> int:
    import numpy as np

    from bpfwright.facets.balancer.ring import SIZE, Endpoint, moved, ring
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round")
    chosen = parser.parse_args()
    rounds = 1 if chosen.quick else chosen.rounds
    random = Random(1)
    rows: list[list[object]] = []
    verdicts: list[str] = []
    for count in COUNTS:
        endpoints = [Endpoint(at + 1, random.getrandbits(64)) for at in range(count)]
        times = []
        for _ in range(rounds):
            began = time.process_time()
            full = ring(endpoints)
            times.append(1e3 * (time.process_time() - began))
        shares = np.bincount(full, minlength=count + 1)[1:]
        uneven = float(shares.max() / (SIZE / count) - 1)
        without = ring(endpoints[1:])
        beyond = (moved(full, without) - int(shares[0])) / SIZE
        rows.append([f"{count:,} backends", min(times), f"{uneven:.2%}", f"{beyond:.2%}"])
        if count == 1000:
            verdicts = [f"{what}: {shown} (bar {bar}: {measuring.verdict(met)})" for what, shown, bar, met in (
                ("1,000 backends, filled", f"{min(times):.0f} ms", f"{BAR_MS:.0f} ms", min(times) <= BAR_MS),
                ("the largest share above the mean", f"{uneven:.2%}", f"{EVEN_BAR:.0%}", uneven <= EVEN_BAR),
                ("moved beyond the necessary", f"{beyond:.2%}", f"{MOVED_BAR:.0%}", beyond <= MOVED_BAR))]
    table = measuring.table(['65,537 places', 'CPU ms', 'max/mean - 1', 'moved beyond'], rows)
    print(f"{measuring.machine()}\n\n{table}\n")
    print("\n".join([*verdicts, f"LLVM imported: {'yes' if 'llvmlite' in sys.modules else 'no'}"]))
    return int(any("MISSED" in line for line in verdicts))


if __name__ == "__main__":
    sys.exit(main())
