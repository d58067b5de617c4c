"""Reads what the verifier says: the free text of all kernels, and the structured report that Linux 7.3 puts at its end.

Free text: per instruction a line `12: (61) r2 = *(u32 *)(r1 +4) ; R2_w=scalar(...)`, register states after `;` or in
lines of their own, source lines as comments, the cause last, then `processed N insns`.
"""
from __future__ import annotations

import re
from typing import NamedTuple

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
                    r"\s*\d+: safe|caller:|callee:|returning from|to caller|BTF |insns_processed|  [. 0-9]+\s)")
_FIELD = re.compile(r"^\s*(Reason|At|Suggestion|Where|Hint|Source)\s*:\s*(.*)$", re.IGNORECASE)
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
                   plain.text, plain.state, place.file, place.line, place.source, told.suggestion, plain.processed)


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
        self.registers.update(_registers(after))

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
        named = re.findall(r"\bR(\d+)\b", reason) + _USED.findall(self.text.partition("goto")[0])
        names = dict.fromkeys(f"R{number}" for number in named)
        return tuple((name, describe(self.before[name])) for name in names if name in self.before)[:4]


def _registers(text: str) -> dict[str, str]:
    return dict(_REGISTER.findall(text))


def _structured(log: str) -> Verdict | None:
    """The structured report: what follows the last line that announces a failed verification."""
    at = log.rfind("Verification failed")
    if at < 0:
        return None
    fields: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in log[at:].splitlines()[1:]:
        found = _FIELD.match(line)
        if found:
            current = fields.setdefault(found[1].lower(), [])
            if found[2]:
                current.append(found[2].strip())
        elif not line.strip() or line.startswith("processed "):
            current = None
        elif current is not None:
            current.append(line.strip())
    place = " ".join(fields.get("at", fields.get("where", ())))
    number = re.search(r"\binsn(?:struction)?\s*#?(\d+)", place) or re.search(r"^\s*#?(\d+)\b", place)
    file = re.search(r"(\S+\.\w+):(\d+)", place)
    return Verdict(" ".join(fields.get("reason", ())), int(number[1]) if number else -1,
                   file=file[1] if file else "", line=int(file[2]) if file else 0,
                   suggestion=" ".join(fields.get("suggestion", fields.get("hint", ()))))
