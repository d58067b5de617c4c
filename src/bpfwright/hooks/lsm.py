"""LSM: allow or deny what the kernel is about to do, at its own security hooks."""
from __future__ import annotations

from enum import IntEnum

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, Concatenate
from bpfwright.hooks import _arguments, _feeding
from bpfwright.spec.dialect import Operation
from bpfwright.spec.meaning import Integer
from bpfwright.spec.program import BoundProgram, HookPoint, Result, Target
from bpfwright.spec.program import Context as _Context

if TYPE_CHECKING:
    from typing import Final  # checkers know it by this import only

__all__ = ["ALLOW", "DENY", "Action", "Context", "Hook", "program"]


class Action(IntEnum):
    """What the hook answers: DENY is -EPERM."""

    ALLOW = 0
    DENY = -1


ALLOW: Final = Action.ALLOW
DENY: Final = Action.DENY


class Hook(Target):
    """A security hook by its name without `security_`, as in `file_open` (include/linux/lsm_hook_defs.h)."""

    def __init__(self, name: str) -> None:
        self.name = name


class Context(_Context):
    """The arguments come as parameters of the function."""

    __operations__: ClassVar[dict[str, Operation]] = {}


class _Hook(HookPoint):
    """BPF_PROG_TYPE_LSM. Since Linux 5.7; `bpf` must be in the kernel's lsm= list."""

    name = "lsm"
    type = 29
    separate_results = True  # since 6.12 the verifier wants to see a constant on each path

    def section(self, program: Any) -> str:
        return f"lsm{'.s' if program.options['sleepable'] else ''}/{program.options['at']}"

    def prepare(self, machine: Any, program: Any) -> Any:
        """The hook's parameters, as this kernel has them."""
        return machine.prototype("lsm", program.options["at"])

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return _arguments.meanings(Context, annotations, trusted=True)

    def result(self, program: Any) -> Any:
        return Integer(-1, 0, Action)

    def used_facts(self, program: Any, meanings: list[Any]) -> list[int]:
        """Which of the hook's arguments each parameter is."""
        return _arguments.places(meanings, program.parameter_names, program.facts, program.options["at"])

    def enter(self, builder: Any, program: Any, meanings: list[Any]) -> list[Any]:
        return _arguments.enter(builder, meanings, self.used_facts(program, meanings))

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.raw_tracepoint(loaded, "")

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        _feeding.takes_anything(loaded, "LSM programs", "Do what it guards")
        run = loaded.test_run(context=_feeding.words(loaded, program, given), repeat=repeat)
        return Result(run, Action(run.value - (1 << 32) if run.value >> 31 else run.value), [])


HOOK = _Hook()


def program(hook: str, *, sleepable: bool = False) -> Callable[
        [Callable[Concatenate[Context, ...], Action]], BoundProgram[Hook, tuple[Any, ...], Action]]:
    """A program at a security hook: `@lsm.program("file_open")`. Parameters are found by name and type."""
    def take(function: Any) -> Any:
        return BoundProgram(HOOK, function, Hook(hook), at=hook, sleepable=sleepable)

    return take
