"""Programs before they are loaded: a function and its hook; and what a test run gives."""
from __future__ import annotations

from types import FunctionType

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from bpfwright.errors import UsageError
from bpfwright.spec.dialect import Value
from bpfwright.spec.machine import Link, LoadedProgram, Machine, TestRun

if TYPE_CHECKING:
    from bpfwright.spec.packet import Packet

__all__ = ["BoundProgram", "Context", "HookPoint", "Program", "Result", "Target", "refused_field"]

T = TypeVar("T")
I = TypeVar("I")
A = TypeVar("A")


# check_map_prog_compatibility() of kernel/bpf/verifier.c: what no map's values may hold, by bpf_prog_type.
_TRACING = {2: "a kprobe or uprobe", 5: "a tracepoint", 7: "a perf event", 17: "a raw tracepoint without BTF"}
_FIELDS = {"bpf_spin_lock": ("a SpinLock", {1: "a socket filter", **_TRACING}), "bpf_timer": ("a Timer", _TRACING)}


def refused_field(program: Program[Any, Any, Any] | None, name: str, target: Any) -> tuple[str, str] | None:
    """Why a program's type may not use maps that hold a kernel-owned field (by its C name), and the cure; or None."""
    if program is None or name not in _FIELDS or (name == "bpf_timer" and target.has("tracing_timers")):
        return None
    said, types = _FIELDS[name]
    kind = types.get(program.hook.kernel_type(program))
    return None if kind is None else (f"{kind} may use no map whose values hold {said}",
                                      "Keep it in a map of its own" + (
                                          ", or use raw_tracepoint or fentry." if "socket" not in kind else "."))


class Context:
    """What a hook hands to its program. Subclasses list what programs may ask of it in `__operations__`.

    `kernel_name` is the kernel's struct of it, where functions that are judged alone may take it.
    """

    kernel_name: ClassVar[str] = ""


class Target:
    """What a program attaches to."""


class HookPoint:
    """A hook point's declaration: everything that the compiler and the machines must know of it.

    A module of `hooks` makes one object of a subclass; a program's own `options` are what its decorator was told.
    """

    name: str = ""
    type: int = 0

    def kernel_type(self, program: Program[Any, Any, Any]) -> int:
        """The kernel's number of the program's type (bpf_prog_type), for hooks that have several."""
        return self.type

    def section(self, program: Program[Any, Any, Any]) -> str:
        """The ELF section that names type and target."""
        raise NotImplementedError

    def prepare(self, machine: Machine, program: Program[Any, Any, Any]) -> Any:
        """What must be known of this kernel before compiling; it becomes `program.facts`."""
        return None

    def used_facts(self, program: Program[Any, Any, Any], meanings: list[Any]) -> Any:
        """What the code takes of `program.facts`: where this is the same, the same object will do."""
        return program.facts

    def make_portable(self, machine: Any, program: Program[Any, Any, Any]) -> str:
        """Change the program's facts so that its object fits other kernels; a sentence on what does not, or ""."""
        return ""

    def parameters(self, program: Program[Any, Any, Any], annotations: list[Any]) -> list[Any]:
        """The meanings of the function's parameters; the first is the context."""
        raise NotImplementedError

    def result(self, program: Program[Any, Any, Any]) -> Any:
        """What the function returns, as a meaning."""
        raise NotImplementedError

    def enter(self, builder: Any, program: Program[Any, Any, Any], meanings: list[Any]) -> list[Any]:
        """The function's arguments, out of the context pointer."""
        return [Value(meanings[0], builder.context())]

    def attach(self, machine: Machine, loaded: LoadedProgram, program: Program[Any, Any, Any], target: Any) -> Link:
        """Attach a loaded program to a target."""
        raise NotImplementedError

    def test(self, loaded: LoadedProgram, program: Program[Any, Any, Any], given: Any, repeat: int) -> Result[Any]:
        """Run it on an input of the hook's kind."""
        raise NotImplementedError


class Program(Generic[T, I, A]):
    """A function that the decorator of a hook took: it is compiled when it is first loaded or attached."""

    def __init__(self, hook: HookPoint, function: FunctionType, **options: Any) -> None:
        if not isinstance(function, FunctionType):
            raise UsageError(f"a program is a function, not a {type(function).__name__}",
                             cure="Put the decorator above a `def`.")
        self.hook = hook
        self.function = function
        self.options = options
        self.bindings: list[LoadedProgram] = []
        self.facts: Any = None
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__

    @property
    def name(self) -> str:
        """The function's name; the kernel keeps its first 15 characters."""
        return self.function.__name__

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the function's parameters, the context first."""
        code = self.function.__code__
        return code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]

    def mentions(self, name: str) -> bool:
        """Whether the function names `name` anywhere."""
        return name in self.function.__code__.co_names

    def on(self, target: T) -> BoundProgram[T, I, A]:
        """The program bound to a target, so that several can be attached in one session."""
        made = BoundProgram[T, I, A](self.hook, self.function, target, **self.options)
        made.bindings = self.bindings
        return made

    def __repr__(self) -> str:
        return f"<{self.hook.name} program {self.name}>"

    if not TYPE_CHECKING:
        def __call__(self, *args, **kwargs):
            raise UsageError(f"{self.name} is a kernel program: this process cannot call it",
                             cure="Write load(...).test(...), or attach(...).")


class BoundProgram(Program[T, I, A]):
    """A program whose decorator, or `.on(...)`, already names its target."""

    def __init__(self, hook: HookPoint, function: FunctionType, target: Any, **options: Any) -> None:
        super().__init__(hook, function, **options)
        self.target = target


class Result(Generic[A]):
    """What a test run gave: the action, the packet or context afterwards, what was logged, ns a run."""

    __slots__ = ("_run", "action", "log")

    def __init__(self, run: TestRun, action: A, log: list[str]) -> None:
        self._run = run
        self.action = action
        self.log = log

    @property
    def packet(self) -> Packet:
        """The packet as the program left it."""
        from bpfwright.spec.packet import Packet
        return Packet.parse(self._run.data)

    @property
    def data(self) -> bytes:
        """The packet's bytes as the program left them."""
        return self._run.data

    @property
    def context(self) -> bytes:
        """The context's bytes afterwards."""
        return self._run.context

    @property
    def duration_ns(self) -> int:
        """Mean time of one run."""
        return self._run.duration_ns

    def __repr__(self) -> str:
        return f"Result(action={self.action!r}, duration_ns={self.duration_ns})"
