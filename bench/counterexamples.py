"""How often a refused program with a bug in it is shown with an input on which it faults; and that no sound one is.

    sudo .venv/bin/python bench/counterexamples.py [--count N] [--sound N] [--seed S] [--quick] [-v]

Bugs are seeded (bench/seeded.py) into programs that the kernel accepts; kept are those that our verifier and the kernel
both refuse, for a reason that is about memory or about something held: what is refused for its form only (alignment,
kinds of arguments, fields of the context) has no input that shows it. A counterexample counts when a machine of its
own faults on it at the same place; `wrong` are those that do not. Sound programs are unchanged accepted ones: on them
the same search must find nothing.

Two sorts of mutants have no fault by construction; they are left out and counted: those that reach only into the
Ethernet header that every packet has, and those without a null check after a look-up in an array whose index our
verifier proves to be in bounds.
"""
from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring, seeded
from bench.agreement import Referee
from bench.seeded import Mutant, Source
from bpfwright.errors import BpfwrightError
from bpfwright.formats.btf import Btf
from bpfwright.userspace.counterexamples import Counterexample, Runner, search
from bpfwright.userspace.counterexamples.inputs import seeds
from bpfwright.userspace.verifier import Profile, Verdict, verify
from bpfwright.userspace.verifier import reasons as R

REASONS = frozenset((R.NULL, R.PACKET, R.MAP_VALUE, R.MEMORY, R.SIZE, R.STACK, R.REFERENCE, R.LOCK, R.ITERATOR,
                     R.ARITHMETIC, R.UNINITIALISED, R.LOOP))
# Refusals in these words are of the instruction's form: whatever it is run on, it does no harm that a run could show.
_FORM = ("is not aligned", " aligned bytes", "must be aligned", "can only be stored whole", "spilled",
         "cannot be accessed directly", "does not point to the lock", "go over the end of", "a pointer is subtracted",
         "both are pointers", "would cut it", ", a pkt_end", ", a pointer", ", a map_ptr", ", a sock")
_ETHERNET = 14  # bytes that every packet has: no interface, and no test run, gives a program a shorter one
_FIRST_BYTES = re.compile(r"^bytes (-?\d+) to (\d+) of the packet:")
SECONDS = 5.0


class Case(NamedTuple):
    """One mutant and what the search gave."""

    mutant: Mutant
    verdict: Verdict
    found: Counterexample | None
    confirmed: bool
    seconds: float
    runs: int


class Population:
    """Draws mutants, evenly over sources and bugs, and counts what was left out and why."""

    def __init__(self, seed: int, vmlinux: Btf, each: int) -> None:
        self.random = Random(seed)
        self.vmlinux = vmlinux
        self.profile = Profile(limit=50_000)
        self.proof = Profile(limit=50_000, elides_bounded=True)
        self.left_out: Counter[str] = Counter()
        self.referee = Referee()
        written = seeded.written_sources(vmlinux)
        drawn = list(seeded.random_sources(self.random, self.referee, vmlinux, each))
        self.sources = [source for source in [*written, *drawn] if self._runs(source)]

    def _runs(self, source: Source) -> bool:
        """Whether the userspace machine can run the sound program at all."""
        program = source.spec.programs[0]
        try:
            with Runner(source.spec, program.name, self.vmlinux, small=True) as runner:
                for given in seeds(program.type):
                    ran = runner.run(given)
                    if ran.fault is not None and ran.fault.why and "does not have" in ran.fault.why:
                        self.left_out["sources that this machine cannot run"] += 1
                        return False
        except BpfwrightError:
            self.left_out["sources that this machine cannot run"] += 1
            return False
        return True

    def draw(self, count: int) -> list[tuple[Mutant, Verdict]]:
        """`count` mutants: of each source one bug of each sort in turn, until there are enough."""
        waiting: list[list[Mutant]] = []
        for bug in seeded.BUGS:
            for source in self.sources:
                members = [mutant for mutant in seeded.mutants(source) if mutant.bug == bug]
                self.random.shuffle(members)
                if members:
                    waiting.append(members)
        self.random.shuffle(waiting)
        found: list[tuple[Mutant, Verdict]] = []
        while waiting and len(found) < count:
            for members in list(waiting):
                verdict = None
                while members and verdict is None:
                    mutant = members.pop()
                    verdict = self.verdict(mutant)
                if verdict is None:
                    waiting.remove(members)
                    continue
                found.append((mutant, verdict))
                if len(found) == count:
                    break
        return found

    def verdict(self, mutant: Mutant) -> Verdict | None:
        """Ours, where both refuse for a reason that an input can show."""
        name = mutant.spec.programs[0].name
        try:
            ours = verify(mutant.spec, name, profile=self.profile, kernel_btf=self.vmlinux)
        except BpfwrightError:
            self.left_out["mutants that no kernel would be shown"] += 1
            return None
        if ours.accepted:
            self.left_out["mutants that are still accepted"] += 1
            return None
        if ours.reason not in REASONS or any(form in ours.message for form in _FORM):
            self.left_out["mutants refused for their form"] += 1
            return None
        access = _FIRST_BYTES.match(ours.message)
        if access and int(access[1]) >= 0 and int(access[2]) <= _ETHERNET and mutant.spec.programs[0].type in (3, 4, 6):
            self.left_out["mutants that reach only bytes that every packet has (its Ethernet header)"] += 1
            return None
        if ours.reason == R.NULL and verify(mutant.spec, name, profile=self.proof, kernel_btf=self.vmlinux).accepted:
            self.left_out["mutants proven to have no fault: an array's index is bounded, so that it is found"] += 1
            return None
        if mutant.source.judge(mutant.spec)[0]:
            self.left_out["mutants that the kernel accepts"] += 1
            return None
        return ours


def measure(cases: list[tuple[Mutant, Verdict]], vmlinux: Btf, quiet: bool) -> list[Case]:
    """Search for each."""
    found = []
    for number, (mutant, verdict) in enumerate(cases):
        name = mutant.spec.programs[0].name
        done = search(mutant.spec, name, verdict, seconds=SECONDS, kernel_btf=vmlinux)
        found.append(Case(mutant, verdict, done.found, done.found is not None and _faults(mutant, done.found, vmlinux),
                          done.seconds, done.runs))
        if not quiet:
            print(f"\r\033[K{number + 1}/{len(cases)}", end="", file=sys.stderr, flush=True)
    return found


def _faults(mutant: Mutant, found: Counterexample, vmlinux: Btf) -> bool:
    """Once more, in a machine that knows nothing of the search."""
    with Runner(mutant.spec, mutant.spec.programs[0].name, vmlinux, budget=1_000_000) as runner:
        ran = runner.run(found.given)
        return ran.fault is not None and ran.fault.kind == found.fault.kind and (
            ran.fault.instruction == found.fault.instruction or ran.fault.kind == "budget")


def sound(sources: list[Source], count: int, vmlinux: Btf, random: Random) -> list[str]:
    """What the search says of accepted programs, aimed at an instruction of each: it should say nothing."""
    wrong = []
    chosen = list(sources)
    random.shuffle(chosen)
    for source in chosen[:count]:
        name = source.spec.programs[0].name
        slots = sum(len(function.insns) // 8 for function in source.spec.functions)
        aim = Verdict(False, R.MEMORY, "", random.randrange(slots))
        done = search(source.spec, name, aim, seconds=SECONDS / 2, kernel_btf=vmlinux)
        if done.found is not None:
            fault = done.found.fault
            wrong.append(f"{source.origin} {source.kind} {source.name}: {fault.what}: {fault.why}")
    return wrong


def table(title: str, cases: list[Case], key: dict[int, str]) -> None:
    print(f"| {title} | programs | with an input | share | at the very place |")
    print("|---|--:|--:|--:|--:|")
    rows: dict[str, list[Case]] = {}
    for case in cases:
        rows.setdefault(key[id(case)], []).append(case)
    for name, members in sorted(rows.items()):
        shown = [case for case in members if case.confirmed]
        there = sum(case.found is not None and case.found.there for case in shown)
        print(f"| {name} | {len(members)} | {len(shown)} | {100 * len(shown) / len(members):.0f} % | {there} |")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="programs with a bug (400)")
    parser.add_argument("--sound", type=int, default=60, help="programs without (60)")
    parser.add_argument("--each", type=int, default=2, help="random programs of each stratum (2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="200 and 10")
    parser.add_argument("-v", "--verbose", action="store_true", help="name what was missed")
    chosen = parser.parse_args()
    count, clean = (200, 10) if chosen.quick else (chosen.count, chosen.sound)
    vmlinux = Btf.open("/sys/kernel/btf/vmlinux")
    population = Population(chosen.seed, vmlinux, 1 if chosen.quick else chosen.each)
    cases = measure(population.draw(count), vmlinux, not sys.stderr.isatty())
    shown = [case for case in cases if case.confirmed]
    wrong = sum(case.found is not None and not case.confirmed for case in cases)
    print(f"{measuring.machine()}\n")
    table("kind of program", cases, {id(case): case.mutant.source.kind for case in cases})
    table("bug", cases, {id(case): case.mutant.bug for case in cases})
    table("refused for", cases, {id(case): case.verdict.reason for case in cases})
    table("original", cases, {id(case): case.mutant.source.origin for case in cases})
    share = len(shown) / max(len(cases), 1)
    enough = share >= 0.8 and not wrong and len(cases) >= 200
    print(f"all: {len(cases)} programs, {100 * share:.1f} % with an input (bar 80 %), {wrong} wrong (bar 0): "
          f"{measuring.verdict(enough)}")
    times = [case.seconds for case in shown]
    print(f"found in {statistics.median(times):.2f} s (median), {max(times):.2f} s (worst); given up after "
          f"{statistics.median([case.seconds for case in cases if not case.confirmed] or [0]):.2f} s (median)")
    for reason, number in sorted(population.left_out.items()):
        print(f"left out: {number} {reason}")
    false = sound(population.sources, clean, vmlinux, population.random)
    print(f"sound programs: {min(clean, len(population.sources))}, inputs found for {len(false)} (bar 0): "
          f"{measuring.verdict(not false)}")
    for line in false:
        print(f"  {line}")
    if chosen.verbose:
        for case in cases:
            if not case.confirmed:
                source = case.mutant.source
                print(f"missed: {source.origin} {source.kind} {source.name}: {case.mutant.change}: "
                      f"{case.verdict.reason}: {case.verdict.message} at {case.verdict.instruction}, {case.runs} runs, "
                      f"{case.seconds:.1f} s")
    return int(not enough or bool(false))


if __name__ == "__main__":
    sys.exit(main())
