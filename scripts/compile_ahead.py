#!/usr/bin/env python3
"""Compile the ready tools ahead into one file, which the package brings along: their first start needs no LLVM then.

    scripts/compile_ahead.py [OUTPUT]     write src/bpfwright/ahead.bin, as building the package does
    scripts/compile_ahead.py --record [SERIES...]    add what the functions and events of this kernel, or of the lab's,
                                          take to scripts/prototypes.json

Nothing of the machine that builds enters: what programs must know of a kernel comes out of prototypes.json, recorded on
the lab's kernels and newer ones. A kernel that differs from all of them compiles as ever.
"""
from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bpfwright.errors import BtfError, CompileError, TargetError, UsageError
from bpfwright.facets.tools import names, tool
from bpfwright.facets.tools._tool import Either, Tool
from bpfwright.kernel import Kernel
from bpfwright.lang import ahead
from bpfwright.lang.compile import compile_anywhere
from bpfwright.lang.target import Target
from bpfwright.objfile import read
from bpfwright.spec.program import Program

HERE = Path(__file__).resolve().parent
PROTOTYPES = HERE / "prototypes.json"
# What kernels answer, newest first: each line has what the one below it has not.
ANSWERS = tuple(frozenset(words.split()) for words in (
    "tracing_timers may_goto iter_num bpf_loop current_task_btf",
    "may_goto iter_num bpf_loop current_task_btf",  # 6.9
    "iter_num bpf_loop current_task_btf",  # 6.4
    "bpf_loop current_task_btf",  # 5.17
    "current_task_btf",  # 5.11
    ""))  # 5.10
# Programs that go together where a tool makes the choice out of its options.
CHOICES = {
    "argdist": tuple(f"{where}_{what}{back}" for what in ("number", "said") for where in ("kernel", "user", "event")
                     for back in ("", "_back") if (where, back) != ("event", "_back")),
    "bashreadline": ("typed",),
    "drsnoop": ("begins ends", "begins ends limit_begins limit_ends"),
    "funccount": ("kernel", "user", "event"),
    "funclatency": ("kernel_begins kernel_ends", "user_begins user_ends"),
    "llcstat": ("referred missed",),
    "memleak": ("kmalloc kfree", "asked asked_many asked_again got freed"),
    "sslsniff": ("written reading read read_ex",),
    "stackcount": ("kernel", "function", "event"),
    "syscount": ("leave", "enter leave"),
    "tcpretrans": ("again", "again probed"),
    "udplife": ("sends receives closed",),
}
HOMES = {"argdist": "_simple"}  # where a tool's programs stand, when that is another file
MADE_OF_WORDS = ("usdt",)  # its programs are written out of what the user types

Programs = list[Program[Any, Any, Any]]
Parameters = list[tuple[str, str]]
Known = dict[str, list[Any]]  # what recorded kernels answered to a question: Parameters, or an event's format
NO_FORMAT = "format:\n"


def sets() -> Iterator[tuple[str, Programs]]:
    """(tool, programs that are compiled together), each set once."""
    for name in sorted(set(names()) - set(MADE_OF_WORDS)):
        module = import_module(f"bpfwright.facets.tools.{HOMES.get(name, name)}")
        some = [[getattr(module, word) for word in words.split()] for words in CHOICES.get(name, ())]
        for shape in _shapes(tool(name)):
            if not callable(shape.programs):
                some += shape.programs if isinstance(shape.programs, list) else [shape.programs]
        single = [list({id(program.function): program for program in each}.values()) for each in some]
        for programs in {tuple(id(program.function) for program in each): each for each in single}.values():
            yield name, programs


def _shapes(found: Tool) -> list[Tool]:
    return [found._then, found._other] if isinstance(found, Either) else [found]


class _Recorded:
    """A machine that knows what functions and events take, and notes what it is asked for."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known
        self.asked: list[str] = []

    def prototype(self, kind: str, name: str) -> Parameters:
        self.asked.append(f"{kind} {name}")
        return [(parameter, struct) for parameter, struct in self.known.get(self.asked[-1], ())]

    def event_format(self, category: str, name: str) -> str:
        self.asked.append(f"{category} {name}")
        return str(self.known.get(self.asked[-1], NO_FORMAT))


def _prepared(programs: Programs, known: dict[str, Any]) -> list[str]:
    """Give the programs their facts; the functions and events that they asked about."""
    machine: Any = _Recorded(known)
    for program in programs:
        try:
            program.facts = program.hook.prepare(machine, program)
        except TargetError:  # of an event that nothing is known of yet
            if known:
                raise
    asked: list[str] = machine.asked
    return asked


def variants(programs: Programs, known: Known, name: str) -> Iterator[tuple[str, ahead.Variant]]:
    """(key, object) for each way in which kernels differ to these programs of a tool."""
    questions = _prepared(programs, {})
    done: list[tuple[str, tuple[tuple[str, bool], ...]]] = []
    for choice in itertools.product(*(known.get(question, ()) for question in questions)):
        _prepared(programs, dict(zip(questions, choice, strict=True)))
        try:
            facts = ahead.used_facts(programs)
        except UsageError:  # on such a kernel the tool takes other programs
            continue
        for features in ANSWERS:
            if any(facts == other and all((feature in features) == answer for feature, answer in asked)
                   for other, asked in done):
                continue
            noted = ahead.Asked(features)
            try:
                key, frozen = compile_anywhere(programs, Target("v3", noted), read)
            except CompileError as problem:  # as it does not compile there either
                print(f"{name} without {', '.join(sorted(ANSWERS[0] - features))}: {problem.what}", file=sys.stderr)
                continue
            done.append((facts, tuple(sorted(noted.answers().items()))))
            yield key, ahead.Variant(done[-1][1], facts, frozen)


def write(output: Path) -> None:
    """Compile everything."""
    known: Known = json.loads(PROTOTYPES.read_text())
    found: dict[str, list[ahead.Variant]] = {}
    for name, programs in sets():
        for key, variant in variants(programs, known, name):
            found.setdefault(key, []).append(variant)
    output.write_bytes(ahead.pack(found))
    print(f"{output}: {sum(map(len, found.values()))} objects of {len(found)} sets of programs, "
          f"{output.stat().st_size >> 10} KiB", file=sys.stderr)


def answers() -> dict[str, Any]:
    """What this kernel answers to the programs' questions."""
    found: dict[str, Any] = {}
    with Kernel() as kernel:
        for question in sorted({question for _, programs in sets() for question in _prepared(programs, {})}):
            kind, _, name = question.partition(" ")
            try:
                if kind in ("function", "lsm", "tp_btf"):
                    found[question] = [list(each) for each in kernel.prototype(kind, name) or ()]
                else:
                    lines = kernel.event_format(kind, name).splitlines(True)
                    found[question] = "".join(line for line in lines if not line.startswith("ID:"))
            except (BtfError, TargetError):
                continue
    return found


def record(series: list[str]) -> None:
    """Add what the kernels of these series answer, in the lab; without any, what this one does."""
    known: Known = json.loads(PROTOTYPES.read_text()) if PROTOTYPES.exists() else {}
    for found in map(_answers_in_the_lab, series) if series else (answers(),):
        for question, answer in found.items():
            if answer not in known.setdefault(question, []):
                known[question].append(answer)
    lines = (f"  {json.dumps(name)}: {json.dumps(some)}" for name, some in sorted(known.items()))
    PROTOTYPES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _answers_in_the_lab(series: str) -> dict[str, Any]:
    sys.path.insert(0, str(HERE.parent))
    from vmtest import boot, kernels
    said: list[str] = []
    command = [str(HERE.parent / ".venv/bin/python"), str(HERE / "compile_ahead.py"), "--answers"]
    outcome = boot.run(kernels.get(series), command, folder=str(HERE.parent), environment={"HOME": "/run"},
                       timeout_s=600.0, on_line=said.append)
    if outcome.status != 0:
        sys.exit(f"{series}: {outcome.stderr or outcome.console}")
    found: dict[str, Any] = json.loads(said[-1])
    return found


def main() -> None:
    match sys.argv[1:]:
        case ["--answers"]:
            print(json.dumps(answers()))
        case ["--record", *series]:
            record(series)
        case words:
            write(Path(words[0] if words else ahead.PATH))


if __name__ == "__main__":
    main()
