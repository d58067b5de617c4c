"""Raw tracepoints: the kernel's own trace events with their arguments as they are passed, typed by BTF."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, ClassVar, Concatenate
from bpfwright.hooks import _arguments, _feeding
from bpfwright.spec.dialect import Operation
from bpfwright.spec.meaning import NOTHING
from bpfwright.spec.program import BoundProgram, HookPoint, Result, Target
from bpfwright.spec.program import Context as _Context

__all__ = ["Context", "Event", "program"]


class Event(Target):
    """A trace event by its name alone, as in `sched_process_exit`."""

    def __init__(self, name: str) -> None:
        self.name = name


class Context(_Context):
    """The arguments come as parameters of the function."""

    __operations__: ClassVar[dict[str, Operation]] = {}


class _Hook(HookPoint):
    """BPF_PROG_TYPE_TRACING with BPF_TRACE_RAW_TP: arguments are typed by the kernel's BTF (since 5.5), loads direct.

    With `btf=False`, BPF_PROG_TYPE_RAW_TRACEPOINT (since 4.17): kernel structs are then read by probe reads.
    """

    name = "raw_tracepoint"
    type = 26

    def kernel_type(self, program: Any) -> int:
        return 26 if program.options["btf"] else 17

    def section(self, program: Any) -> str:
        return f"{'tp_btf' if program.options['btf'] else 'raw_tp'}/{program.options['event']}"

    def prepare(self, machine: Any, program: Any) -> Any:
        """The event's parameters, as this kernel has them."""
        return machine.prototype("tp_btf", program.options["event"]) if program.options["btf"] else None

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return _arguments.meanings(Context, annotations, trusted=program.options["btf"])

    def result(self, program: Any) -> Any:
        return NOTHING

    def used_facts(self, program: Any, meanings: list[Any]) -> list[int]:
        """Which of the event's arguments each parameter is."""
        return _arguments.places(meanings, program.parameter_names, program.facts, program.options["event"])

    def enter(self, builder: Any, program: Any, meanings: list[Any]) -> list[Any]:
        return _arguments.enter(builder, meanings, self.used_facts(program, meanings))

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.raw_tracepoint(loaded, "" if program.options["btf"] else target.name)

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        if program.options["btf"]:
            _feeding.takes_anything(loaded, "BTF tracepoints", "Test with btf=False")
        if hasattr(loaded, "place"):
            return Result(loaded.test_run(context=_feeding.words(loaded, program, given), repeat=repeat), None, [])
        words = b"".join((int(word) & (1 << 64) - 1).to_bytes(8, "little") for word in given)
        return Result(loaded.test_run(context=words), None, [])


HOOK = _Hook()


def program(event: str, *, btf: bool = True) -> Callable[
        [Callable[Concatenate[Context, ...], None]], BoundProgram[Event, tuple[Any, ...], None]]:
    """A program at a raw tracepoint: `@raw_tracepoint.program("sched_process_exit")`.

    Parameters are found by name and type among those of the event (TP_PROTO). `btf=False` reads them untyped.
    """
    def take(function: Any) -> Any:
        return BoundProgram(HOOK, function, Event(event), event=event, btf=btf)

    return take
