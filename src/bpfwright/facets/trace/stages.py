"""What a script becomes, stage by stage, for people who want to see it (-d)."""
from __future__ import annotations

import sys

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import BpfwrightError, UsageError

if TYPE_CHECKING:
    from bpfwright.facets.trace.options import Options

__all__ = ["STAGES", "chosen", "show"]

STAGES = ("ast", "codegen", "codegen-opt", "dis", "libbpf", "verifier")


def chosen(words: str) -> list[str]:
    """The stages that a word of -d names: one, several with commas between, or `all`. UsageError for what is none."""
    found: list[str] = []
    for word in words.split(","):
        if word not in (*STAGES, "all"):
            raise UsageError(f"there is no stage {word!r}", cure=f"There are {', '.join(STAGES)} and all.")
        found += STAGES if word == "all" else (word,)
    return found


def show(stages: list[str], text: str, file: str, options: Options, machine: Any, command: str | None = None) -> int:
    """Print stages: ast (the tree, as the canonical text of the language), codegen (the typed IR), codegen-opt (LLVM's
    text), dis (instructions of the object), libbpf (what our loader does: maps, programs, attachments), verifier (the
    kernel's own log of each program). `command` is started for what attaches to it, and never goes on."""
    wanted = [stage for stage in STAGES if stage in stages]
    loading: dict[str, str] = {}
    problem: BpfwrightError | None = None
    if {"libbpf", "verifier"} & set(wanted):
        loading, problem = _loading("verifier" in wanted, text, file, options, machine, command)
    for one in wanted:
        if len(wanted) > 1:
            print(f"--- {one}")
        sys.stdout.write(loading[one] if one in loading else _STAGES[one](text, file, options, machine))
    sys.stdout.flush()
    if problem is not None:
        raise problem
    return 0


def _loading(logs: bool, text: str, file: str, options: Options, machine: Any, command: str | None) -> tuple[
        dict[str, str], BpfwrightError | None]:
    """What loading and attaching did, by stage, and what it ended with."""
    from bpfwright.facets.trace.scripts import compiled
    from bpfwright.kernel.journal import Journal
    made = compiled(text, file, options, machine)
    journal = Journal(verifier=logs)
    problem: BpfwrightError | None = None
    try:
        _load_and_attach(made, machine, journal, command)
    except BpfwrightError as caught:
        problem = caught
    told = [f"{name}:\n{log.rstrip()}\n" for name, log in journal.logs.items()]
    return {"libbpf": "".join(f"{line}\n" for line in journal.lines), "verifier": "\n".join(told)}, problem


def _load_and_attach(made: Any, machine: Any, journal: Any, command: str | None) -> None:
    """As it is done for a script that runs, but for its own programs: begin and end do not run."""
    from contextlib import ExitStack

    from bpfwright.facets.trace.attaching import attach, subjects
    from bpfwright.facets.trace.children import started
    from bpfwright.facets.trace.plan import WATCH_ARGUMENT
    with ExitStack() as open_:
        held = subjects(made.plan)
        for one, _ in held.values():
            open_.callback(one.close)
        loaded = open_.enter_context(machine.load(made.object, replaces=held, journal=journal))
        child = started(command) if command is not None else None
        if child is not None:
            open_.callback(child.close)
        for name in (*made.plan.begin, *made.plan.end, *(program for _, program in made.plan.signals)):
            journal.lines.append(f"{name}: run from here")
        for one in made.plan.attachments:
            if one.how == WATCH_ARGUMENT:
                journal.lines.append(f"{one.program}: {one.probe}: attached when the function is entered")
                continue
            link = attach(machine, loaded.programs[one.program], one, child.pid if child is not None else -1)
            open_.callback(link.close)
            cookie = f", cookie {one.cookie}" if one.cookie else ""
            journal.lines.append(f"{one.program}: {one.probe}: attached to {link.description}{cookie}")


def _ast(text: str, file: str, options: Options, machine: Any) -> str:
    from bpfwright.facets.trace.render import render
    from bpfwright.facets.trace.scripts import front
    return render(front(text, file, options).program).rstrip("\n") + "\n"


def _unit(text: str, file: str, options: Options, machine: Any) -> Any:
    from bpfwright.facets.trace.scripts import unit_of
    return unit_of(text, file, options, machine)


def _ir(text: str, file: str, options: Options, machine: Any) -> str:
    from bpfwright.lang import ir_text
    return ir_text.render(_unit(text, file, options, machine).module)


def _llvm(text: str, file: str, options: Options, machine: Any) -> str:
    made: str = _unit(text, file, options, machine).llvm()
    return made.rstrip("\n") + "\n"


def _instructions(text: str, file: str, options: Options, machine: Any) -> str:
    from bpfwright.facets.trace.scripts import compiled
    from bpfwright.formats.isa.disassembler import disassemble
    made = compiled(text, file, options, machine)
    lines = []
    for function in made.object.functions:
        lines.append(f"{function.name}:")
        lines += [f"{number:5}: {line}" for number, line in disassemble(function.insns)]
    return "\n".join(lines) + "\n"


_STAGES = {"ast": _ast, "codegen": _ir, "codegen-opt": _llvm, "dis": _instructions}
