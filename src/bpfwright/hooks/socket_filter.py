"""Socket filters: which packets a socket sees, and how many bytes of them."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar
from bpfwright.hooks import _skb
from bpfwright.spec.dialect import Operation
from bpfwright.spec.header import Header
from bpfwright.spec.meaning import ContextOf, Integer
from bpfwright.spec.packet import Packet
from bpfwright.spec.program import Context as _Context
from bpfwright.spec.program import HookPoint, Program, Result, Target

__all__ = ["Context", "Socket", "program"]

V = TypeVar("V")


class Socket(Target):
    """An open socket (anything with fileno())."""

    def __init__(self, socket: Any) -> None:
        self.fd: int = socket.fileno()


class Context(_Context):
    """A packet on its way to the socket."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "length": _skb.word(_skb.LEN), "protocol": _skb.big_word(_skb.PROTOCOL), "ifindex": _skb.word(_skb.IFINDEX),
        "read": Operation(_skb.check_read, _skb.lower_read),
    }

    if TYPE_CHECKING:
        @property
        def length(self) -> int:
            """Bytes in the packet."""
        @property
        def protocol(self) -> int:
            """The EtherType."""
        @property
        def ifindex(self) -> int:
            """The interface."""
        def read(self, offset: int, kind: type[V]) -> V | None:
            """A copy of a header, struct or scalar at a byte offset; None behind the packet's end."""


class _Hook(HookPoint):
    """BPF_PROG_TYPE_SOCKET_FILTER. Since Linux 3.19."""

    name = "socket_filter"
    type = 1

    def section(self, program: Any) -> str:
        return "socket"

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return [ContextOf(Context)]

    def result(self, program: Any) -> Any:
        return Integer(0, 0xFFFFFFFF)

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.socket_filter(loaded, target.fd)

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        run = loaded.test_run(bytes(given).ljust(14, b"\0"), repeat=repeat)
        return Result(run, run.value, [])


HOOK = _Hook()


def program(function: Callable[[Context], int], /) -> Program[Socket, Packet | Header | bytes, int]:
    """A filter: it returns how many bytes of the packet the socket gets, 0 to drop it."""
    return Program(HOOK, function)  # type: ignore[arg-type]
