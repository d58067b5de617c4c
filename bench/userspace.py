"""The userspace machine from nothing to a first result, and a capture through a parser with a hash look-up.

    .venv/bin/python bench/userspace.py [--quick] [--rounds N]

First results are of a process of its own, timed from after `import` to the program's first value: interpreted, as
native code out of the cache, and as native code with LLVM started for it (an empty cache, but for the object and for
the code of its map's kind and of the loop over packets, made once an installation; the last row has that made too).
The capture is walked and run inside compiled code; its time is that of everything, from bytes to actions.
"""
from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bench.workloads import PACKETS

BARS = {"interpreter": 5.0, "cached native": 25.0, "cold JIT": 150.0}
AT_ALL = "cold JIT, the first with a hash at all"
CAPTURE_BAR = 5.0  # million packets a second
SCRIPT = """
import sys
from bench.programs.machines import hashed
from bench.workloads import PACKETS
from bpfwright import Userspace
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.target import Target
from bpfwright.objfile import read
from bpfwright.userspace import machine, verifier, native, jit
from bpfwright._host import now_ns
with Userspace(memory_bytes=1 << 20) as other:
    spec = read(compile_programs([hashed], Target("v3", other.target_features)).elf)
    if sys.argv[1] == "jit":
        if len(sys.argv) == 2:
            other.library().addresses(["hash_lookup", "xdp_lay_out"])
        from bpfwright import _llvm
        _llvm.stop()
packet = PACKETS["tcp"]
began = now_ns()
with Userspace(engine=sys.argv[1]) as here, here.load(spec) as loaded:
    value = loaded.programs["hashed"].test_run(packet).value
    print((now_ns() - began) / 1e6, value, sum(len(f.insns) // 8 for f in spec.functions))
"""


def first(engine: str, cache: str, *more: str) -> tuple[float, int]:
    """ms until the first value, in a process of its own; and how many instructions the program has."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "XDG_CACHE_HOME": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run([measuring.bare_python(), "-c", SCRIPT, engine, *more], env=environment, capture_output=True,
                          text=True, check=True)
    ms, _, size = done.stdout.split()
    return float(ms), int(size)


def first_results(rounds: int) -> tuple[str, bool]:
    found: dict[str, list[float]] = {name: [] for name in (*BARS, AT_ALL)}
    with tempfile.TemporaryDirectory() as folder:
        first("interpreter", folder)
        _, size = first("jit", folder)
        for _ in range(rounds):
            found["interpreter"].append(first("interpreter", folder)[0])
            found["cached native"].append(first("jit", folder)[0])
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as fresh:
                first("interpreter", fresh)
                found["cold JIT"].append(first("jit", fresh)[0])
            with tempfile.TemporaryDirectory() as fresh:
                first("interpreter", fresh)
                found[AT_ALL].append(first("jit", fresh, "at all")[0])
    rows: list[list[object]] = []
    met = True
    for name, runs in found.items():
        best, median = min(runs), statistics.median(runs)
        bar = BARS.get(name)
        met &= bar is None or median <= bar
        rows.append([name, median, best, bar or "", "" if bar is None else measuring.verdict(median <= bar)])
    return measuring.table([f"first result, {size} instructions", "ms", "best", "bar", ""], rows), met


def capture(packets: int) -> tuple[str, bool]:
    from bench.programs.machines import hashed, parser
    from bpfwright import Userspace, load
    from bpfwright.formats.pcap import write_capture
    from bpfwright.userspace.captures import drive
    names = ("tcp", "udp", "other source", "tcp6", "one tag", "options")
    data = write_capture([(i, PACKETS[names[i % len(names)]]) for i in range(packets)])
    rows: list[list[object]] = []
    met = True
    for program in (parser, hashed):
        for checks in ("auto", "always"):
            with Userspace(engine="jit", checks=checks) as machine, load(program, machine=machine) as session:
                loaded = session.loaded.programs[program.name]
                best = float("inf")
                for _ in range(3):
                    began = time.perf_counter()
                    done = drive(loaded, data)  # type: ignore[arg-type]
                    best = min(best, time.perf_counter() - began)
                rate = packets / best / 1e6
                if checks == "auto" and program is hashed:
                    met = rate >= CAPTURE_BAR
                rows.append([program.name, "checked" if checks == "always" else "verified", rate, done.ns / packets])
    text = measuring.table(["capture", "", "M packets/s in all", "ns a packet in the program"], rows)
    return f"{text}\n\nparser with hash look-up, verified (bar {CAPTURE_BAR:.0f} M/s: {measuring.verdict(met)})", met


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="three rounds, a short capture")
    options.add_argument("--rounds", type=int, default=9)
    chosen = options.parse_args()
    print(f"{measuring.machine()}\n")
    text, met = first_results(3 if chosen.quick else chosen.rounds)
    print(text, end="\n\n")
    more, enough = capture(100_000 if chosen.quick else 1_000_000)
    print(more)
    return int(not (met and enough))


if __name__ == "__main__":
    sys.exit(main())
