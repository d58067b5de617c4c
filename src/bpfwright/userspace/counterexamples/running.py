"""Runs one program strictly on one input after another, each from the same beginning."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, NamedTuple, Self
from bpfwright.errors import Fault, UsageError
from bpfwright.userspace.code import Code
from bpfwright.userspace.counterexamples.following import Follower
from bpfwright.userspace.counterexamples.inputs import BLOCK, CPUS, Input, free_context, lay_in, take_out
from bpfwright.userspace.machine import Userspace

if TYPE_CHECKING:
    from bpfwright.formats.btf.reader import Btf
    from bpfwright.spec.objects import MapSpec, ObjectSpec

__all__ = ["Ran", "Runner"]

_HASHES, _RING = frozenset((1, 5, 9, 10, 11, 25)), 27
_MOST_ENTRIES, _LARGEST_RING = 256, 1 << 16
_MEMORY = (1 << 23, 1 << 26, 1 << 30)


class Ran(NamedTuple):
    """One run: what it gave, or the fault that stopped it; `sure` when the fault is the program's own beyond doubt."""

    value: int = 0
    fault: Fault | None = None
    sure: bool = False


class Runner:
    """One program in a machine of its own. `small` makes hash maps and rings smaller than they are declared, which a
    program sees only when it fills them; a search gains time by it. Raises NotSupported, and what load() raises."""

    def __init__(self, spec: ObjectSpec, program: str, kernel_btf: Btf | None = None, *, small: bool = False,
                 budget: int = 200_000) -> None:
        if small:
            spec = spec._replace(maps=tuple(_smaller(each) for each in spec.maps))
        cpus = CPUS if _asks_for_cpu(spec) else 2
        for memory_bytes in _MEMORY:
            self.machine = Userspace(engine="interpreter", checks="strict", kernel_btf=kernel_btf, budget=budget,
                                     memory_bytes=memory_bytes, cpus=cpus)
            self.block = self.machine.arena.allocate(BLOCK)  # first, so that it stands at the same place every time
            try:
                self.loaded = self.machine.load(spec, programs=_with_tails(spec, program))
            except BaseException as error:
                self.machine.close()
                if isinstance(error, UsageError) and "used up" in error.what and memory_bytes != _MEMORY[-1]:
                    continue
                raise
            break
        self.program = self.loaded.programs[program]
        strict = self.program.strict
        assert strict is not None
        self.strict = strict
        self.free = free_context(self.program.spec.type, strict.fields)
        self.follower = Follower(self.program, strict, self.free, self.block)
        self._saved = self.machine.arena.save()
        self.runs = 0

    @property
    def code(self) -> Code:
        """The linked program."""
        return self.program.code

    def run(self, given: Input, *, follow: bool = False) -> Ran:
        """One run. With `follow`, `follower` knows afterwards what it hung on."""
        machine, program, interpreter = self.machine, self.program, self.program.interpreter
        self.runs += 1
        machine.arena.restore(self._saved)
        machine.arena.bind()
        machine.timers.clear()
        made = lay_in(machine, self.loaded, given, self.block)
        if follow:
            self.follower.begin(given)
            strict_step, follow_step = self.strict.step, self.follower.step

            def both(at: int, r: list[int]) -> None:
                strict_step(at, r)
                follow_step(at, r)

            interpreter.trace = both
        try:
            return Ran(program.test_run(given.data, context=given.context, cpu=given.cpu).value)
        except Fault as fault:
            return Ran(0, fault, self.strict.explains(fault))
        finally:
            interpreter.trace = self.strict.step
            take_out(made)

    def close(self) -> None:
        """Give everything back."""
        self.loaded.close()
        self.machine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _asks_for_cpu(spec: ObjectSpec) -> bool:
    call = bytes((0x85, 0, 0, 0, 8, 0, 0, 0))
    return any(function.insns[at:at + 8] == call for function in spec.functions
               for at in range(0, len(function.insns), 8))


def _with_tails(spec: ObjectSpec, program: str) -> frozenset[str]:
    """A program, and those that it may go on in."""
    names = {each.name for each in spec.programs}
    return frozenset({program} | {name for map_ in spec.maps for _, name in map_.initial if name in names})


def _smaller(map_: MapSpec) -> MapSpec:
    if map_.type in _HASHES and map_.max_entries > _MOST_ENTRIES:
        return map_._replace(max_entries=_MOST_ENTRIES)
    if map_.type == _RING and map_.max_entries > _LARGEST_RING:
        return map_._replace(max_entries=_LARGEST_RING)
    return map_
