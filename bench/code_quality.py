"""Programs of ours and the same in C by clang-14 and ziglang's clang: instructions, and ns per run.

    sudo .venv/bin/python bench/code_quality.py [--quick] [--loads N] [PROGRAM...]

bench/programs holds each program twice, as Python and as C. All are compiled for cpu v3 at -O2. First, every packet
program must give the same verdicts, packets and map contents as its twins on the packets of bench/workloads.py. Then
instructions are counted (functions that are called included). Then each is loaded --loads times, contestants by turns:
packet programs run a million times by BPF_PROG_TEST_RUN (CPU time); tracers are attached and hit by system calls, and
the kernel's own statistics are read. An empty program's time is subtracted. A twin of ours gives the A/A spread.
--quick counts instructions only.
"""
from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bench.workloads import PACKETS, WORK, Work
from bpfwright import objfile
from bpfwright.cli.sources import chosen_programs
from bpfwright.errors import UsageError, VerifierError
from bpfwright.kernel import Kernel
from bpfwright.lang.compile import compile_programs
from bpfwright.session import target_of
from bpfwright.spec.machine import Link, LoadedObject, LoadedProgram
from bpfwright.spec.objects import Function, ObjectSpec

PROGRAMS = Path(__file__).parent / "programs"
OURS = "bpfwright"
REPEAT = 1_000_000
MEAN_BAR, WORST_BAR, TIME_BAR = 1.00, 1.10, 1.02
RESOLUTION = 10.0  # ns: of programs that take less, the floor subtracted, the ratio is noise and left out of the mean
FLAGS = ["-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-I/usr/include",
         f"-I/usr/include/{os.uname().machine}-linux-gnu"]
EMPTY = bytes.fromhex("b400000001000000" "9500000000000000")  # w0 = 1; exit
CGROUPS = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").is_dir() else Path("/sys/fs/cgroup")
CONNECT4 = 10


def compilers() -> dict[str, list[str]]:
    """The C compilers that are here, by name."""
    found: dict[str, list[str]] = {}
    if clang := shutil.which("clang-14"):
        found["clang-14"] = [clang, "-target", "bpf"]
    spec = find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        home = Path(spec.origin).parent
        found["zig clang"] = [str(home / "zig"), "clang", "-target", "bpfel", "-isystem", str(home / "lib" / "include")]
    return found


def ours(name: str, kernel: Kernel) -> ObjectSpec:
    """Compile the Python program of a name."""
    programs = chosen_programs(str(PROGRAMS / f"{name}.py"), [])
    for program in programs:
        prepare = getattr(program.hook, "prepare", None)
        program.facts = prepare(kernel, program) if prepare else None
    return objfile.read(compile_programs(programs, target_of(kernel)._replace(cpu="v3")).elf, f"{name}.py")


def theirs(name: str, words: list[str]) -> ObjectSpec:
    """Compile the C program of a name."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "c.o")
        subprocess.run([*words, *FLAGS, "-c", str(PROGRAMS / f"{name}.c"), "-o", str(made)], check=True)
        return objfile.read(made.read_bytes(), f"{name}.c")


def instructions(spec: ObjectSpec) -> int:
    """All instructions (8-byte slots) that its programs can reach."""
    functions = {function.name: function for function in spec.functions}
    reached: set[str] = set()
    work = [program.function for program in spec.programs]
    while work:
        name = work.pop()
        if name not in reached:
            reached.add(name)
            work += [r.name for r in functions[name].relocations if r.kind in ("call", "func")]
    return sum(len(functions[name].insns) // 8 for name in reached)


def compile_all(names: list[str], kernel: Kernel) -> dict[str, dict[str, ObjectSpec]]:
    """Objects by program and contestant."""
    return {name: {OURS: ours(name, kernel), **{c: theirs(name, words) for c, words in compilers().items()}}
            for name in names}


def floor(spec: ObjectSpec) -> ObjectSpec:
    """The same programs, empty."""
    functions = tuple(Function(program.function, EMPTY) for program in spec.programs)
    return ObjectSpec(spec.programs, functions, (), btf=b"", license=spec.license)


# ------------------------------------------------------------------------------------------------ the same behaviour?

HIDDEN = (".bss", ".data", ".rodata", "bpfwright", "buckets", "flows", "samples")


def differences(objects: dict[str, ObjectSpec], work: Work, kernel: Kernel) -> list[str]:
    """Where a contestant's verdicts, packets or maps differ from those of ours, or the verifier rejects it."""
    seen: dict[str, dict[str, object]] = {}
    for name, spec in objects.items():
        try:
            seen[name] = _behaviour(spec, work, kernel)
        except VerifierError as error:
            return [f"{name}: {error}"]
    return [f"{name} differs from ours on {what!r}" for name, outcomes in seen.items()
            for what, outcome in outcomes.items() if outcome != seen[OURS][what]]


def _behaviour(spec: ObjectSpec, work: Work, kernel: Kernel) -> dict[str, object]:
    """What comes of each packet, and what the maps hold in the end (but for those that hold times)."""
    found: dict[str, object] = {}
    with _loaded(spec, work, kernel) as loaded:
        (program,) = loaded.programs.values()
        for packet, data in PACKETS.items():
            try:
                runs = [program.test_run(data) for _ in range(2)]
            except UsageError:  # the kernel makes no socket buffer of a packet that is cut
                continue
            found[packet] = ([run.value for run in runs], runs[-1].data)
        for name, each in loaded.maps.items():
            if not any(part in name for part in HIDDEN):
                found[name] = sorted(_entries(each))
    return found


def _entries(each: object) -> Iterator[tuple[bytes, bytes]]:
    for key in each.keys():  # type: ignore[attr-defined]  # noqa: SIM118
        value = each.lookup(key)  # type: ignore[attr-defined]
        if value is not None:
            yield key, value


# ----------------------------------------------------------------------------------------------------------- the times


@contextmanager
def _loaded(spec: ObjectSpec, work: Work, kernel: Kernel) -> Iterator[LoadedObject]:
    loaded = kernel.load(spec)
    try:
        for name, entries in work.fill.items():
            for key, value in entries:
                if name in loaded.maps:
                    loaded.maps[name].update(key, value)
        yield loaded
    finally:
        loaded.close()


@contextmanager
def _cgroup() -> Iterator[str]:
    """A cgroup with this process in it."""
    path = CGROUPS / f"bpfwright-bench-{os.getpid()}"
    home = next(line.split("::")[1] for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::"))
    path.mkdir()
    try:
        (path / "cgroup.procs").write_text(str(os.getpid()))
        yield str(path)
    finally:
        (CGROUPS / home.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        path.rmdir()


def _attach(kernel: Kernel, program: LoadedProgram, group: str) -> Link:
    kind, _, rest = program.spec.section.partition("/")
    if kind.startswith("cgroup"):
        return kernel.cgroup(program, group, CONNECT4)
    if kind in ("tracepoint", "tp"):
        category, _, event = rest.partition("/")
        return kernel.tracepoint(program, category, event)
    return kernel.raw_tracepoint(program, "" if kind == "tp_btf" else rest)


def one_load(spec: ObjectSpec, work: Work, kernel: Kernel, group: str) -> float:
    """ns per run of a fresh load; of an entry and its exit, the sum."""
    with _loaded(spec, work, kernel) as loaded, ExitStack() as links:
        programs = list(loaded.programs.values())
        if work.drive is None:
            programs[0].test_run(PACKETS[work.packet], repeat=10_000)
            began = time.thread_time_ns()  # the kernel's own answer is whole nanoseconds by the clock on the wall
            programs[0].test_run(PACKETS[work.packet], repeat=REPEAT)
            return (time.thread_time_ns() - began) / REPEAT
        for program in programs:
            links.enter_context(_attach(kernel, program, group))
        work.drive(work.times // 20)
        before = [program.statistics() for program in programs]
        work.drive(work.times)
        return sum((now[1] - then[1]) / max(1, now[0] - then[0])
                   for now, then in zip((p.statistics() for p in programs), before, strict=True))


def times(objects: dict[str, ObjectSpec], work: Work, kernel: Kernel, loads: int) -> dict[str, list[float]]:
    """ns per run by contestant, the floor subtracted: the median floor, for one floor serves all."""
    contestants = {"floor": floor(objects[OURS]), **objects, "A/A": objects[OURS]}
    found: dict[str, list[float]] = {name: [] for name in contestants}
    with _cgroup() as group:
        for turn in range(loads):
            order = list(contestants)
            shift = turn % len(order)  # nobody always comes after the same other
            for name in order[shift:] + order[:shift]:
                found[name].append(one_load(contestants[name], work, kernel, group))
    base = statistics.median(found.pop("floor"))
    return {name: [max(run - base, 0.1) for run in runs] for name, runs in found.items()}


# --------------------------------------------------------------------------------------------------------- the tables


def count_table(objects: dict[str, dict[str, ObjectSpec]]) -> tuple[str, float, float]:
    """Instructions: the table, the geometric mean and the worst of the ratios to the better of the C compilers."""
    names = [OURS, *compilers()]
    rows: list[list[object]] = []
    ratios = []
    for name, each in objects.items():
        counts = [instructions(each[contestant]) for contestant in names]
        ratios.append(counts[0] / min(counts[1:]))
        rows.append([name, *counts, ratios[-1]])
    mean, worst = measuring.geometric(ratios), max(ratios)
    text = measuring.table(["instructions", *names, "to the better C"], rows)
    return (f"{text}\n\nInstructions: geometric mean {mean:.3f} (bar {MEAN_BAR:.2f}: "
            f"{measuring.verdict(mean <= MEAN_BAR)}), worst {worst:.3f} (bar {WORST_BAR:.2f}: "
            f"{measuring.verdict(worst <= WORST_BAR)})"), mean, worst


def time_table(found: dict[str, dict[str, list[float]]], loads: int) -> str:
    """Times: the table, and the geometric means with their intervals."""
    peers = list(compilers())
    names = [OURS, *peers]
    rows: list[list[object]] = []
    better: dict[str, str] = {}
    for name, each in found.items():
        medians = {contestant: statistics.median(each[contestant]) for contestant in [*names, "A/A"]}
        better[name] = min(peers, key=medians.__getitem__)
        rows.append([name, *(medians[c] for c in names), *(f"{min(each[c]):.1f}" for c in names),
                     medians[OURS] / medians[better[name]], medians["A/A"] / medians[OURS]])
    text = measuring.table(["ns per run", *(f"{n}, median" for n in names), *(f"{n}, best" for n in names),
                            "to the better C", "A/A"], rows)
    lines = [text, ""]
    small = [name for name, each in found.items() if statistics.median(each[OURS]) < RESOLUTION]
    if small:
        lines += [f"Below {RESOLUTION:.0f} ns, so not in the means: {', '.join(small)}."]
        found = {name: each for name, each in found.items() if name not in small}
    mine = [each[OURS] for each in found.values()]
    for label, others in [*((f"to {peer}", [each[peer] for each in found.values()]) for peer in peers),
                          ("to the better C of each", [each[better[name]] for name, each in found.items()]),
                          ("A/A (ours to ours)", [each["A/A"] for each in found.values()])]:
        mean = measuring.geometric([statistics.median(a) / statistics.median(b) for a, b in zip(mine, others)])
        low, high = measuring.interval(mine, others)
        met = f" (bar: the interval holds {TIME_BAR} or less: {measuring.verdict(low <= TIME_BAR)})"
        lines.append(f"Time {label}: geometric mean {mean:.3f}, 95 % of it in {low:.3f} to {high:.3f}"
                     + (met if label.startswith("to") else ""))
    return "\n".join([*lines, f"{loads} loads each, by turns; the floor of an empty program is subtracted."])


def report(names: list[str], loads: int) -> tuple[str, float, float]:
    """Everything: the text, and the two instruction figures. `loads` 0: instructions only."""
    with Kernel() as kernel:
        objects = compile_all(names, kernel)
        text, mean, worst = count_table(objects)
        wrong = [f"{name}: {each}" for name in names if WORK[name].packet
                 for each in differences(objects[name], WORK[name], kernel)]
        names = [name for name in names if not any(each.startswith(f"{name}: ") for each in wrong)]
        if wrong:
            text = "\n".join([*(f"NOT THE SAME PROGRAM: {each}" for each in wrong), "", text])
        if loads:
            kernel.keep_statistics()
            found = {name: times(objects[name], WORK[name], kernel, loads) for name in names}
            text += "\n\n" + time_table(found, loads)
    return text, mean, worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="instructions only")
    parser.add_argument("--loads", type=int, default=10, metavar="N")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=", ".join(WORK))
    chosen = parser.parse_args()
    if not compilers():
        raise SystemExit("no C compiler: apt-get install clang-14 libbpf-dev, or pip install ziglang")
    print(f"{measuring.machine()}\n")
    text, mean, worst = report(chosen.programs or list(WORK), 0 if chosen.quick else chosen.loads)
    print(text)
    return int(mean > MEAN_BAR or worst > WORST_BAR or "NOT THE SAME" in text)


if __name__ == "__main__":
    sys.exit(main())
