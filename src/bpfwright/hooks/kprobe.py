"""kprobes: almost any kernel function, at its entry or return; arguments are untyped registers."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, Concatenate
from bpfwright.hooks import _arguments, _feeding
from bpfwright.hooks.uprobe import enter_registers
from bpfwright.spec.dialect import Operation
from bpfwright.spec.meaning import NOTHING
from bpfwright.spec.program import BoundProgram, HookPoint, Result, Target
from bpfwright.spec.program import Context as _Context

__all__ = ["Context", "Function", "exit", "program"]


class Function(Target):
    """A kernel function by its name in /proc/kallsyms; `offset` in bytes; `cookie` as of uprobe.Symbol."""

    def __init__(self, name: str, *, offset: int = 0, cookie: int = 0) -> None:
        self.name = name
        self.offset = offset
        self.cookie = cookie


class Context(_Context):
    """The arguments come as parameters of the function; at a return, the first one is the returned value."""

    __operations__: ClassVar[dict[str, Operation]] = {}


class _Hook(HookPoint):
    """BPF_PROG_TYPE_KPROBE. Since Linux 4.1."""

    name = "kprobe"
    type = 2

    def section(self, program: Any) -> str:
        return f"{'kretprobe' if program.options['exit'] else 'kprobe'}/{program.options['at']}"

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return _arguments.meanings(Context, annotations, trusted=False)

    def result(self, program: Any) -> Any:
        return NOTHING

    def enter(self, builder: Any, program: Any, meanings: list[Any]) -> list[Any]:
        return enter_registers(builder, meanings, program.options["exit"])

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.kprobe(loaded, target.name, offset=target.offset, ret=program.options["exit"],
                              cookie=target.cookie)

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        _feeding.takes_anything(loaded, "kprobes", "Call the function that it watches")
        context = _feeding.registers(loaded, program, given, at_exit=program.options["exit"])
        return Result(loaded.test_run(context=context, repeat=repeat), None, [])


HOOK = _Hook()
if TYPE_CHECKING:
    _Taker = Callable[[Callable[Concatenate[Context, ...], None]], BoundProgram[Function, tuple[Any, ...], None]]


def program(function: str) -> _Taker:
    """A program at a kernel function's entry: `@kprobe.program("tcp_connect")`."""
    return _taker(function, False)


def exit(function: str) -> _Taker:
    """A program at a kernel function's return; its parameter after ctx is the returned value."""
    return _taker(function, True)


def _taker(name: str, at_exit: bool) -> _Taker:
    def take(function: Any) -> Any:
        return BoundProgram(HOOK, function, Function(name), at=name, exit=at_exit)

    return take
