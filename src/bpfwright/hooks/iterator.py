"""Iterators: a program called for every object of a kind, writing records that one read gives back."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar
from bpfwright.hooks import _feeding
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.meaning import NOTHING, ContextOf, KernelObject, Meaning, Optional, Reference
from bpfwright.spec.program import BoundProgram, HookPoint, Result, Target
from bpfwright.spec.program import Context as _Context
from bpfwright.types.ctype import RecordType

if TYPE_CHECKING:
    from bpfwright.vmlinux import task_struct

__all__ = ["Task", "Walk", "program"]

_SEQUENCE = 0x1000  # any address: what is written is kept by the machine
_META, _OBJECT, _SEQ_WRITE = 0, 8, 127  # struct bpf_iter__task; bpf_seq_write


class Walk(Target):
    """A walk over all objects of a kind: `task`."""

    def __init__(self, kind: str = "task") -> None:
        self.kind = kind


def _check_task(site: Any) -> Meaning:
    from bpfwright.vmlinux import task_struct
    return Optional(KernelObject(task_struct, True))


def _lower_task(b: Any, site: Any) -> Value:
    return Value(site.node.meaning, b.load("ptr", b.context(), _OBJECT, 8))


def _check_write(site: Any) -> Meaning:
    site.bind("record")
    meaning = site.meaning("record")
    if not isinstance(meaning, Reference) or not isinstance(meaning.ctype, RecordType):
        site.refuse("write() takes a Struct", "Write ctx.write(Row(...)).")
    return NOTHING


def _lower_write(b: Any, site: Any) -> Value:
    ctype = site.meaning("record").ctype
    record = site.address("record", ctype)
    meta = b.load("ptr", b.context(), _META, 8)
    sequence = b.load("ptr", meta, 0, 8)
    b.helper(_SEQ_WRITE, sequence, record, b.number(ctype.size))
    return Value(NOTHING)


class Task(_Context):
    """One task of the walk; None after the last."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "task": Property(_check_task, _lower_task), "write": Operation(_check_write, _lower_write),
    }

    if TYPE_CHECKING:
        @property
        def task(self) -> task_struct | None:
            """The task."""
        def write(self, record: object) -> None:
            """Add a record to what the reader gets."""


class _Walked:
    """A walk over objects that are given: `data` is what the program wrote for the reader."""

    def __init__(self, loaded: Any, objects: Any) -> None:
        self.value, self.duration_ns, self.context = 0, 0, b""
        loaded.written()
        for number, each in enumerate([*objects, None]):
            meta = loaded.place(_SEQUENCE.to_bytes(8, "little") + bytes(8) + number.to_bytes(8, "little"))
            context = meta.to_bytes(8, "little") + loaded.place(each).to_bytes(8, "little")
            self.value = loaded.test_run(context=context).value
        self.data: bytes = loaded.written()


class _Hook(HookPoint):
    """BPF_PROG_TYPE_TRACING with BPF_TRACE_ITER. Since Linux 5.8."""

    name = "iterator"
    type = 26

    def section(self, program: Any) -> str:
        return "iter/task"

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return [ContextOf(Task)]

    def result(self, program: Any) -> Any:
        return NOTHING

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.link(loaded, 28)  # BPF_TRACE_ITER

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        _feeding.takes_anything(loaded, "iterators", "Write attach(...) and session.read(program, Row)")
        return Result(_Walked(loaded, given), None, [])


HOOK = _Hook()


def program(function: Callable[[Task], None], /) -> BoundProgram[Walk, None, None]:
    """A program called for every task; `session.read(program, Row)` walks and gives the rows."""
    return BoundProgram(HOOK, function, Walk())  # type: ignore[arg-type]
