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
from collections.abc import Callable
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
from bpfwright.kernel.verifier_log import parse
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
        self.loaded = []
        for one in population.MAPS:     # an old kernel lacks some of them: what uses these is not drawn
            loader = Loader(ObjectSpec((), (), (one,), btf=population.BTF), types,
                            lambda: Relocator(population.BTF, self.vmlinux))
            try:
                self.loaded.append(loader.load(frozenset(), None))
            except BpfwrightError:
                continue
            self.fds[one.name] = self.loaded[-1].maps[one.name].fd
        self.tails: KernelObject | None = None
        self.log = bytearray(LOG)

    def _new_tails(self) -> None:
        tails = tuple(one for one in population.MAPS if one.name == "tails")
        loader = Loader(ObjectSpec((), (), tails), KernelTypes(),
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
    """The verifier's own sentence: its last line before the statistics, or the reason in a report of Linux 7.3."""
    if "\nReason:" in log:
        return parse(log).reason
    lines = [line for line in log.splitlines() if line and not line.startswith(
        ("processed ", "verification time", "stack depth", "; ", "arg#0 reference", "func#", "subprog "))]
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


def drawn(seed: str, kind: str, feature: str) -> ObjectSpec:
    """The program of one seed."""
    random = Random(f"{seed} {kind} {feature}")
    spec = population.generate(random, kind, feature)
    return population.mutate(random, spec) if random.random() < 0.45 else spec


def plain(spec: ObjectSpec) -> tuple[object, ...]:
    """A spec in a form that pickles: functions as tuples."""
    return (tuple(spec.programs[0]), [(one.name, one.insns, [tuple(each) for each in one.relocations], one.type_id)
                                      for one in spec.functions], [tuple(one) for one in spec.externs])


class Tally:
    """The figures of one stratum."""

    def __init__(self) -> None:
        self.accepted = self.refused = self.right_accepts = self.right_refusals = self.same = 0


class Run:
    """One measurement: what was asked, what both said."""

    def __init__(self, profile: Profile, vmlinux: Btf) -> None:
        self.profile = profile
        self.vmlinux = vmlinux
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.disagreements: list[Case] = []
        self.times: list[float] = []
        self.walked = 0
        self.slow: list[tuple[float, int, bool]] = []

    def stratum(self, name: tuple[str, str], each: int, draw: Callable[[], tuple[ObjectSpec, bool, str]]) -> None:
        """Draw until there are `each` programs, half of them accepted by the kernel."""
        tally = self.tallies[name] = Tally()
        for _ in range(60 * each):
            if tally.accepted + tally.refused >= each:
                break
            try:
                spec, accepted, sentence = draw()
            except BpfwrightError:
                continue
            if (tally.accepted if accepted else tally.refused) < (each + 1) // 2:
                self.compare(name, spec, accepted, sentence)

    def compare(self, name: tuple[str, str], spec: ObjectSpec, accepted: bool, sentence: str) -> None:
        """Ask ours, and count."""
        tally = self.tallies[name]
        began = time.process_time()
        ours = _ours(spec, self.profile, self.vmlinux)
        took = time.process_time() - began
        self.times.append(took)
        self.walked += ours.processed
        if took > 2:
            self.slow.append((took, ours.processed, accepted))
        if accepted:
            tally.accepted += 1
            tally.right_accepts += ours.accepted
        else:
            tally.refused += 1
            tally.right_refusals += not ours.accepted
            tally.same += not ours.accepted and ours.reason == classify(sentence)
        if ours.accepted != accepted or (not accepted and ours.reason != classify(sentence)):
            self.disagreements.append(Case(*name, spec, accepted, sentence, ours._replace(aux={})))


def run(count: int, seed: int, strata: list[tuple[str, str]], *, quiet: bool = False, limit: int = 1_000_000,
        with_compiled: bool = False) -> Run:
    """Draw `count` programs over all strata, and as many mutations of compiled programs again if asked for."""
    referee = Referee()
    made = Run(Profile(cpus=os.cpu_count() or 0, limit=limit), referee.vmlinux)
    each = max(2, -(-count // max(len(strata), 1)))
    for position, (kind, feature) in enumerate(strata):
        random = Random(f"{seed} {kind} {feature}")

        def draw(random: Random = random, kind: str = kind, feature: str = feature) -> tuple[ObjectSpec, bool, str]:
            spec = population.generate(random, kind, feature)
            if random.random() < 0.45:
                spec = population.mutate(random, spec)
            return spec, *referee.verdict(spec)

        made.stratum((kind, feature), each, draw)
        if not quiet:
            print(f"\r\033[K{position + 1}/{len(strata)} {kind} {feature}", end="", file=sys.stderr, flush=True)
    if with_compiled:
        _compiled(made, count // 4, seed)
    return made


def _compiled(made: Run, count: int, seed: int) -> None:
    """Mutations of what our compiler made, by kind of program."""
    from bench.compiled import Original, originals
    kinds: dict[int, list[Original]] = {}
    for original in originals(made.vmlinux):
        kinds.setdefault(original.spec.programs[0].type, []).append(original)
    log = bytearray(LOG)
    for kind, members in sorted(kinds.items()):
        random = Random(f"{seed} compiled {kind}")

        def draw(random: Random = random, members: list[Original] = members) -> tuple[ObjectSpec, bool, str]:
            original = random.choice(members)
            spec = original.mutated(random)
            accepted, text = original.verdict(spec, log)
            return spec, accepted, said(text)

        made.stratum((members[0].spec.programs[0].section.partition("/")[0], "compiled"), count // len(kinds), draw)


def _ours(spec: ObjectSpec, profile: Profile, vmlinux: Btf) -> Verdict:
    try:
        return verify(spec, spec.programs[0].name, profile=profile, kernel_btf=vmlinux)
    except Exception as error:
        if os.environ.get("RAISE"):
            raise
        return Verdict(False, "crash", f"{type(error).__name__}: {error}")


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.2f}" if whole else "   -  "


def report(made: Run) -> None:
    print(f"{'stratum':32} {'n':>6} {'kernel':>7} {'accept':>7} {'reject':>7} {'class':>7}")
    total = Tally()
    for (kind, feature), tally in made.tallies.items():
        _row(f"{kind} {feature}", tally)
        for name in vars(total):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    _row("all", total)
    spent = sum(made.times)
    print(f"{1e6 * spent / max(made.walked, 1):.1f} us of CPU per instruction, median program "
          f"{1e3 * statistics.median(made.times):.2f} ms, {made.walked} instructions, {spent:.1f} s")
    for took, processed, accepted in made.slow:
        print(f"slow: {took:.1f} s, {processed} instructions, kernel {'accepts' if accepted else 'refuses'}")
    kinds: Counter[tuple[str, str, str]] = Counter()
    for one in made.disagreements:
        label = "FALSE ACCEPT" if one.ours.accepted else "false reject" if one.accepted else "class"
        kinds[label, one.said[:90], f"{one.ours.reason}: {one.ours.message[:70]}"] += 1
    order = {"FALSE ACCEPT": 0, "false reject": 1, "class": 2}
    for key, number in sorted(kinds.items(), key=lambda item: (order[item[0][0]], -item[1]))[:60]:
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
    parser.add_argument("--compiled", action="store_true", help="mutations of compiled programs too")
    options = parser.parse_args()
    strata = [one for one in population.strata() if not options.only or options.only in one]
    made = run(options.count, options.seed, strata, limit=options.limit, with_compiled=options.compiled)
    report(made)
    if options.save:
        Path(options.save).write_bytes(pickle.dumps(
            [(one.kind, one.feature, plain(one.spec), one.accepted, one.said, tuple(one.ours))
             for one in made.disagreements]))


if __name__ == "__main__":
    main()
