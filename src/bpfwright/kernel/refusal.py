"""A refused program: finds the source line, what the verifier knew there and the likely cure."""
from __future__ import annotations

import errno
import re

from bpfwright.formats.btf.relocate import POISON
from bpfwright.errors import BpfwrightError, KernelError, NotSupported, VerifierError
from bpfwright.kernel.cures import cure_for
from bpfwright.spec.linking import Linked
from bpfwright.kernel.verifier_log import Verdict, parse
from bpfwright.spec.objects import Function, LineInfo, ProgramSpec

__all__ = ["load_error"]

_LOST = re.compile(r"invalid mem access '(?:scalar|inv)'")


def load_error(spec: ProgramSpec, failure: KernelError, log: str, linked: Linked,
               functions: dict[str, Function], poisoned: dict[tuple[str, int], str]) -> BpfwrightError:
    """The error of a load: VerifierError when the verifier spoke, an explanation of the errno otherwise."""
    verdict = parse(log)
    if not verdict.reason and log and failure.errno == errno.E2BIG:
        verdict = verdict._replace(reason="BPF program is too large")       # the log ended before the verifier did
    if not verdict.reason:
        from bpfwright.kernel.explain import program_error
        return program_error(spec, failure)
    if verdict.reason.endswith("is not sleepable"):  # whether a function may sleep is the kernel's choice, by version
        return NotSupported(f"program {spec.name!r} may sleep, and this kernel does not let programs sleep there",
                            why=f"verifier: {verdict.reason}", cure="Leave sleepable=True out, or use a newer kernel.")
    if str(POISON) in verdict.reason:
        cause = _poison_at(linked, verdict.instruction, poisoned)
        verdict = verdict._replace(reason=cause, suggestion="Ask first whether it exists (exists(...), or "
                                   "bpf_core_field_exists in C), or write for this kernel's types.")
    lines = linked.lines or _lines(linked, functions)
    # What names no instruction is about the whole program: its first line then.
    line = line_of(lines, verdict.instruction if verdict.instruction >= 0 or verdict.line else 0)
    file, number, source = (line.file, line.line, line.source) if line else (verdict.file, verdict.line, verdict.source)
    return VerifierError(f"the verifier rejected program {spec.name!r}", failure.errno or 22, program=spec.name,
                         file=file, line=number, source=source, reason=verdict.reason, state=_known(verdict),
                         cure=_cure(verdict), log=log)


def _poison_at(linked: Linked, instruction: int, poisoned: dict[tuple[str, int], str]) -> str:
    """Why the instruction that the verifier ran into could not be relocated."""
    for (function, index), reason in poisoned.items():
        start = linked.starts.get(function)
        if start is not None and start + index <= instruction <= start + index + 1:
            return reason
    return "something that this kernel does not have is used"


def _lines(linked: Linked, functions: dict[str, Function]) -> tuple[LineInfo, ...]:
    """Line info that was not fit for the kernel still serves people."""
    found = [line._replace(index=start + line.index) for name, start in linked.starts.items()
             for line in functions[name].lines]
    return tuple(sorted(found))


def line_of(lines: tuple[LineInfo, ...], instruction: int) -> LineInfo | None:
    """The last line that begins at or before an instruction; line 0 is the compiler's own code."""
    best = None
    for line in lines if instruction >= 0 else ():
        if line.index > instruction:
            break
        if line.line or best is None:
            best = line
    return best


def _cure(verdict: Verdict) -> str:
    """What the kernel suggests, or what we know of the sentence and of what the register was before."""
    if _LOST.search(verdict.reason) and any("into the packet" in meaning for _, meaning in verdict.state):
        return "A call before (adjust_head, adjust_tail ...) may have moved the packet: find the header again after it."
    return verdict.suggestion or cure_for(verdict.reason)


def _known(verdict: Verdict) -> tuple[str, ...]:
    return tuple(f"{register} is {meaning}" for register, meaning in verdict.state)
