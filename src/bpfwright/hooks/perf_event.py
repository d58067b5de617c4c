"""perf events: a program run many times a second on every CPU, for profiles."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar
from bpfwright.errors import UsageError
from bpfwright.hooks import _feeding, _registers
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.meaning import NOTHING, U64, ContextOf
from bpfwright.spec.program import Context as _Context
from bpfwright.spec.program import HookPoint, Program, Result, Target

__all__ = ["Context", "Counting", "Sampling", "program"]

_SIZE = 352  # struct bpf_perf_event_data: registers, period, address


class Sampling(Target):
    """`hz` samples a second on each CPU; `pid`: of one process only."""

    def __init__(self, *, hz: int, pid: int | None = None) -> None:
        if not 1 <= hz <= 100_000:
            raise UsageError(f"{hz} samples a second", cure="Ask for 1 to 100000; 99 is usual.")
        self.hz = hz
        self.pid = pid


class Counting(Target):
    """A sample each `period` events of the processor (`cache-misses`, `cycles` ...) or the kernel (`page-faults`,
    `context-switches` ...); `pid`: of one process."""

    def __init__(self, event: str, *, period: int, pid: int | None = None) -> None:
        if event not in COUNTERS:
            raise UsageError(f"{event!r} is no counter", cure=f"There are: {', '.join(COUNTERS)}.")
        if period < 1:
            raise UsageError(f"a sample each {period} events", cure="Ask for 1 or more.")
        self.event = event
        self.period = period
        self.pid = pid


_HARDWARE, _SOFTWARE = 0, 1  # PERF_TYPE_*
COUNTERS = {
    "cycles": (_HARDWARE, 0), "instructions": (_HARDWARE, 1), "cache-references": (_HARDWARE, 2),
    "cache-misses": (_HARDWARE, 3), "branches": (_HARDWARE, 4), "branch-misses": (_HARDWARE, 5),
    "bus-cycles": (_HARDWARE, 6), "page-faults": (_SOFTWARE, 2), "context-switches": (_SOFTWARE, 3),
    "cpu-migrations": (_SOFTWARE, 4), "minor-faults": (_SOFTWARE, 5), "major-faults": (_SOFTWARE, 6),
}
"""Counters by name: their type and number for perf_event_open. Those of the kernel itself are on every machine."""


def _lower_pointer(b: Any, site: Any) -> Value:
    return Value(U64, b.load("i64", b.context(), _registers.of_this_machine().pointer, 8))


class Context(_Context):
    """The interrupted code (struct bpf_perf_event_data)."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "instruction_pointer": Property(lambda site: U64, _lower_pointer),
    }

    if TYPE_CHECKING:
        @property
        def instruction_pointer(self) -> int:
            """Where the CPU was."""


class _Hook(HookPoint):
    """BPF_PROG_TYPE_PERF_EVENT. Since Linux 4.9."""

    name = "perf_event"
    type = 7

    def section(self, program: Any) -> str:
        return "perf_event"

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return [ContextOf(Context)]

    def result(self, program: Any) -> Any:
        return NOTHING

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        if isinstance(target, Counting):
            kind, number = COUNTERS[target.event]
            return machine.count(loaded, kind, number, target.period, name=target.event,
                                 pid=-1 if target.pid is None else target.pid)
        return machine.sample(loaded, hz=target.hz, pid=-1 if target.pid is None else target.pid)

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        _feeding.takes_anything(loaded, "perf event programs", "Attach it")
        if isinstance(given, int):
            place = _registers.of_this_machine().pointer
            given = bytes(place) + given.to_bytes(8, "little")
        return Result(loaded.test_run(context=_feeding.raw(
            given, "a sample", "Give the address where the CPU was, or struct bpf_perf_event_data as bytes.").ljust(
                _SIZE, b"\0"), repeat=repeat), None, [])


HOOK = _Hook()


def program(function: Callable[[Context], None], /) -> Program[Sampling | Counting, Context, None]:
    """A program that samples: attach it with `sample.on(perf_event.Sampling(hz=99))`."""
    return Program(HOOK, function)  # type: ignore[arg-type]
