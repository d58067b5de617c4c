"""The same bytecode in the kernel's JIT and in the userspace machine's, verified (nothing checked) and checked.

    sudo .venv/bin/python bench/machines.py [--quick] [--loads N] [PROGRAM ...]

Every program is compiled once; the object is loaded in both machines and run by test runs on the same packet, the
machines taking turns. The floor, an empty program in the same machine, is subtracted. A figure is CPU time of this
thread for a run.
"""
from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bench.programs import machines as programs
from bench.workloads import PACKETS
from bpfwright import Kernel, Userspace
from bpfwright.lang.compile import compile_programs
from bpfwright.objfile import read
from bpfwright.session import target_of

VERIFIED_BAR, CHECKED_BAR = 1.10, 2.0
WAYS = ("kernel", "verified", "checked")
INPUT = {"parser": "tcp6 behind options"}
FILL: dict[str, dict[str, list[tuple[bytes, bytes]]]] = {
    "hashed": {"flows": [(bytes([192, 0, 2, i])[::-1] + bytes([198, 51, 100, 9])[::-1] + (6).to_bytes(4, "little"),
                          bytes(16)) for i in range(256)]},
    "longest": {"networks": [((8 * n).to_bytes(4, "little") + bytes([192, 0, 2, i])[:n].ljust(4, b"\0"), bytes(16))
                             for n in (2, 3, 4) for i in range(256)]},
    "compare": {"names": [(i.to_bytes(4, "little"), b"a name of some length, not less\0") for i in (0, 1)]},
}


def time_run(loaded: Any, name: str, packet: bytes, repeat: int) -> float:
    program = loaded.programs[name]
    program.test_run(packet, repeat=max(1, repeat // 20))
    began = time.thread_time_ns()
    program.test_run(packet, repeat=repeat)
    return (time.thread_time_ns() - began) / repeat


def load(way: str, kernel: Kernel, spec: Any, name: str) -> tuple[Any, Any]:
    """(the machine to close, the loaded object)."""
    machine: Any = kernel if way == "kernel" else Userspace(engine="jit", budget=1 << 40,
                                                             checks="always" if way == "checked" else "auto")
    loaded = machine.load(spec)
    for map_name, entries in FILL.get(name, {}).items():
        for key, value in entries:
            loaded.maps[map_name].update(key, value)
    if way == "verified" and not all(p.native() and p.verified for p in loaded.programs.values()):
        raise SystemExit(f"{name} is not verified")
    return machine, loaded


def report(chosen: list[str], loads: int, repeat: int) -> tuple[str, bool]:
    found: dict[str, dict[str, list[float]]] = {}
    with Kernel() as kernel:
        target = target_of(kernel)
        specs = {p.name: read(compile_programs([p], target).elf) for p in (*programs.PROGRAMS, programs.empty)
                 if not chosen or p.name in chosen or p is programs.empty}
        for name, spec in specs.items():
            found[name] = {way: [] for way in (*WAYS, "A/A")}
            for turn in range(loads):
                ways = [*WAYS, "A/A"]
                for way in ways[turn % 4:] + ways[:turn % 4]:
                    machine, loaded = load("verified" if way == "A/A" else way, kernel, spec, name)
                    try:
                        found[name][way].append(time_run(loaded, name, PACKETS[INPUT.get(name, "tcp")], repeat))
                    finally:
                        loaded.close()
                        if machine is not kernel:
                            machine.close()
    floor = {way: statistics.median(runs) for way, runs in found.pop("empty").items()}
    net = {name: {way: [max(run - floor[way], 0.1) for run in runs] for way, runs in each.items()}
           for name, each in found.items()}
    rows: list[list[object]] = []
    for name, each in net.items():
        medians = {way: statistics.median(runs) for way, runs in each.items()}
        rows.append([name, *(medians[way] for way in WAYS), medians["verified"] / medians["kernel"],
                     medians["checked"] / medians["kernel"], medians["A/A"] / medians["verified"]])
    text = measuring.table(["ns per run", "kernel", "verified", "checked", "verified to kernel", "checked to kernel",
                            "A/A"], rows)
    met = True
    lines = [text, ""]
    for way, bar in (("verified", VERIFIED_BAR), ("checked", CHECKED_BAR)):
        mine, theirs = [each[way] for each in net.values()], [each["kernel"] for each in net.values()]
        mean = measuring.geometric([statistics.median(a) / statistics.median(b)
                                    for a, b in zip(mine, theirs, strict=True)])
        low, high = measuring.interval(mine, theirs)
        met &= mean <= bar
        lines.append(f"{way}: geometric mean {mean:.2f} of the kernel's time, 95 % in {low:.2f} to {high:.2f} "
                     f"(bar {bar:.2f}: {measuring.verdict(mean <= bar)})")
    lines.append(f"{loads} loads each, by turns; floors subtracted: "
                 + ", ".join(f"{way} {floor[way]:.1f} ns" for way in WAYS))
    return "\n".join(lines), met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two loads, short")
    parser.add_argument("--loads", type=int, default=8)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    text, met = report(chosen.programs, 2 if chosen.quick else chosen.loads, 20_000 if chosen.quick else 300_000)
    print(text)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
