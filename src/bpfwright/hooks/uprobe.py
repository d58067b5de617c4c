"""uprobes: a function of a program or library, at its entry or return, in every process that runs it."""
from __future__ import annotations

import os

from bpfwright._host import processor
from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, Concatenate
from bpfwright.errors import TargetError, UsageError
from bpfwright.formats.elf.image import symbol_offset
from bpfwright.hooks import _arguments, _feeding, _registers
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import NOTHING
from bpfwright.spec.program import BoundProgram, HookPoint, Result, Target
from bpfwright.spec.program import Context as _Context

__all__ = ["Context", "Instruction", "Symbol", "exit", "find_library", "program"]

_FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")


class Symbol(Target):
    """A function `name` of `library`: a path, a library's file name, or a program on PATH. `pid`: one process only.

    `cookie` is a number that the program reads with `helpers.cookie(ctx)`.
    """

    def __init__(self, library: str, name: str, *, pid: int | None = None, cookie: int = 0) -> None:
        self.library = library
        self.name = name
        self.pid = pid
        self.cookie = cookie


class Instruction(Symbol):
    """The instruction at byte `offset` of a file. `semaphore`: where in the file the counter is that the kernel raises
    while somebody listens, as static tracepoints have it; 0 for none.
    """

    def __init__(self, library: str, offset: int, *, pid: int | None = None, cookie: int = 0, semaphore: int = 0,
                 ) -> None:
        super().__init__(library, f"+{offset:#x}", pid=pid, cookie=cookie)
        self.offset = offset
        self.semaphore = semaphore


class Context(_Context):
    """The arguments come as parameters of the function; at a return, the first one is the returned value."""

    __operations__: ClassVar[dict[str, Operation]] = {}


def find_library(name: str) -> str:
    """The path of a library or program, looked for where loader and shell look. TargetError if there is none."""
    if "/" in name:
        if not os.path.exists(name):
            raise TargetError(f"there is no file {name}")
        return name
    triplet = f"{processor()}-linux-gnu"
    places = [f"{folder}/{triplet}" for folder in _FOLDERS[:2]] + list(_FOLDERS)
    places += os.environ.get("LD_LIBRARY_PATH", "").split(":") + os.environ.get("PATH", "").split(":")
    for folder in places:
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path):
            return path
    raise TargetError(f"{name} is neither a library nor a program here", why=f"looked in {', '.join(places[:4])} ...",
                      cure="Name the file: Symbol('/path/to/lib.so', ...).")


class _Hook(HookPoint):
    """BPF_PROG_TYPE_KPROBE on a uprobe. Since Linux 4.3; arguments by the C calling convention."""

    name = "uprobe"
    type = 2

    def section(self, program: Any) -> str:
        kind = "uretprobe" if program.options["exit"] else "uprobe"
        return f"{kind}{'.s' if program.options['sleepable'] else ''}"

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return _arguments.meanings(Context, annotations, trusted=False)

    def result(self, program: Any) -> Any:
        return NOTHING

    def enter(self, builder: Any, program: Any, meanings: list[Any]) -> list[Any]:
        return enter_registers(builder, meanings, program.options["exit"])

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        path = find_library(target.library)
        semaphore = 0
        if isinstance(target, Instruction):
            offset, semaphore = target.offset, target.semaphore
        else:
            with open(path, "rb") as file:
                offset = symbol_offset(file.read(), target.name)
        return machine.uprobe(loaded, path, offset, ret=program.options["exit"], semaphore=semaphore,
                              pid=-1 if target.pid is None else target.pid, cookie=target.cookie)

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        _feeding.takes_anything(loaded, "uprobes", "Call the function that it watches")
        context = _feeding.registers(loaded, program, given, at_exit=program.options["exit"])
        return Result(loaded.test_run(context=context, repeat=repeat), None, [])


def enter_registers(builder: Any, meanings: list[Any], at_exit: bool) -> list[Any]:
    """Arguments out of struct pt_regs."""
    table = _registers.of_this_machine()
    offsets = (table.result,) if at_exit else table.arguments
    if len(meanings) - 1 > len(offsets):
        raise UsageError(f"{len(meanings) - 1} arguments: only {len(offsets)} are in registers here")
    values = [Value(meanings[0], builder.context())]
    for meaning, offset in zip(meanings[1:], offsets, strict=False):
        values.append(_arguments.word_as(builder, meaning, builder.load("i64", builder.context(), offset, 8)))
    return values


HOOK = _Hook()
if TYPE_CHECKING:
    _Taker = Callable[[Callable[Concatenate[Context, ...], None]], BoundProgram[Symbol, tuple[Any, ...], None]]


def program(symbol: str, *, sleepable: bool = False) -> _Taker:
    """A program at a function's entry: `@uprobe.program("libssl.so.3:SSL_write")`."""
    return _taker(symbol, sleepable, False)


def exit(symbol: str, *, sleepable: bool = False) -> _Taker:
    """A program at a function's return; its parameter after ctx is the returned value."""
    return _taker(symbol, sleepable, True)


def _taker(symbol: str, sleepable: bool, at_exit: bool) -> _Taker:
    library, colon, name = symbol.rpartition(":")
    if not colon or not library or not name:
        raise UsageError(f"{symbol!r} names no function", cure='Write "libssl.so.3:SSL_write".')

    def take(function: Any) -> Any:
        return BoundProgram(HOOK, function, Symbol(library, name), sleepable=sleepable, exit=at_exit)

    return take
