"""How often our verifier's profile of a kernel says what that kernel says, for kernels that run in the lab.

    sudo .venv/bin/python bench/other_kernels.py [KERNEL...] [--count N] [--seed S] [--record] [--again] [--more]

Random and mutated programs (bench/population.py) are judged by 5.10, 6.1, 6.12 and 7.x in QEMU, one boot a kernel; the
guest draws them itself, by seeds of their own, until in each stratum half of the wanted number are accepted and half
refused. What it said is kept in the lab's cache: `--again` compares anew without a boot, `--more` goes on where the
last boot ran out of time. `--record` keeps a few of each stratum as test data, with the programs. A stratum of which a
kernel accepts nothing in so many draws is named; its refusals count.
"""
from __future__ import annotations

import argparse
import base64
import json
import lzma
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import agreement, measuring, population
from bpfwright.errors import BpfwrightError
from bpfwright.formats.btf import Btf
from bpfwright.spec.objects import Function, ObjectSpec, Relocation
from bpfwright.userspace.verifier import Profile
from vmtest import boot, kernels, lab

PROFILES = {"5.10": "linux_5_10", "6.1": "linux_6_1", "6.12": "linux_6_12", "7": "linux_7_3"}
RECORDS = Path(__file__).resolve().parents[1] / "tests" / "data" / "verdicts"
KEPT = 1            # recorded programs of each stratum and verdict
TYPED = ("kfuncs", "iterators")     # these need the kernel's own types, which are not recorded
_DRAWS, _HOPELESS = 20, 5     # draws of a stratum at most, for each program wanted: in all, while none is accepted


class Said(NamedTuple):
    """What a kernel said of the program of a seed."""

    kind: str
    feature: str
    number: int
    accepted: bool
    sentence: str


def judge(each: int, seed: str, first: int) -> None:
    """In the guest: a line with the kernel's types, then one a program, from stratum number `first` on."""
    referee = agreement.Referee()
    types = Path("/sys/kernel/btf/vmlinux").read_bytes()
    print(json.dumps({"btf": base64.b64encode(zlib.compress(types)).decode(), "cpus": os.cpu_count()}), flush=True)
    for kind, feature in population.strata()[first:]:
        left = {True: (each + 1) // 2, False: (each + 1) // 2}
        for number in range(_DRAWS * each):
            hopeless = number > _HOPELESS * each and left[True] == (each + 1) // 2 and not left[False]
            if hopeless or not any(left.values()):
                break
            try:
                accepted, sentence = referee.verdict(agreement.drawn(f"{seed} {number}", kind, feature))
            except (BpfwrightError, KeyError, StopIteration):
                continue    # a map or function that this kernel lacks
            if left[accepted]:
                left[accepted] -= 1
                print(json.dumps([kind, feature, number, accepted, sentence]), flush=True)


def ask(series: str, each: int, seed: str, timeout_s: float, *, more: bool = False) -> None:
    """Boot a kernel, and keep what it says."""
    kernel = kernels.get(series)
    known: list[list[Any]] = []
    first = 0
    if more and (kept_in() / f"{series}.json").exists():
        kept = json.loads((kept_in() / f"{series}.json").read_text())
        last = tuple(kept["said"][-1][:2])
        first, seed = population.strata().index((str(last[0]), str(last[1]))), kept["seed"]
        known = [row for row in kept["said"] if tuple(row[:2]) != last]     # that one may not have been whole
    command = [sys.executable, str(Path(__file__).resolve()), "--judge", str(each), seed, str(first)]
    for _ in range(lab.BOOTS):      # emulated processors fail now and then
        lines: list[str] = []
        outcome = boot.run(kernel, command, folder=str(lab.TOP), timeout_s=timeout_s, on_line=lines.append,
                           environment={"PYTHONPATH": f"{lab.TOP}/src:{lab.TOP}"})
        if lines:
            break
    folder = kept_in()
    head = json.loads(lines[0]) if lines else {}
    if "btf" not in head:
        raise kernels.LabError(f"{series}: {outcome.console}\n{outcome.stderr}")
    (folder / f"{series}.btf").write_bytes(zlib.decompress(base64.b64decode(head["btf"])))
    whole = [line for line in lines[1:] if line.endswith("]")]
    said = known + [json.loads(line) for line in whole]
    (folder / f"{series}.json").write_text(json.dumps(
        {"seed": seed, "release": kernel.release, "cpus": head["cpus"], "said": said}))
    if outcome.status:
        print(f"{series}: ended with {outcome.status} after {outcome.seconds:.0f} s; what it had said is kept\n"
              f"{outcome.stderr[-1500:]}", file=sys.stderr)


def kept_in() -> Path:
    folder = kernels.cache_folder() / "verdicts"
    folder.mkdir(exist_ok=True)
    return folder


def compare(series: str) -> tuple[agreement.Run, list[tuple[Said, ObjectSpec]]]:
    """Ask our verifier what the kernel was asked."""
    kept = json.loads((kept_in() / f"{series}.json").read_text())
    vmlinux = Btf((kept_in() / f"{series}.btf").read_bytes())
    made = agreement.Run(Profile(PROFILES[series], cpus=kept["cpus"], limit=300_000), vmlinux)
    programs = []
    for one in (Said(*each) for each in kept["said"]):
        spec = agreement.drawn(f"{kept['seed']} {one.number}", one.kind, one.feature)
        made.tallies.setdefault((one.kind, one.feature), agreement.Tally())
        made.compare((one.kind, one.feature), spec, one.accepted, one.sentence)
        programs.append((one, spec))
    return made, programs


def report(series: str, made: agreement.Run) -> bool:
    """The figures against the bars."""
    whole = agreement.Tally()
    for tally in made.tallies.values():
        for name in vars(whole):
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
    number = whole.accepted + whole.refused
    release = json.loads((kept_in() / f"{series}.json").read_text())["release"]
    recalls = (whole.right_accepts / max(whole.accepted, 1), whole.right_refusals / max(whole.refused, 1),
               whole.same / max(whole.right_refusals, 1))
    met = [got >= bar for got, bar in zip(recalls, (0.95, 0.99, 0.85), strict=True)]
    print(f"{release}: {number:,} programs, {100 * whole.accepted / max(number, 1):.0f} % accepted; accept "
          f"{100 * recalls[0]:.2f} % (bar 95: {measuring.verdict(met[0])}), reject {100 * recalls[1]:.2f} % (bar 99: "
          f"{measuring.verdict(met[1])}), class {100 * recalls[2]:.2f} % (bar 85: {measuring.verdict(met[2])})")
    lacks = [" ".join(name) for name, tally in made.tallies.items() if not tally.accepted]
    if lacks:
        print(f"  nothing accepted: {', '.join(lacks)}")
    missing = [" ".join(name) for name in population.strata() if name not in made.tallies]
    if missing:
        print(f"  no program of them got a verdict: {', '.join(missing)}")
    skewed = [f"{' '.join(name)} {100 * tally.accepted // (tally.accepted + tally.refused)} %"
              for name, tally in made.tallies.items()
              if tally.accepted and not 0.4 <= tally.accepted / (tally.accepted + tally.refused) <= 0.6]
    if skewed:
        print(f"  accepted not 40 to 60 %: {', '.join(skewed)}")
    return all(met)


def as_json(one: Said, spec: ObjectSpec) -> list[Any]:
    """A verdict and its program."""
    return [one.kind, one.feature, one.accepted, one.sentence,
            [[f.name, f.insns.hex(), [[r.index, r.kind, r.name, r.offset] for r in f.relocations], f.is_global]
             for f in spec.functions]]


def from_json(row: list[Any]) -> tuple[Said, ObjectSpec]:
    """The same back."""
    kind, feature, accepted, sentence, functions = row
    made = tuple(Function(name, bytes.fromhex(insns), tuple(Relocation(*each) for each in relocations),
                          type_id=population.TYPES[name], is_global=is_global)
                 for name, insns, relocations, is_global in functions)
    return Said(kind, feature, 0, accepted, sentence), population.spec_of(made, kind)


def record(series: str, programs: list[tuple[Said, ObjectSpec]]) -> None:
    """Some of each stratum as test data."""
    left: dict[tuple[str, str, bool], int] = {}
    rows = []
    for one, spec in programs:
        key = one.kind, one.feature, one.accepted
        if one.feature not in TYPED and left.setdefault(key, KEPT) > 0:
            left[key] -= 1
            rows.append(as_json(one, spec))
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{series}.json.xz").write_bytes(lzma.compress(json.dumps(rows).encode(), preset=9))
    print(f"  recorded {len(rows)}")


def main() -> int:
    if sys.argv[1:2] == ["--judge"]:
        judge(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", choices=[*PROFILES, []], metavar="KERNEL", help=" ".join(PROFILES))
    parser.add_argument("--count", type=int, default=2100, help="programs that each kernel judges")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--record", action="store_true", help="keep some as test data")
    parser.add_argument("--again", action="store_true", help="compare with what they said before")
    parser.add_argument("--more", action="store_true", help="go on where the last boot ended")
    parser.add_argument("--timeout", type=float, default=1500, help="seconds for each kernel")
    parser.add_argument("--verbose", action="store_true", help="each stratum, and what differs")
    chosen = parser.parse_args()
    each = max(2, -(-chosen.count // len(population.strata())))
    print(f"{measuring.machine()}\n")
    met = True
    for series in chosen.kernels or PROFILES:
        began = time.monotonic()
        if not chosen.again:
            ask(series, each, chosen.seed, chosen.timeout, more=chosen.more)
            print(f"{series}: judged in {time.monotonic() - began:.0f} s", file=sys.stderr)
        made, programs = compare(series)
        met &= report(series, made)
        if chosen.verbose:
            agreement.report(made)
        if chosen.record:
            record(series, programs)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
