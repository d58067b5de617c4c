"""Reads what the verifier says: the free text of all kernels, and the structured report that Linux 7.3 puts at its end.

Free text: per instruction a line `12: (61) r2 = *(u32 *)(r1 +4) ; R2_w=scalar(...)`, register states after `;` or in
lines of their own, source lines as comments, the cause last, then `processed N insns`.
"""
from __future__ import annotations

import re

from bpfwright._typing import NamedTuple
from bpfwright.kernel.registers import describe

__all__ = ["Verdict", "parse"]


class Verdict(NamedTuple):
    """What a log tells. `instruction` is -1 when it names none; `state` pairs registers with what they held."""

    reason: str = ""
    instruction: int = -1
    text: str = ""
    state: tuple[tuple[str, str], ...] = ()
    file: str = ""
    line: int = 0
    source: str = ""
    suggestion: str = ""
    processed: int = 0


_INSTRUCTION = re.compile(r"^\s*(\d+): \(([0-9a-f]{2})\) (.*)$")
_STATE = re.compile(r"^(?:from (\d+) to )?(\d+)(?: \([^)]*\))?: (?:safe$|(?:frame\d+: ?)?(?=R\d|fp))(.*)$")
_SOURCE = re.compile(r"^; (.*?)(?: @ (\S+):(\d+))?$")
_REGISTER = re.compile(r"\b(R\d+|fp-?\d+)(?:_[rwD]+|_[a-z]+)*=((?:[^ (]|\((?:[^()]|\([^()]*\))*\))+)")
_PROCESSED = re.compile(r"^processed (\d+) insns")
_AT = re.compile(r"\b(?:insn|instruction|at|@)\s*#?(\d+)\b")
_NOISE = re.compile(r"^(?:verification time|stack depth|processed \d+|mark_precise|regs=|parent |last_idx|func#\d|"
                    r"propagating|from \d+ to \d+|max_states|peak_states|Live regs|Validating |Func#|"
                    r"\s*\d+: (?:safe|\()|cur state:|old state:|"
                    r"caller:|callee:|returning from|to caller|BTF |insns_processed|  [. 0-9]+\s)")
_HEADING = re.compile(r"^([A-Z][A-Za-z ]*):\s*(.*)$")
_PLACE = re.compile(r"^  (\S+) @ (.+):(\d+):\d+$")
_MARK = re.compile(r"^\s*>>>\s*(\d+) \| (?:\([0-9a-f]{2}\) )?(.*)$")
_POINTER = re.compile(r"^\s*\|\s+\^-- (\w+): (.*)$")
_POINTED = re.compile(r"^\s*\|\s{4,}(\S.*)$")
_WRITTEN = re.compile(r"^[rw]\d+ = ")        # what an instruction only writes, it need not know
_TARGET = re.compile(r"^[rw](\d+) (?:\S{1,3})?= ")
_USED = re.compile(r"\b[rw](\d+)\b")


def parse(log: str) -> Verdict:
    """The verdict of a log; an empty reason when the verifier said nothing."""
    walk = _Walk()
    for line in log.splitlines():
        walk.line(line.rstrip())
    plain = walk.verdict()
    structured = _structured(log)
    if not structured:
        return plain
    return _merged(plain, structured)


def _merged(plain: Verdict, told: Verdict) -> Verdict:
    """What the report says, and what the text before it says where the report is silent."""
    place = told if told.line else plain
    return Verdict(told.reason or plain.reason, told.instruction if told.instruction >= 0 else plain.instruction,
                   told.text or plain.text, told.state or plain.state, place.file, place.line, place.source,
                   told.suggestion, plain.processed)


class _Walk:
    """Follows a log line by line and remembers what it must."""

    def __init__(self) -> None:
        self.instruction = -1
        self.text = ""
        self.registers: dict[str, str] = {}
        self.before: dict[str, str] = {}
        self.causes: list[str] = []
        self.source: tuple[str, str, int] = ("", "", 0)
        self.processed = 0

    def line(self, line: str) -> None:
        if not line:
            return
        found = _INSTRUCTION.match(line)
        if found:
            self._instruction(int(found[1]), found[3])
        elif line.startswith(";"):
            self._source(line)
        elif line.startswith("processed "):
            processed = _PROCESSED.match(line)
            self.processed = int(processed[1]) if processed else 0
        else:
            self._other(line)

    def _instruction(self, index: int, rest: str) -> None:
        text, _, after = rest.partition(";")
        self.instruction, self.text = index, text.strip()
        self.causes.clear()
        self.before = dict(self.registers)
        known = _registers(after)
        if not known:
            # Old kernels do not say what an instruction changed: forget it rather than tell what was.
            for name in _changed(self.text):
                self.registers.pop(name, None)
        self.registers.update(known)

    def _source(self, line: str) -> None:
        found = _SOURCE.match(line)
        if found:
            self.source = found[1], found[2] or "", int(found[3] or 0)

    def _other(self, line: str) -> None:
        state = _STATE.match(line)
        if state or line.startswith((" R", "R0", "R1=", " frame")):
            known = _registers(line)
            if known and (state or "=" in line):
                if state and state[1]:
                    self.registers.clear()
                self.registers.update(known)
                self.before = dict(self.registers)
                return
        if not _NOISE.match(line):
            self.causes.append(line.strip())

    def verdict(self) -> Verdict:
        causes = [cause for cause in self.causes if not cause.startswith(("arg#", "verification time"))] or self.causes
        if not causes:
            return Verdict(processed=self.processed)
        reason = "; ".join(dict.fromkeys(causes[-2:])) if len(causes) < 4 else causes[-1]
        instruction, text = self.instruction, self.text
        named = _AT.search(reason)
        if named and (instruction < 0 or "insn" in named[0]):
            text = text if int(named[1]) == instruction else ""
            instruction = int(named[1])
        source, file, number = self.source
        return Verdict(reason, instruction, text, self._state(reason), file, number, source, "", self.processed)

    def _state(self, reason: str) -> tuple[tuple[str, str], ...]:
        """What was known of the registers that the sentence or the instruction names, before it ran."""
        read = _WRITTEN.sub("", self.text.partition("goto")[0])
        named = re.findall(r"\bR(\d+)\b", reason) + _USED.findall(read)
        names = dict.fromkeys(f"R{number}" for number in named)
        return tuple((name, describe(self.before[name])) for name in names if name in self.before)[:4]


def _changed(text: str) -> list[str]:
    """The registers that an instruction writes."""
    if text.startswith("call"):
        return [f"R{number}" for number in range(6)]
    written = _TARGET.match(text)
    return [f"R{written[1]}"] if written else []


def _registers(text: str) -> dict[str, str]:
    return dict(_REGISTER.findall(text))


def _structured(log: str) -> Verdict | None:
    """The report of Linux 7.3: headings at the margin, the place with marked source and instruction beneath `At`, what
    led to it beneath `Causal path`."""
    at = log.rfind("Verification failed")
    if at < 0:
        return None
    parts = _parts(log[at:].splitlines()[1:])
    place = _places(parts.get("At", []))
    first = place[0] if place else _Place()
    path = tuple((f"line {step.line}" if step.line else "before", step.note)
                 for step in _places(parts.get("Causal path", [])) if step.note)
    return Verdict(_sentence(parts.get("Reason", [])), first.instruction, first.text, path[:6], first.file, first.line,
                   first.source, _sentence(parts.get("Suggestion", [])))


def _parts(lines: list[str]) -> dict[str, list[str]]:
    """The lines beneath each heading."""
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line.startswith("processed "):
            break
        heading = _HEADING.match(line)
        if heading:
            current = parts.setdefault(heading[1], [])
            if heading[2]:
                current.append(heading[2])
        else:
            current.append(line)
    return parts


def _sentence(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())


class _Place:
    """One place of the report: `function @ file:line:column`, its marked lines and what the caret says."""

    __slots__ = ("file", "instruction", "line", "note", "source", "text")

    def __init__(self, file: str = "", line: int = 0) -> None:
        self.file, self.line = file, line
        self.source = self.text = self.note = ""
        self.instruction = -1


def _places(lines: list[str]) -> list[_Place]:
    places: list[_Place] = []
    in_source = pointing = False
    for line in lines:
        found = _PLACE.match(line)
        if found:
            places.append(_Place(found[2], int(found[3])))
        if not places:
            if "Instruction context" not in line:
                continue
            places.append(_Place())         # a program without line info has no `function @ file` line
        place = places[-1]
        if line.strip().endswith("context:"):
            in_source = "Source" in line
        marked, note = _MARK.match(line), _POINTER.match(line)
        if marked and in_source:
            place.source = marked[2].strip()
        elif marked:
            place.instruction, place.text = int(marked[1]), marked[2].strip()
        more = _POINTED.match(line) if pointing else None
        pointing = bool(note or more)
        if note:
            place.note = note[2]
        elif more:
            place.note += " " + more[1]
    return places
