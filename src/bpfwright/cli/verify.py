"""Say what the kernel's verifier will say of a file's programs, why, and on which input a refused one goes wrong.

The verdict is our own verifier's, which needs neither Linux nor privilege; --kernel asks for other kernels than the
newest long-term one, by what was recorded of them. For a refused program it looks for an input on which the program
really faults: then it is a bug, and the input is printed with the way to run it again. When there is none, the checker
is too coarse, and the cure says how to write it. Programs that read kernel structs need a kernel's types: this one's,
where it has any, or those of --btf.
"""
from __future__ import annotations

import json
import os
import sys

from bpfwright._typing import TYPE_CHECKING, Any, Iterator, NamedTuple
from bpfwright.errors import BpfwrightError, NotSupported, UsageError, VerifierError

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright verify firewall.py                        this kernel's verdict, without loading",
    "bpfwright verify nat.bpf.o xdp_nat --kernel all     every recorded kernel's verdict on one program",
    "bpfwright verify nat.bpf.o --kernel 5.10 -v         with all that was known at the refused instruction",
    "bpfwright verify nat.bpf.o --no-search -j           for other programs to read",
)

KERNELS = {"5.10": "linux_5_10", "6.1": "linux_6_1", "6.12": "linux_6_12", "6.18": "linux_6_18", "7.3": "linux_7_3"}
_DEFAULT = "6.18"
_VMLINUX = "/sys/kernel/btf/vmlinux"
_REFUSED, _NOT_JUDGED = VerifierError.exit_code, NotSupported.exit_code


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a Python file with programs, or an object (.o)")
    parser.add_argument("program", nargs="?", metavar="PROGRAM", help="only this one of its programs")
    parser.add_argument("--kernel", action="append", choices=(*KERNELS, "all"), metavar="VERSION",
                        help=f"whose verdict: {', '.join(KERNELS)}, or all; may be repeated ({_DEFAULT})")
    parser.add_argument("--btf", metavar="FILE", help="a kernel's types, as in /sys/kernel/btf/vmlinux")
    parser.add_argument("--no-search", action="store_true", help="do not look for an input that makes it fault")
    parser.add_argument("--budget-s", type=float, default=5.0, metavar="S",
                        help="how many seconds to look, for each refused program (5)")
    parser.add_argument("--seed", type=int, default=0, help="of the search (0)")
    parser.add_argument("-v", "--verbose", action="count", default=0,
                        help="everything that was known at the refused instruction; -vv: at each on the way")
    parser.add_argument("-f", "--format", choices=("text", "json"), default="text", help="how it is written (text)")
    parser.add_argument("-j", "--json", dest="format", action="store_const", const="json",
                        help="the same as -f json")


class _Judged(NamedTuple):
    """One program's verdict by one kernel. `proven` says that the verifier of a kernel that reasoned a little better
    would accept it."""

    program: str
    kernel: str
    verdict: Any
    seconds: float
    problem: BpfwrightError | None = None
    search: Any = None
    unsearched: str = ""
    proven: bool = False
    trace: tuple[str, ...] = ()


def run(chosen: argparse.Namespace) -> int:
    if not 0 <= chosen.budget_s <= 3600:
        raise UsageError("--budget-s is a number of seconds from 0 to 3600")
    types = _types(chosen.btf)
    spec = _object(chosen, types)
    names = [program.name for program in spec.programs]
    if chosen.program is not None and chosen.program not in names:
        raise UsageError(f"{chosen.file} has no program {chosen.program}", cure=f"It has {', '.join(names)}.")
    if not names:
        raise UsageError(f"{chosen.file} has no programs")
    kernels = list(dict.fromkeys(chosen.kernel or [_DEFAULT]))
    if "all" in kernels:
        kernels = list(KERNELS)
    rows = []
    code = 0
    for judged in _verdicts(chosen, spec, [chosen.program] if chosen.program else names, kernels, types):
        rows.append(judged)
        if judged.problem is not None:
            code = code or judged.problem.exit_code
        elif not judged.verdict.accepted:
            code = _REFUSED
        if chosen.format == "text":
            print("\n".join(_text(judged, spec, chosen)), flush=True)
    if chosen.format == "json":
        json.dump([_row(judged, spec, chosen) for judged in rows], sys.stdout, indent=1)
        print()
    return code


def _types(path: str | None) -> Any:
    """A kernel's types: those that were asked for, or this kernel's where it shows them."""
    from bpfwright.formats.btf import Btf
    if path is None:
        return Btf.open(_VMLINUX) if os.access(_VMLINUX, os.R_OK) else None
    with open(path, "rb") as file:
        return Btf(file.read())


def _object(chosen: argparse.Namespace, types: Any) -> Any:
    from bpfwright.cli.test_run import object_of
    from bpfwright.kernel.tracepoints import event_format
    from bpfwright.userspace import Userspace

    class Informed(Userspace):
        """Knows this kernel's events too, where their formats may be read."""

        def event_format(self, category: str, name: str) -> str:
            try:
                return super().event_format(category, name)
            except NotSupported as unknown:
                try:
                    return event_format(category, name)
                except BpfwrightError:
                    raise unknown from None

    with Informed(memory_bytes=1 << 20, kernel_btf=types) as machine:
        return object_of(chosen.file, chosen.program, machine)


def _verdicts(chosen: argparse.Namespace, spec: Any, names: list[str], kernels: list[str], types: Any,
              ) -> Iterator[_Judged]:
    from bpfwright._host import now_ns
    from bpfwright.userspace.verifier import Profile, verify
    profiles = {kernel: Profile(KERNELS[kernel]) for kernel in kernels}
    for name in names:
        searched: dict[tuple[str, int], tuple[Any, str]] = {}
        for kernel, profile in profiles.items():
            before = now_ns()
            try:
                verdict = verify(spec, name, profile=profile, kernel_btf=types)
            except BpfwrightError as problem:
                yield _Judged(name, kernel, None, 0.0, problem=_helped(problem, types))
                continue
            took = (now_ns() - before) / 1e9
            if verdict.accepted:
                yield _Judged(name, kernel, verdict, took)
                continue
            place = verdict.reason, verdict.instruction
            if not chosen.no_search and place not in searched:
                searched[place] = _searched(chosen, spec, name, verdict, types)
            found, unsearched = searched.get(place, (None, ""))
            proven = not chosen.no_search and found is not None and found.found is None and verify(
                spec, name, profile=Profile(KERNELS[kernel], elides_bounded=True), kernel_btf=types).accepted
            trace = _traced(spec, name, profile, types, verdict, chosen.verbose) if chosen.verbose else ()
            yield _Judged(name, kernel, verdict, took, search=found, unsearched=unsearched, proven=proven, trace=trace)


def _helped(problem: BpfwrightError, types: Any) -> BpfwrightError:
    """What a kernel's types would have answered."""
    if types is None and isinstance(problem, NotSupported):
        return NotSupported(problem.what, why="no kernel's types are here: " + (problem.why or "it asks for them"),
                            cure="Give them with --btf FILE: a copy of /sys/kernel/btf/vmlinux of the kernel that it "
                                 "is for.")
    return problem


def _searched(chosen: argparse.Namespace, spec: Any, name: str, verdict: Any, types: Any) -> tuple[Any, str]:
    """What the search gave, or why there was none."""
    from bpfwright.userspace.counterexamples import search
    if chosen.format == "text" and sys.stderr.isatty():
        print(f"bpfwright: {name} is refused; looking for an input that shows it ...", file=sys.stderr)
    try:
        return search(spec, name, verdict, seconds=chosen.budget_s, seed=chosen.seed, kernel_btf=types), ""
    except BpfwrightError as problem:
        return None, problem.what


def _traced(spec: Any, name: str, profile: Any, types: Any, verdict: Any, verbose: int) -> tuple[str, ...]:
    """The states on the way, as text: the last at the refused instruction, or with -vv all."""
    from bpfwright.userspace.verifier import verify
    from bpfwright.userspace.verifier.state import slot_text, text
    kept: list[str] = []

    def note(at: int, state: Any) -> None:
        if verbose < 2 and at != verdict.instruction:
            return
        frame = state.frames[-1]
        registers = " ".join(f"R{number}={text(reg)}" for number, reg in enumerate(frame.regs) if reg.type)
        slots = " ".join(f"fp-{8 * (index + 1)}={slot_text(slot)}" for index, slot in sorted(frame.stack.items()))
        if verbose < 2:
            kept.clear()
        kept.append(f"{at}: {registers} {slots}".rstrip())

    verify(spec, name, profile=profile, kernel_btf=types, trace=note)
    return tuple(kept)


# what is printed

def _text(judged: _Judged, spec: Any, chosen: argparse.Namespace) -> list[str]:
    where = f" by Linux {judged.kernel}" if chosen.kernel else ""
    if judged.problem is not None:
        return [f"{judged.program}: not judged{where}",
                *(f"  {line.strip()}" for line in str(judged.problem).splitlines())]
    verdict = judged.verdict
    if verdict.accepted:
        return [f"{judged.program}: accepted{where}, {verdict.processed:,} instructions processed, "
                f"{judged.seconds:.3f} s"]
    first, *rest = str(_as_error(judged, where)).splitlines()
    lines = [first]
    for line in rest:
        if line.startswith("  cure: "):
            lines += _input_lines(judged, spec, chosen)
        lines.append(line)
        if verdict.line is not None and line.startswith(f"  {verdict.line.file}:{verdict.line.line}: "):
            lines += _caret(verdict.line)
        if line.startswith("  verifier: ") and verdict.missing:
            lines.append(f"  missing:  {verdict.missing}")
    return lines + [f"    {line}" for line in judged.trace]


def _as_error(judged: _Judged, where: str) -> VerifierError:
    """Our verdict in the form in which the kernel's is shown."""
    from bpfwright.kernel.registers import describe
    verdict, line = judged.verdict, judged.verdict.line
    facts = tuple(f"{register} is {describe(state)}{_of_map(state)}" for register, state in verdict.facts)
    return VerifierError(f"{judged.program}: refused{where} at instruction {verdict.instruction}", 22,
                         program=judged.program, file=line.file if line else "", line=line.line if line else 0,
                         source=line.source if line else "", reason=verdict.message, state=facts, cure=verdict.cure)


def _of_map(state: str) -> str:
    _, _, rest = state.partition("map=")
    return f", of map {rest.replace(')', ',').partition(',')[0]}" if rest else ""


def _caret(line: Any) -> list[str]:
    """Beneath the source, where the column is known."""
    indent = len(line.source) - len(line.source.lstrip())
    at = line.column - 1 - indent
    if line.column <= 0 or not 0 <= at < len(line.source.strip()):
        return []
    return [" " * (len(f"  {line.file}:{line.line}: ") + at) + "^"]


def _input_lines(judged: _Judged, spec: Any, chosen: argparse.Namespace) -> list[str]:
    if chosen.no_search:
        return []
    if judged.search is None:
        return [f"  input:    none was looked for: {judged.unsearched}"] if judged.unsearched else []
    found = judged.search.found
    if found is None:
        if judged.proven:
            return ["  input:    none can do harm here, which is proven: the checker is too coarse, write it so"]
        return [f"  input:    no such input found in {judged.search.runs:,} runs: the checker is too coarse here, or "
                "no run shows it; write it so"]
    from bpfwright.userspace.counterexamples.showing import as_test, described, plain_fault
    kind = next(program.type for program in spec.programs if program.name == judged.program)
    lines = [f"  input:    {line}" if not number else f"            {line}"
             for number, line in enumerate(described(found.given, kind))]
    elsewhere = "" if found.there else ", another fault than the verifier came to"
    lines.append(f"  then:     {found.fault.what}{elsewhere}: {found.fault.why}")
    if plain_fault(spec, judged.program, found):
        lines.append(f"  see it:   bpfwright debug {chosen.file} {judged.program} --packet {found.given.data.hex()}")
        return lines
    test = as_test(found.given, chosen.file, judged.program).splitlines()
    return [*lines, "  see it:   run this test", *(f"    | {line}".rstrip() for line in test)]


def _row(judged: _Judged, spec: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {"program": judged.program, "kernel": judged.kernel}
    if judged.problem is not None:
        return row | {"accepted": None, "problem": str(judged.problem)}
    verdict, line = judged.verdict, judged.verdict.line
    row |= {"accepted": verdict.accepted, "processed": verdict.processed, "seconds": round(judged.seconds, 6)}
    if verdict.accepted:
        return row
    row |= {"reason": verdict.reason, "message": verdict.message, "instruction": verdict.instruction,
            "file": line.file if line else None, "line": line.line if line else None,
            "column": line.column if line else None, "source": line.source.strip() if line else None,
            "missing": verdict.missing, "facts": dict(verdict.facts), "cure": verdict.cure, "runs": None,
            "proven": judged.proven, "counterexample": None}
    if judged.trace:
        row["trace"] = list(judged.trace)
    if judged.search is not None:
        row["runs"] = judged.search.runs
        row["counterexample"] = _found(judged, chosen) if judged.search.found is not None else None
    elif judged.unsearched:
        row["unsearched"] = judged.unsearched
    return row


def _found(judged: _Judged, chosen: argparse.Namespace) -> dict[str, Any]:
    from bpfwright.userspace.counterexamples.showing import as_test
    found = judged.search.found
    given = found.given
    return {"fault": found.fault.kind, "instruction": found.fault.instruction, "why": found.fault.why,
            "at_the_place": found.there, "packet": given.data.hex(), "context": given.context.hex(),
            "maps": [{"map": name, "key": key.hex(), "value": value.hex()} for name, key, value in given.entries],
            "full": dict(given.full), "socket": given.socket, "cpu": given.cpu,
            "test": as_test(given, chosen.file, judged.program)}
