"""Runs random programs that the kernel accepts in the kernel and in every engine of the userspace machine.

    sudo .venv/bin/python bench/differential.py [--count N] [--inputs N] [--seed S] [--minutes M] [--save FILE]

Programs come from bench/population.py, half of them mutated. Each is run on the same packets, one after another, by the
kernel, by the interpreter, by native code as verified, and by native code with every access checked; after each packet
the value, the packet and the maps are compared. A fault of a run is a fault of a program that our verifier accepts: it
counts against the verifier (soundness).

Some outcomes are not the program's own: they hold an address, or rest on stack that nobody wrote. Whether one is, is
tried and not guessed: the interpreter runs everything a second time with all objects elsewhere and other bytes in its
frames. A run whose outcome changes by that is not compared, nor are the later ones of that program, which find what it
left; its runs are watched for faults all the same. So are those of programs that ask for time, chance or who runs,
and of those in which our verifier sees an address compared with a number: the kernel's are above all numbers or, with a
sign, below.
"""
from __future__ import annotations

import argparse
import os
import pickle
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring, population
from bpfwright import Kernel, Userspace
from bpfwright.errors import BpfwrightError, Fault
from bpfwright.formats.btf import Btf
from bpfwright.formats.isa.instructions import decode
from bpfwright.spec.objects import ObjectSpec
from bpfwright.userspace.arena import FRAME, STACK_SIZE
from bpfwright.userspace.verifier import Profile, verify

KINDS = ("xdp", "sched_cls", "socket_filter", "cgroup_skb")
# Clock, randomness, CPU, the task and its name, cgroups, cookies, stacks: not the program's own.
_NOT_OWN = frozenset((4, 5, 7, 8, 14, 15, 16, 27, 34, 35, 42, 46, 58, 67, 80, 112, 113, 114, 115, 123, 125, 141, 158,
                      160, 208))
_COMPARED = frozenset((1, 2, 6, 9, 22))
_LONG = 200_000  # ns in the kernel: what runs longer would take the interpreter minutes
_WAYS = ("interpreter", "verified", "checked")
_MEMORY = 1 << 24

Outcome = tuple[int, bytes, list[Any]]


class Fate(NamedTuple):
    """What became of one way's runs: the outcomes until it faulted, and how, or that it was stopped as endless."""

    outcomes: list[Outcome]
    fault: str
    endless: bool = False


def deterministic(spec: ObjectSpec) -> bool:
    """Whether nothing that it calls differs from machine to machine."""
    return not any(each.opcode == 0x85 and each.src == 0 and each.imm in _NOT_OWN
                   for function in spec.functions for _, each in decode(function.insns))


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


class Tally:
    """`programs` were compared on every input, `partly` on the first ones, `watched` for faults only."""

    def __init__(self) -> None:
        self.programs = self.partly = self.watched = self.runs = self.compared = self.long = 0
        self.strata: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.faults: list[Any] = []
        self.differences: list[Any] = []
        self.unsupported: Counter[str] = Counter()


def _names(spec: ObjectSpec) -> list[str]:
    return [m.name for m in spec.maps if m.type in _COMPARED and m.name != "constant"]


def _in_kernel(spec: ObjectSpec, inputs: list[bytes], kernel: Kernel) -> list[Outcome] | None:
    """Its outcomes there; None when it runs too long."""
    names, found = _names(spec), []
    with kernel.load(spec) as there:
        for data in inputs:
            result = there.programs["main"].test_run(data)
            if result.duration_ns > _LONG:
                return None
            found.append((result.value, result.data, _contents(there, names)))
    return found


def _elsewhere(machine: Userspace) -> None:
    """Everything that is made from now on stands in another place, the stacks as well."""
    arena = machine.arena
    arena.allocate(0x5310, owned=False)
    arena.stacks[:] = [arena.allocate(STACK_SIZE, owned=False) for _ in arena.stacks]
    for stack in arena.stacks:
        arena.allow(stack + STACK_SIZE - FRAME, FRAME)


def _soiled(program: Any) -> None:
    """Frames begin with bytes that are no zeros."""
    interpreter, clean = program.interpreter, program.interpreter._frame
    dirt = bytes(0x80 | (7 * at + 0x35) & 0x7F for at in range(FRAME))

    def frame(top: int) -> None:
        clean(top)
        interpreter.arena.memory[top - FRAME:top] = dirt

    interpreter._frame = frame


def _in_userspace(spec: ObjectSpec, inputs: list[bytes], way: str, *, keep: bool, moved: bool = False) -> Fate:
    engine = "interpreter" if way == "interpreter" else "jit"
    names = _names(spec)
    found: list[Outcome] = []
    with Userspace(engine=engine, checks="always" if way == "checked" else "auto", memory_bytes=_MEMORY) as machine:
        if moved:
            _elsewhere(machine)
        with machine.load(spec) as here:
            program = here.programs["main"]
            if moved:
                _soiled(program)
            for data in inputs:
                try:
                    run = program.test_run(data)
                except Fault as fault:
                    return Fate(found, "" if fault.kind == "budget" else str(fault), fault.kind == "budget")
                except BpfwrightError:
                    raise
                except Exception as crash:
                    return Fate(found, f"crash: {type(crash).__name__}: {crash}")
                found.append((run.value, run.data, _contents(here, names) if keep else []))
    return Fate(found, "")


def own(first: list[Outcome], second: list[Outcome]) -> int:
    """How many outcomes from the beginning do not depend on where things are, nor on what nobody wrote."""
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return number
    return min(len(first), len(second))


def one(spec: ObjectSpec, inputs: list[bytes], kernel: Kernel, tally: Tally, *, comparable: bool = True) -> None:
    """Run one program everywhere; where it is not `comparable` its runs are watched only."""
    compares = comparable and deterministic(spec)
    expected = _in_kernel(spec, inputs, kernel)
    if expected is None:
        tally.long += 1
        return
    # What is only watched need not run unchecked: it would fault nowhere.
    fates = {way: _in_userspace(spec, inputs, way, keep=compares) for way in _WAYS if compares or way != "verified"}
    tally.runs += sum(len(fate.outcomes) for fate in fates.values())
    for way, fate in fates.items():
        if fate.fault:
            tally.faults.append((way, len(fate.outcomes), fate.fault, spec, inputs))
    if any(fate.endless for fate in fates.values()):
        tally.long += 1     # no fault: it was stopped, where the kernel would have gone on
        return
    if not compares:
        tally.watched += 1
        return
    moved = _in_userspace(spec, inputs, "interpreter", keep=True, moved=True)
    its_own = own(fates["interpreter"].outcomes, moved.outcomes)
    for way, fate in fates.items():
        for number, (wanted, got) in enumerate(zip(expected[:its_own], fate.outcomes, strict=False)):
            tally.compared += 1
            if wanted != got:
                what = [part for part, x, y in zip(("value", "packet", "maps"), wanted, got, strict=True) if x != y]
                tally.differences.append((way, number, what, spec, inputs, wanted, got))
                break
    if its_own == len(inputs):
        tally.programs += 1
    else:
        tally.partly += 1


def run(count: int, inputs: int, seed: int, *, quiet: bool = False, minutes: float = 0,
        keep: Callable[[Tally], object] = lambda tally: None) -> Tally:
    """Until `count` programs, which the kernel and our verifier accept, were compared on every input; `minutes` end it
    sooner, and `keep` is called with what was found so far. Every program has its own seed."""
    tally = Tally()
    strata = [stratum for stratum in population.strata() if stratum[0] in KINDS]
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        _run(tally, strata, count, inputs, seed, quiet, minutes, keep)
    finally:
        os.sched_setaffinity(0, processors)
    return tally


def _run(tally: Tally, strata: list[tuple[str, str]], count: int, inputs: int, seed: int, quiet: bool, minutes: float,
         keep: Callable[[Tally], object]) -> None:
    profile = Profile(limit=20_000, iterator_at_end=False)      # as the userspace machine judges
    strict = Profile(limit=20_000, iterator_at_end=False, compares_addresses=False)
    types = Btf.open("/sys/kernel/btf/vmlinux")
    until = time.monotonic() + 60 * minutes if minutes else float("inf")
    number = 0
    with Kernel() as kernel:
        while tally.programs < count and time.monotonic() < until:
            stratum = kind, feature = strata[number % len(strata)]
            rng = Random(f"{seed} {number}")
            number += 1
            spec = population.generate(rng, kind, feature)
            if rng.random() < 0.5:
                spec = population.mutate(rng, spec)
            comparable = verify(spec, "main", profile=strict, kernel_btf=types).accepted
            if not comparable and not verify(spec, "main", profile=profile, kernel_btf=types).accepted:
                continue
            before = tally.programs
            try:
                one(spec, [_packet(rng, kind) for _ in range(inputs)], kernel, tally, comparable=comparable)
            except BpfwrightError as error:
                (tally.refused if "verifier" in str(error) else tally.unsupported)[str(error)[:100]] += 1
                continue
            tally.strata[stratum] += tally.programs - before
            if tally.faults or tally.differences:
                keep(tally)
            if not quiet and tally.programs != before and tally.programs % 200 == 0:
                print(f"{tally.programs} programs, {len(tally.differences)} differ, {len(tally.faults)} fault",
                      file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--inputs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="end after so long")
    parser.add_argument("--save", metavar="FILE", help="differences and faults, pickled")
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    began = time.monotonic()
    kept = 0

    def keep(tally: Tally) -> None:
        nonlocal kept
        if chosen.save and kept != len(tally.differences) + len(tally.faults):
            kept = len(tally.differences) + len(tally.faults)
            Path(chosen.save).write_bytes(pickle.dumps((tally.differences, tally.faults)))

    tally = run(chosen.count, chosen.inputs, chosen.seed, minutes=chosen.minutes, keep=keep)
    report(tally, chosen.inputs, time.monotonic() - began)
    return int(bool(tally.differences or tally.faults))


def report(tally: Tally, inputs: int, seconds: float) -> None:
    accepted = tally.programs + tally.partly + tally.watched
    print(f"{tally.programs:,} programs compared on all of {inputs} inputs, {tally.partly:,} on the first ones (then "
          f"an address or unwritten stack shows), {tally.watched:,} watched for faults only: {seconds:.0f} s")
    print(f"differential: {tally.compared:,} outcomes of {len(_WAYS)} ways beside the kernel's, differences "
          f"{len(tally.differences)} (bar 0: {measuring.verdict(not tally.differences)})")
    print(f"soundness: {accepted:,} accepted programs, {tally.runs:,} runs, faults {len(tally.faults)} "
          f"(bar 0: {measuring.verdict(not tally.faults)})")
    if tally.strata:
        least = min(tally.strata, key=lambda stratum: tally.strata[stratum])
        print(f"fewest of a stratum: {tally.strata[least]} ({' '.join(least)}); {tally.long} programs ran too long")
    for what, times in tally.refused.items():
        print(f"refused by the kernel ({times}): {what}")
    for what, times in tally.unsupported.items():
        print(f"not run ({times}): {what}")
    for way, number, parts, *_ in tally.differences[:20]:
        print(f"  differs: {way}, input {number}: {', '.join(parts)}")
    for way, number, fault, *_ in tally.faults[:20]:
        print(f"  faults: {way}, input {number}: {fault}")


if __name__ == "__main__":
    sys.exit(main())
