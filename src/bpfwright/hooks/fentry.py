"""fentry and fexit: a kernel function's entry and exit, arguments typed by BTF, at the cost of a call."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, Concatenate
from bpfwright.hooks import _arguments, _feeding
from bpfwright.spec.dialect import Operation
from bpfwright.spec.meaning import NOTHING
from bpfwright.spec.program import BoundProgram, HookPoint, Result, Target
from bpfwright.spec.program import Context as _Context

__all__ = ["Context", "Function", "exit", "program"]


class Function(Target):
    """A kernel function; `module` is where it is."""

    def __init__(self, name: str, *, module: str = "vmlinux") -> None:
        self.name = name
        self.module = module


class Context(_Context):
    """The arguments come as parameters of the function."""

    __operations__: ClassVar[dict[str, Operation]] = {}


class _Hook(HookPoint):
    """BPF_PROG_TYPE_TRACING with BPF_TRACE_FENTRY or BPF_TRACE_FEXIT. Since Linux 5.5."""

    name = "fentry"
    type = 26

    def section(self, program: Any) -> str:
        kind = "fexit" if program.options["exit"] else "fentry"
        return f"{kind}{'.s' if program.options['sleepable'] else ''}/{program.options['at']}"

    def prepare(self, machine: Any, program: Any) -> Any:
        """The function's parameters, as this kernel has them."""
        return machine.prototype("function", program.options["at"])

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return _arguments.meanings(Context, annotations, trusted=True)

    def result(self, program: Any) -> Any:
        return NOTHING

    def used_facts(self, program: Any, meanings: list[Any]) -> list[int]:
        """Which of the function's arguments each parameter is."""
        return _arguments.places(meanings, program.parameter_names, program.facts, program.options["at"],
                                 returns=program.options["exit"])

    def enter(self, builder: Any, program: Any, meanings: list[Any]) -> list[Any]:
        return _arguments.enter(builder, meanings, self.used_facts(program, meanings))

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.raw_tracepoint(loaded, "")

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        _feeding.takes_anything(loaded, "fentry programs", "Call the function that it watches")
        return Result(loaded.test_run(context=_feeding.words(loaded, program, given), repeat=repeat), None, [])


HOOK = _Hook()
if TYPE_CHECKING:
    _Taker = Callable[[Callable[Concatenate[Context, ...], None]], BoundProgram[Function, tuple[Any, ...], None]]


def program(function: str, *, sleepable: bool = False) -> _Taker:
    """A program at a kernel function's entry. Parameters are found by name and type among the function's own."""
    return _taker(function, sleepable, False)


def exit(function: str, *, sleepable: bool = False) -> _Taker:
    """A program at a kernel function's exit; a parameter called `ret` is what it returned."""
    return _taker(function, sleepable, True)


def _taker(name: str, sleepable: bool, at_exit: bool) -> _Taker:
    def take(function: Any) -> Any:
        return BoundProgram(HOOK, function, Function(name), at=name, sleepable=sleepable, exit=at_exit)

    return take
