"""tc: packets of an interface in the stack, coming in and going out."""
from __future__ import annotations

from enum import IntEnum

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar, overload
from bpfwright.hooks import _packet, _skb
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.header import Header
from bpfwright.spec.meaning import ContextOf, Integer
from bpfwright.spec.packet import Packet
from bpfwright.spec.program import Context as _Context
from bpfwright.spec.program import HookPoint, Program, Result, Target

if TYPE_CHECKING:
    from typing import Final  # checkers know it by this import only

__all__ = ["NEXT", "OK", "SHOT", "Action", "Context", "Egress", "Ingress", "TcProgram", "program"]

H = TypeVar("H", bound=Header)
H2 = TypeVar("H2", bound=Header)
V = TypeVar("V")
_PULL_DATA, _LINEAR = 39, 128  # bpf_skb_pull_data; bytes that headers may take


class Action(IntEnum):
    """What becomes of the packet. NEXT lets the next program decide."""

    OK = 0
    SHOT = 2
    NEXT = -1


OK: Final = Action.OK
SHOT: Final = Action.SHOT
NEXT: Final = Action.NEXT


class Ingress(Target):
    """What comes in by an interface."""

    def __init__(self, interface: str) -> None:
        self.interface = interface


class Egress(Target):
    """What goes out by an interface."""

    def __init__(self, interface: str) -> None:
        self.interface = interface


class Context(_Context):
    """A packet in the stack."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "mark": _skb.word(_skb.MARK, writable=True), "length": _skb.word(_skb.LEN),
        "priority": _skb.word(_skb.PRIORITY, writable=True), "ifindex": _skb.word(_skb.IFINDEX),
        "protocol": _skb.big_word(_skb.PROTOCOL), "find": _packet.find(_skb.bounds),
        "read": Operation(_skb.check_read, _skb.lower_read),
    }

    if TYPE_CHECKING:
        mark: int
        priority: int

        @property
        def length(self) -> int:
            """Bytes in the packet."""
        @property
        def ifindex(self) -> int:
            """The interface."""
        @property
        def protocol(self) -> int:
            """The EtherType."""
        @overload
        def find(self, header: type[H], /) -> H | None: ...
        @overload
        def find(self, header: type[H], other: type[H2], /) -> H | H2 | None: ...
        def find(self, header: Any, other: Any = None, /) -> Any:
            """The first header of a class, bounds checked; None when the packet has none."""
        def read(self, offset: int, kind: type[V]) -> V | None:
            """A copy of a header, struct or scalar at a byte offset; None behind the packet's end."""


TcProgram = Program[Ingress | Egress, Packet | Header | bytes, Action]


class _Hook(HookPoint):
    """BPF_PROG_TYPE_SCHED_CLS: by tcx links (since 6.6), clsact filters before."""

    name = "tc"
    type = 3

    def section(self, program: Any) -> str:
        return "tc"

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return [ContextOf(Context)]

    def result(self, program: Any) -> Any:
        return Integer(-1, 2, Action)

    def enter(self, builder: Any, program: Any, meanings: list[Any]) -> list[Any]:
        if program.mentions("find"):
            self.make_linear(builder)
        return [Value(meanings[0], builder.context())]

    def make_linear(self, b: Any) -> None:
        """The first bytes of a packet may lie in pages that programs cannot see: pull them in, once, where needed."""
        start, end = _skb.bounds(b)
        short = b.op("ult", "i1", end, b.pointer(start, _LINEAR))
        with b.when(short):
            length = _skb.load(b, _skb.LEN)
            least = b.op("select", "i64", b.op("ult", "i1", length, b.number(_LINEAR)), length, b.number(_LINEAR))
            b.helper(_PULL_DATA, b.context(), b.truncate(least, "i32"))
        if not b.sink.moves_packet:
            _skb.keep_bounds(b)

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.classifier(loaded, target.interface, ingress=isinstance(target, Ingress))

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        run = loaded.test_run(bytes(given).ljust(14, b"\0"), repeat=repeat)
        value = run.value - (1 << 32) if run.value >> 31 else run.value
        try:
            action: Any = Action(value)
        except ValueError:
            action = value
        return Result(run, action, [])


HOOK = _Hook()


@overload
def program(function: Callable[[Context], Action], /) -> TcProgram: ...
@overload
def program(*, name: str) -> Callable[[Callable[[Context], Action]], TcProgram]: ...
def program(function: Any = None, /, *, name: str = "") -> Any:
    """A program in the stack's path: attach it with `mark.on(tc.Ingress("eth0"))`."""
    def take(function: Any) -> Any:
        return Program(HOOK, function, name=name)

    return take if function is None else take(function)
