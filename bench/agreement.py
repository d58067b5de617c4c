"""How often our verifier says what the kernel's says, on random and mutated programs, and how long it takes.

    .venv/bin/python bench/agreement.py [--count N] [--seed S] [--save FILE] [--compiled]        needs root

In every stratum (kind of program x feature) half of the programs are ones that the kernel accepts: more are drawn until
there are as many of both. `accept` is the share of those accepted that we accept, `reject` the share of those refused
that we refuse, `class` how often the reason is of the same class. Disagreements are saved for reduction.
"""
from __future__ import annotations

import argparse
import os
import pickle
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import population
from bpfwright._abi import bpf as B
from bpfwright.errors import BpfwrightError, KernelError
from bpfwright.formats.btf import Btf, Kind, Relocator
from bpfwright.kernel import sys as door
from bpfwright.kernel.loader import KernelObject, Loader
from bpfwright.kernel.types import KernelTypes
from bpfwright.spec.linking import Reference, link, reachable
from bpfwright.spec.objects import ObjectSpec
from bpfwright.userspace.verifier import Profile, Verdict, verify
from bpfwright.userspace.verifier.reasons import classify

LOG = 1 << 16


class Referee:
    """The running kernel, asked with maps that are made once."""

    def __init__(self) -> None:
        self.vmlinux = Btf.open("/sys/kernel/btf/vmlinux")
        self.fds: dict[str, int] = {}
        self.kfuncs: dict[str, int] = {}
        self.btf_fd = door.btf_load(population.BTF)
        types = KernelTypes()
        loader = Loader(ObjectSpec((), (), population.MAPS, btf=population.BTF), types,
                        lambda: Relocator(population.BTF, self.vmlinux))
        self.loaded = loader.load(frozenset(), None)
        for name, one in self.loaded.maps.items():
            self.fds[name] = one.fd
        self.tails: KernelObject | None = None
        self.log = bytearray(LOG)

    def _new_tails(self) -> None:
        loader = Loader(ObjectSpec((), (), population.MAPS[10:11]), KernelTypes(),
                        lambda: Relocator(population.BTF, self.vmlinux))
        if self.tails is not None:
            self.tails.close()
        self.tails = loader.load(frozenset(), None)
        self.fds["tails"] = self.tails.maps["tails"].fd

    def verdict(self, spec: ObjectSpec) -> tuple[bool, str]:
        """Accepted, or what the log says last."""
        functions = {function.name: function for function in spec.functions}
        program = spec.programs[0]
        if any(one.name == "tails" for function in spec.functions for one in function.relocations):
            self._new_tails()           # the first program of an array decides on the kind of all
        references: dict[tuple[str, str], Reference] = {}
        for name, fd in self.fds.items():
            references["map", name] = Reference(B.BPF_PSEUDO_MAP_FD, fd)
            references["data", name] = Reference(B.BPF_PSEUDO_MAP_VALUE, fd)
        for extern in spec.externs:
            if extern.name not in self.kfuncs:
                self.kfuncs[extern.name] = next(self.vmlinux.find_all(extern.name, Kind.FUNC))
            references["kfunc", extern.name] = Reference(B.BPF_PSEUDO_KFUNC_CALL, self.kfuncs[extern.name])
        resolved = {name: functions[name].insns for name in reachable(program.function, functions)}
        linked = link(program.function, functions, resolved, references)
        attributes = door.ProgramLoad(program.type, bytes(linked.insns), spec.license, "main")
        attributes.values["expected_attach_type"] = program.expected_attach_type
        if linked.function_info:
            attributes.values.update(btf_fd=self.btf_fd, func_info_rec_size=8,
                                     func_info=attributes.keep(linked.function_info),
                                     func_info_cnt=len(linked.function_info) // 8)
        self.log[0] = 0
        try:
            fd = attributes.send(4, self.log)
        except KernelError as error:
            return False, said(self.log.partition(b"\0")[0].decode("utf-8", "replace")) or f"errno {error.errno}"
        os.close(fd)
        return True, ""


def said(log: str) -> str:
    """The verifier's own sentence: its last line before the statistics."""
    lines = [line for line in log.splitlines() if line and not line.startswith(
        ("processed ", "verification time", "stack depth", "; ", "arg#0 reference", "func#"))]
    named = [line for line in lines[-3:] if line.startswith("infinite loop")]
    if named or not lines:
        return named[0] if named else ""
    # What comes before "R1 max value is outside of the allowed memory range" says of which memory.
    return " | ".join(lines[-2:]) if "is outside of" in lines[-1] else lines[-1]


class Case(NamedTuple):
    """A program on which the two do not say the same."""

    kind: str
    feature: str
    spec: ObjectSpec
    accepted: bool
    said: str
    ours: Verdict


def plain(spec: ObjectSpec) -> tuple[object, ...]:
    """A spec in a form that pickles: functions as tuples."""
    return (tuple(spec.programs[0]), [(one.name, one.insns, [tuple(each) for each in one.relocations], one.type_id)
                                      for one in spec.functions], [tuple(one) for one in spec.externs])


class Tally:
    """The figures of one stratum."""

    def __init__(self) -> None:
        self.accepted = self.refused = self.right_accepts = self.right_refusals = self.same = 0


def run(count: int, seed: int, strata: list[tuple[str, str]], save: str, quiet: bool = False,
        limit: int = 1_000_000) -> tuple[dict[tuple[str, str], Tally], list[Case], list[float], int]:
    """Draw `count` programs over all strata; the tallies, disagreements, times (s) and instructions walked."""
    referee = Referee()
    profile = Profile(cpus=os.cpu_count() or 0, limit=limit)
    tallies: dict[tuple[str, str], Tally] = {}
    disagreements: list[Case] = []
    times: list[float] = []
    walked = 0
    slow: list[tuple[float, int, ObjectSpec, bool]] = []
    each = max(2, count // len(strata))
    for position, (kind, feature) in enumerate(strata):
        rng = Random(f"{seed} {kind} {feature}")
        tally = tallies[kind, feature] = Tally()
        tries = 0
        while tally.accepted + tally.refused < each and tries < 40 * each:
            tries += 1
            spec = population.generate(rng, kind, feature)
            if rng.random() < 0.45:
                spec = population.mutate(rng, spec)
            try:
                accepted, sentence = referee.verdict(spec)
            except BpfwrightError:
                continue
            if (tally.accepted if accepted else tally.refused) >= (each + 1) // 2:
                continue
            began = time.perf_counter()
            ours = _ours(spec, profile, referee.vmlinux)
            took = time.perf_counter() - began
            times.append(took)
            walked += ours.processed
            if took > 1:
                slow.append((took, ours.processed, spec, accepted))
            if accepted:
                tally.accepted += 1
                tally.right_accepts += ours.accepted
            else:
                tally.refused += 1
                tally.right_refusals += not ours.accepted
                tally.same += not ours.accepted and ours.reason == classify(sentence)
            if ours.accepted != accepted or (not accepted and ours.reason != classify(sentence)):
                disagreements.append(Case(kind, feature, spec, accepted, sentence, ours._replace(aux={})))
        if not quiet:
            print(f"\r\033[K{position + 1}/{len(strata)} {kind} {feature}", end="", file=sys.stderr, flush=True)
    if save:
        Path(save).write_bytes(pickle.dumps(
            [(one.kind, one.feature, plain(one.spec), one.accepted, one.said, tuple(one.ours))
             for one in disagreements]))
    for took, processed, _, accepted in slow:
        print(f"slow: {took:.1f} s, {processed} instructions, kernel {'accepts' if accepted else 'refuses'}")
    if slow and save:
        Path(save + ".slow").write_bytes(pickle.dumps([plain(one[2]) for one in slow]))
    return tallies, disagreements, times, walked


def _ours(spec: ObjectSpec, profile: Profile, vmlinux: Btf) -> Verdict:
    try:
        return verify(spec, "main", profile=profile, kernel_btf=vmlinux)
    except Exception as error:
        if os.environ.get("RAISE"):
            raise
        return Verdict(False, "crash", f"{type(error).__name__}: {error}")


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.2f}" if whole else "   -  "


def report(tallies: dict[tuple[str, str], Tally], disagreements: list[Case], times: list[float],
           walked: int) -> None:
    print(f"{'stratum':32} {'n':>6} {'kernel':>7} {'accept':>7} {'reject':>7} {'class':>7}")
    total = Tally()
    for (kind, feature), tally in tallies.items():
        _row(f"{kind} {feature}", tally)
        for name in vars(total):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    _row("all", total)
    spent = sum(times)
    print(f"{1e6 * spent / max(walked, 1):.1f} us per instruction, median program "
          f"{1e3 * statistics.median(times):.2f} ms, {walked} instructions, {spent:.1f} s")
    kinds: Counter[tuple[object, ...]] = Counter()
    for one in disagreements:
        ours = one.ours
        label = "FALSE ACCEPT" if ours.accepted else "false reject" if one.accepted else "class"
        kinds[label, one.said[:90] if label != "false reject" else "", f"{ours.reason}: {ours.message[:70]}"] += 1
    order = {"FALSE ACCEPT": 0, "false reject": 1, "class": 2}
    for key, number in sorted(kinds.items(), key=lambda item: (order[str(item[0][0])], -item[1]))[:60]:
        print(f"{number:5} {key[0]}: {key[1]} <> {key[2]}")


def _row(name: str, tally: Tally) -> None:
    both = tally.accepted + tally.refused
    print(f"{name:32} {both:6} {percent(tally.accepted, both):>7} {percent(tally.right_accepts, tally.accepted):>7} "
          f"{percent(tally.right_refusals, tally.refused):>7} {percent(tally.same, tally.right_refusals):>7}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", default="")
    parser.add_argument("--limit", type=int, default=1_000_000, help="instructions that our verifier walks at most")
    parser.add_argument("--only", default="", help="a kind or a feature")
    options = parser.parse_args()
    strata = [one for one in population.strata() if not options.only or options.only in one]
    report(*run(options.count, options.seed, strata, options.save, limit=options.limit))


if __name__ == "__main__":
    main()
