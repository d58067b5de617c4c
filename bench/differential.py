"""Runs random programs that the kernel accepts in the kernel and in every engine of the userspace machine.

    sudo .venv/bin/python bench/differential.py [--count N] [--inputs N] [--seed S] [--save FILE]

Programs come from bench/population.py, half of them mutated. Each is run on the same packets, one after another, by the
kernel, by the interpreter, by native code as verified, and by native code with every access checked; after each packet
the value, the packet and the maps are compared. A fault of a checked run is a fault of a program that our verifier
accepts: it counts against the verifier (soundness). Left out are programs whose outcome is not theirs alone: time,
randomness, who runs, stack that nobody wrote.
"""
from __future__ import annotations

import argparse
import os
import pickle
import sys
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring, population
from bpfwright import Kernel, Userspace
from bpfwright.errors import BpfwrightError, Fault
from bpfwright.formats.btf import Btf
from bpfwright.formats.isa.instructions import decode
from bpfwright.spec.objects import ObjectSpec
from bpfwright.userspace.verifier import Profile, verify

KINDS = ("xdp", "sched_cls", "socket_filter", "cgroup_skb")
# Clock, randomness, CPU, the task and its name, cgroups, cookies, stacks: not the program's own.
_NOT_OWN = frozenset((4, 5, 7, 8, 14, 15, 16, 27, 34, 35, 42, 46, 58, 67, 80, 112, 113, 114, 115, 123, 125, 141, 158,
                      160, 208))
_COMPARED = frozenset((1, 2, 6, 9, 22))
_LONG = 200_000  # ns in the kernel: what runs longer would take the interpreter minutes
_WAYS = ("interpreter", "verified", "checked")


def _deterministic(spec: ObjectSpec) -> bool:
    for function in spec.functions:
        for _, each in decode(function.insns):
            if each.opcode == 0x85 and each.src == 0 and each.imm in _NOT_OWN:
                return False
    return True


def _packet(rng: Random, kind: str) -> bytes:
    least = 14 if kind == "xdp" else 54  # the kernel's test run of a socket buffer wants room for an IP header
    size = max(least, rng.choice((15, 16, 20, 34, 42, 54, 60, 64, 100, 128, rng.randrange(15, 256))))
    head = bytes(12) + rng.choice((b"\x08\0", b"\x86\xdd", b"\x08\x06"))
    return (head + bytes(rng.choice((0, 1, 4, 6, 17, 69, 255, rng.randrange(256))) for _ in range(size)))[:size]


def _contents(loaded: Any, names: list[str]) -> list[Any]:
    found: list[Any] = []
    for name in names:
        map_ = loaded.maps[name]
        if not map_.spec.key_size:
            found.append(map_.lookup(b""))
        elif map_.spec.type == 6:
            keys = list(map_.keys())
            found.append([map_.lookup(key)[:map_.value_stride] for key in keys])
        else:
            found.append(sorted(map_.items()))
    return found


def _leaks(kernel: Any, ours: Any) -> bool:
    """Whether two outcomes differ only where the kernel's holds an address of its own."""
    a, b = pickle.dumps(kernel), pickle.dumps(ours)
    if len(a) != len(b):
        return False
    different = [i for i in range(len(a)) if a[i] != b[i]]
    return all(any(a[i - back + 6:i - back + 8] == b"\xff\xff" for back in range(8)) for i in different)


class Tally:
    def __init__(self) -> None:
        self.programs = self.runs = self.leaks = self.long = 0
        self.refused: dict[str, int] = {}
        self.faults: list[Any] = []
        self.differences: list[Any] = []
        self.unsupported: dict[str, int] = {}


def one(spec: ObjectSpec, inputs: list[bytes], kernel: Kernel, tally: Tally) -> None:
    """Run one program everywhere."""
    with kernel.load(spec) as there:
        names = [m.name for m in spec.maps if m.type in _COMPARED and m.name != "constant"]
        expected = []
        for data in inputs:
            result = there.programs["main"].test_run(data)
            if result.duration_ns > _LONG:
                tally.long += 1
                return
            expected.append((result.value, result.data, _contents(there, names)))
    for way in _WAYS:
        engine = "interpreter" if way == "interpreter" else "jit"
        with Userspace(engine=engine, checks="always" if way == "checked" else "auto", memory_bytes=1 << 24) as machine:
            with machine.load(spec) as here:
                program = here.programs["main"]
                for number, (data, wanted) in enumerate(zip(inputs, expected, strict=True)):
                    try:
                        run = program.test_run(data)
                    except Fault as fault:
                        tally.faults.append((way, number, str(fault), spec, data))
                        break
                    tally.runs += 1
                    got = (run.value, run.data, _contents(here, names))
                    if got != wanted:
                        if _leaks(wanted, got):
                            tally.leaks += 1
                        else:
                            what = [part for part, x, y in zip(("value", "packet", "maps"), wanted, got, strict=True)
                                    if x != y]
                            tally.differences.append((way, number, what, spec, data, wanted, got))
                        break


def run(count: int, inputs: int, seed: int, quiet: bool = False) -> Tally:
    """`count` programs that the kernel and our verifier accept."""
    rng, tally = Random(seed), Tally()
    strict = Profile(uninitialised_stack=False, limit=20_000)
    strata = [stratum for stratum in population.strata() if stratum[0] in KINDS]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    types = Btf.open("/sys/kernel/btf/vmlinux")
    with Kernel() as kernel:
        while tally.programs < count:
            kind, feature = strata[tally.programs % len(strata)]
            spec = population.generate(rng, kind, feature)
            if rng.random() < 0.5:
                spec = population.mutate(rng, spec)
            if not _deterministic(spec) or not verify(spec, "main", profile=strict, kernel_btf=types).accepted:
                continue
            try:
                kernel.load(spec).close()
            except BpfwrightError as error:
                tally.refused[str(error)[:100]] = tally.refused.get(str(error)[:100], 0) + 1
                continue
            try:
                one(spec, [_packet(rng, kind) for _ in range(inputs)], kernel, tally)
            except BpfwrightError as error:
                tally.unsupported[error.args[0][:70]] = tally.unsupported.get(error.args[0][:70], 0) + 1
            tally.programs += 1
            if not quiet and tally.programs % 200 == 0:
                print(f"{tally.programs} programs, {len(tally.differences)} differ, {len(tally.faults)} fault",
                      file=sys.stderr)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--inputs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", metavar="FILE", help="differences and faults, pickled")
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    tally = run(chosen.count, chosen.inputs, chosen.seed)
    if chosen.save:
        Path(chosen.save).write_bytes(pickle.dumps((tally.differences, tally.faults)))
    print(f"{tally.programs:,} programs x {chosen.inputs} inputs x {len(_WAYS)} ways: {tally.runs:,} runs")
    print(f"differences {len(tally.differences)} (bar 0: {measuring.verdict(not tally.differences)}), "
          f"faults {len(tally.faults)} (bar 0: {measuring.verdict(not tally.faults)})")
    print(f"{tally.leaks} programs put the kernel's own addresses into maps or packets; {tally.long} ran too long")
    for what, times in tally.refused.items():
        print(f"refused by the kernel ({times}): {what}")
    for what, times in tally.unsupported.items():
        print(f"not run ({times}): {what}")
    for way, number, what, *_ in tally.differences[:20]:
        print(f"  differs: {way}, input {number}: {', '.join(what)}")
    for way, number, what, *_ in tally.faults[:20]:
        print(f"  faults: {way}, input {number}: {what}")
    return int(bool(tally.differences or tally.faults))


if __name__ == "__main__":
    sys.exit(main())
