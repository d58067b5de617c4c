"""A stopped run with all that is known of it: its source, variables, registers, and what the verifier knew of them."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import BpfwrightError
from bpfwright.spec.objects import ObjectSpec
from bpfwright.userspace.debugger import Debugger
from bpfwright.userspace.showing import disassembly, frame_name, registers, source_lines

if TYPE_CHECKING:
    from bpfwright.userspace.beliefs import Belief, Beliefs
    from bpfwright.userspace.variables import Shown, Variables

__all__ = ["View"]


class View:
    """What a debugger shows. `elf` is the object file, whose DWARF names the variables; it is read, and the verifier is
    asked, when that is first wanted."""

    def __init__(self, debugger: Debugger, spec: ObjectSpec, elf: bytes = b"") -> None:
        self.debugger = debugger
        self._spec = spec
        self._elf = elf
        self._variables: Variables | None = None
        self._beliefs: Beliefs | None = None
        self.no_variables = "" if elf else "the object file is not at hand"

    def variables(self, frame: int = 0) -> list[Shown]:
        """The variables of a frame; empty where none are known, and then `no_variables` says why."""
        names = self.names
        return names.shown(frame) if names is not None else []

    @property
    def names(self) -> Variables | None:
        """The object's variables; None where there are none."""
        if self._variables is None and not self.no_variables:
            from bpfwright.userspace.variables import Variables
            try:
                self._variables = Variables(self.debugger, self._elf)
            except BpfwrightError as error:
                self.no_variables = str(error)
        return self._variables

    def belief(self) -> Belief | None:
        """What the verifier knew at the present instruction."""
        at = self.debugger.position
        if at.ended or at.program is not self.debugger.program:
            return None
        return self.beliefs.at(at.slot, at.registers)

    @property
    def beliefs(self) -> Beliefs:
        """The verifier's states."""
        if self._beliefs is None:
            from bpfwright.userspace.beliefs import Beliefs
            machine = self.debugger.machine
            self._beliefs = Beliefs(self._spec, self.debugger.program.spec.name, machine.kernel_btf)
        return self._beliefs

    def screen(self) -> str:
        """Everything at a glance."""
        position = self.debugger.position
        line = position.line
        head = f"{frame_name(position.frames[0])}" if position.frames else position.program.spec.name
        where = f"{line.file}:{line.line}" if line is not None else "no source"
        if position.ended:
            said = str(position.fault) if position.fault is not None else f"r0 = {position.registers[0]:#x}"
            return f"ended after {position.count} instructions: {said}"
        lines = [f"{head} at {where}, instruction {position.count}", *source_lines(position), "",
                 *disassembly(position), ""]
        shown = [f"  {name} = {value}" for name, value in self.variable_lines() if not value.startswith(_GONE)]
        lines += [*shown, ""] if shown else []
        belief = self.belief()
        known = belief.registers if belief is not None else {}
        for number, (name, value, what) in enumerate(registers(self.debugger, position)):
            lines.append(f"  {name:<3} {value:#018x}  {what:<28}  {known.get(number, '')}".rstrip())
        return "\n".join(lines)

    def variable_lines(self, frame: int = 0) -> list[tuple[str, str]]:
        """(name, value) of each variable; values that are gone say since when."""
        return [(each.name, each.value if each.since < 0 else f"{each.value}   (at instruction {each.since}; not kept)")
                for each in self.variables(frame)]

    def verifier_lines(self) -> list[str]:
        """The verifier's state at the present instruction: registers, stack, and how it was chosen."""
        belief = self.belief()
        if belief is None:
            verdict = self.beliefs.verdict
            if verdict is None:
                return [f"the verifier cannot judge this program: {self.beliefs.why}"]
            if not verdict.accepted:
                return [f"the verifier did not come here; at instruction {verdict.instruction} it says: "
                        f"{verdict.message}"]
            return ["the verifier was not here"]
        lines = [f"r{number:<2} {text}" for number, text in belief.registers.items()]
        lines += [f"r10{offset} {text}" for offset, text in belief.stack.items()]
        many = f"one of {belief.states} states here" if belief.states > 1 else "its only state here"
        return [*lines, f"({many}; " + ("it allows these values)" if belief.fits else
                                        "a path like this one was covered by another: this is the closest)")]


_GONE = ("not here", "optimised away")
