"""Reads one program's counters against its line table and its sources."""
from __future__ import annotations

from bisect import bisect_right

from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.coverage import Report
from bpfwright.userspace.endings import Endings
from bpfwright.userspace.proofs import Proof
from bpfwright.userspace.statements import Flow, Places, places_of
from bpfwright.userspace.transitions import OUTSIDE, edges, leaves, lines_by_slot, transitions

if TYPE_CHECKING:
    from bpfwright.userspace.program import UserProgram

__all__ = ["measure"]

_FRAME = 10  # the register of the stack frame
Label = tuple[Flow | None, int, str]  # function, statement, file; in C no function, and the line


def measure(program: UserProgram) -> Report:
    """What a program that counts has counted so far."""
    return _Measurement(program).report


class _Measurement:
    def __init__(self, program: UserProgram) -> None:
        assert program.counts is not None
        self.code, self.counts, self.faulted = program.code, program.counts, program.faulted
        self.report = Report()
        self.sources: dict[str, Places | None] = {}
        self.places: dict[tuple[str, int], Label] = {}
        self.executed = self.counts.executed()
        self.indexes = [record.index for record in self.code.lines]
        self.labels = lines_by_slot(self.code, self.label)
        self.owners = {slot: self.record_at(slot) for slot in self.code.starts}
        self.lines()
        self.jumps()
        self.statements()

    def label(self, file: str, line: int) -> Label:
        known = self.places.get((file, line))
        if known is None:
            if file not in self.sources:
                self.sources[file] = places_of(file)
            places = self.sources[file]
            found = places.at.get(line) if places is not None else None
            known = self.places[file, line] = (found[0], found[1], file) if found else (None, line, file)
        return known

    def record_at(self, slot: int) -> Label | None:
        """What the line table says of an instruction, certain or not."""
        at = bisect_right(self.indexes, slot)
        return self.label(self.code.lines[at - 1].file, self.code.lines[at - 1].line) if at else None

    def lines(self) -> None:
        for record in self.code.lines:  # a line whose every block begins without a record is still there
            _, line, file = self.label(record.file, record.line)
            if line > 0:
                self.report.file(file).hits.setdefault(line, 0)
        for slot, label in enumerate(self.labels):
            if label is not None and label[1] > 0:
                hits = self.report.file(label[2]).hits
                hits[label[1]] = max(hits[label[1]], self.executed[slot])

    def jumps(self) -> None:
        for slot, taken, passed in self.counts.branches():
            label = self.record_at(slot)
            if label is not None and label[1] > 0:
                self.report.file(label[2]).jumps.setdefault(label[1], []).append((taken, passed))

    def statements(self) -> None:
        """What must have run of each Python function that instructions came from."""
        flows = {label[0]: label[2] for label in self.places.values() if label[0] is not None}
        if not flows:
            return
        went = edges(self.code, self.counts)
        endings = Endings(self.code, went)
        stops = {label for slot in range(len(self.code.slots)) if leaves(self.code, slot)
                 if (label := self.record_at(slot)) is not None}
        proofs: dict[Flow, Proof] = {}
        direct: dict[Flow, set[int]] = {}
        for flow in flows:
            own_starts = {slot for slot, label in self.owners.items() if label is not None and label[0] is flow}
            line_of = self.projected(flow, own_starts)
            direct[flow] = {line for slot, line in enumerate(line_of) if line and self.executed[slot]}
            firm = {line for slot, line in enumerate(line_of) if line and self.executed[slot] and self.firm(slot)}
            solid = {line for slot, line in enumerate(line_of) if line and self.solid(slot)} & flow.plain
            gates = {slot: flow.gate if slot in own_starts else OUTSIDE for slot in self.code.starts}
            proofs[flow] = Proof(flow, transitions(self.code, went, line_of, gates, endings), firm=firm, solid=solid,
                                 stops={line for owner, line, _ in stops if owner is flow}, faulted=self.faulted)
            proofs[flow].add(firm | {flow.gate for slot in own_starts if self.executed[slot]})
        self.enter_called(flows, proofs)
        for flow, proof in proofs.items():
            ran, report = direct.get(flow, set()), self.report.file(flows[flow])
            for line in ran - proof.ran:
                report.hits[line] = 0  # arithmetic that the compiler moved to where it runs in any case
            report.statements |= flow.statements
            report.choices |= {line: tuple(sorted(ways)) for line, ways in flow.following.items()
                               if line > 0 and len(ways) > 1}
            report.proved |= {line for line in proof.ran if line > 0} - ran
            report.arcs |= proof.arcs

    def enter_called(self, flows: dict[Flow, str], proofs: dict[Flow, Proof]) -> None:
        """What a statement that ran calls was entered, also where it was inlined and nothing of it is left."""
        if self.faulted:
            return
        named: dict[str, list[tuple[Flow, str]]] = {}
        for file in set(flows.values()):
            places = self.sources[file]
            for flow in places.flows if places is not None else ():
                named.setdefault(flow.name, []).append((flow, file))
        waiting = list(proofs)
        while waiting:
            caller = waiting.pop()
            names = {name for line, called in caller.calls.items() if line in proofs[caller].ran for name in called}
            for name in names:
                if len(named.get(name, ())) != 1:
                    continue
                flow, file = named[name][0]
                if flow not in proofs:
                    flows[flow] = file
                    proofs[flow] = Proof(flow, set(), firm=set(), solid=set(), stops=set(), faulted=False)
                if flow.gate not in proofs[flow].ran:
                    proofs[flow].add({flow.gate})
                    waiting.append(flow)

    def firm(self, slot: int) -> bool:
        """Whether an instruction stays where its statement is: what has effects, and loads that may not be tried."""
        instruction = self.code.slots[slot]
        if instruction is None:
            return False
        kind, operation = instruction.opcode & 7, instruction.row.op
        if kind in (2, 3):
            return operation == "atomic" or instruction.dst != _FRAME
        return (kind == 1 and instruction.src != _FRAME) or operation in ("call", "callx", "exit", "ldabs", "ldind")

    def solid(self, slot: int) -> bool:
        """Whether an instruction is there wherever its statement runs."""
        instruction = self.code.slots[slot]
        return instruction is not None and instruction.row.op in ("call", "callx", "atomic")

    def projected(self, flow: Flow, own_starts: set[int]) -> list[int | None]:
        """Each slot's statement of one function. Within that function's own code, others' lines are what it calls,
        inlined; elsewhere they are OUTSIDE."""
        found: list[int | None] = []
        own = False
        for slot, label in enumerate(self.labels):
            if slot in self.owners:
                own = slot in own_starts
            if label is None or label[0] is flow:
                found.append(label[1] if label is not None and label[1] > 0 else None)
            else:
                found.append(None if own else OUTSIDE)
        return found
