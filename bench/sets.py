"""Sets of a million networks under traffic: swapped whole, and changed in place.

    sudo .venv/bin/python bench/sets.py [--quick] [--size N]

Each change is a process of its own, as `bpfwright net` is: it reads net.yaml and the set's file, makes the change live
and ends. `seconds` is the whole process, `until live` the change alone, `peak` its largest resident memory. Meanwhile a
peer sends from an address that is in no set, and from one that is in every set: each datagram of the first must arrive,
none of the second may. A tenth of the networks are of other lengths than 32, half of those IPv6.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bench import measuring
from bench.datapath import BAD, scene, told
from bpfwright.facets.firewall.facet import FACET

TOP = Path(__file__).resolve().parents[1]
SWAP_BAR_S, EDIT_BAR_S = 3.0, 0.2
CONFIG = """interfaces: [uplink]
firewall:
  sets:
    listed: {{file: {file}, room: 1000}}
  rules:
    - {{name: listed, match: {{source: '@listed'}}, action: drop}}
"""
CHANGER = """
import json, sys, time
began = time.perf_counter()
sys.path[:0] = {paths!r}
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.facet import Edit
from bpfwright.datapath.ledger import Ledger
from bpfwright.facets.firewall.facet import FACET
with Controller("", {{"firewall": FACET}}, ledger=Ledger({name!r}, state={state!r})) as controller:
    before = time.perf_counter()
    {change}
    print(json.dumps(time.perf_counter() - before))
"""


class Cost(NamedTuple):
    """A change by a process of its own: whole seconds, those until it was live, peak memory in MiB, CPU seconds."""

    seconds: float
    live_s: float
    peak_mib: float
    cpu_s: float


def set_file(folder: Path, name: str, size: int, seed: int) -> Path:
    """So many networks, no two of them neighbours, and the address that is in every set."""
    draw = random.Random(seed)
    others = size // 10
    lines = [str(IPv4Address(0x0A000000 + 4 * n + seed)) for n in range(size - others)]
    lines += [f"{IPv4Address(0x60000000 + (n << 9))}/{draw.choice((24, 25, 28))}" for n in range(others // 2)]
    lines += [f"{IPv6Address((0x2001_0DB8 << 96) + (n << 64))}/{draw.choice((64, 72, 128))}"
              for n in range(others - others // 2)]
    draw.shuffle(lines)
    path = folder / name
    path.write_text("\n".join([*lines, BAD, ""]))
    return path


def changed(controller: Any, change: str) -> Cost:
    ledger = controller.ledger
    script = CHANGER.format(paths=[str(TOP / "src")], name=ledger.name, state=os.path.dirname(ledger.state),
                            change=change)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"a change failed: {process.returncode}")
    return Cost(time.perf_counter() - began, json.loads(said), usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=int, default=0)
    chosen = parser.parse_args()
    size, times = chosen.size or (20_000 if chosen.quick else 1_000_000), 2 if chosen.quick else 6
    print(f"{measuring.machine()}; a set of {size:,} networks\n")
    with tempfile.TemporaryDirectory() as name, scene() as (controller, traffic):
        controller.facets = {"firewall": FACET}
        files = [set_file(Path(name), f"set{seed}.txt", size, seed) for seed in range(2)]
        swaps = [f"controller.apply({CONFIG.format(file=file)!r}, {str(file)!r})" for file in files]
        changed(controller, swaps[0])
        with traffic.flowing() as tally:
            swapped = [changed(controller, swaps[number % 2]) for number in range(1, times + 1)]
            edits = [f"controller.edit('firewall', Edit('listed', add=('{network}',)))"
                     for network in ("203.0.113.7", "2001:db8:ffff::/48", "198.51.100.0/24", "64.0.0.0/3")]
            edited = [changed(controller, edit) for edit in edits]
            edited += [changed(controller, edit.replace("add=", "remove=")) for edit in edits]
        rows = [(kind, statistics.median(each.seconds for each in costs), max(each.live_s for each in costs),
                 statistics.median(each.cpu_s for each in costs), max(each.peak_mib for each in costs))
                for kind, costs in (("swapped", swapped), ("one network in place", edited))]
        print(measuring.table(("a million" if size == 1_000_000 else f"{size:,}", "seconds, median", "until live, most",
                               "CPU s", "peak MiB"), rows))
        print(f"\n{'under traffic':<18}{'times':>7}{'ms each':>11}{'good sent':>12}{'lost':>7}{'bad sent':>12}"
              f"{'unfiltered':>12}")
        whole = told("sets", len(swapped) + len(edited), sum(each.seconds for each in (*swapped, *edited)), tally[0])
    worst = max(each.live_s for each in swapped)
    print(f"\na swap until it is live, the slowest: {worst:.2f} s (bar {SWAP_BAR_S:.0f} s: "
          f"{measuring.verdict(worst <= SWAP_BAR_S)})")
    edit = statistics.median(each.live_s for each in edited)
    print(f"a change of one network, until it is live and noted, NumPy's import with it: {edit:.3f} s "
          f"(bar {EDIT_BAR_S} s: {measuring.verdict(edit <= EDIT_BAR_S)})")
    return 0 if whole and worst <= SWAP_BAR_S else 1


if __name__ == "__main__":
    sys.exit(main())
