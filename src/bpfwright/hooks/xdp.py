"""XDP: packets at the driver, before the stack sees them."""
from __future__ import annotations

from enum import IntEnum

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, Protocol, TypeVar, overload
from bpfwright.errors import UsageError
from bpfwright.hooks import _packet
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.header import Header
from bpfwright.spec.meaning import BOOLEAN, U32, ContextOf, Integer, Meaning
from bpfwright.spec.packet import Packet
from bpfwright.spec.program import Context as _Context
from bpfwright.spec.program import HookPoint, Program, Result, Target

if TYPE_CHECKING:
    from typing import Final  # checkers know it by this import only

__all__ = ["ABORTED", "DROP", "PASS", "TX", "Action", "Context", "Interface", "XdpProgram", "program", "redirect"]

H = TypeVar("H", bound=Header)
H2 = TypeVar("H2", bound=Header)
_DATA, _DATA_END, _DATA_META, _IFINDEX, _QUEUE = 0, 4, 8, 12, 16  # struct xdp_md
_ADJUST_HEAD, _ADJUST_TAIL, _REDIRECT_MAP = 44, 65, 51


class Action(IntEnum):
    """What becomes of the packet."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4


ABORTED: Final = Action.ABORTED
DROP: Final = Action.DROP
PASS: Final = Action.PASS
TX: Final = Action.TX


class Interface(Target):
    """A network interface by name. `mode`: native (the driver), generic (the stack), or auto: native if it can."""

    def __init__(self, name: str, *, mode: str = "auto") -> None:
        if mode not in ("auto", "native", "generic"):
            raise UsageError(f"mode {mode!r} does not exist", cure="It is auto, native or generic.")
        self.name = name
        self.mode = mode

    def __repr__(self) -> str:
        return f"Interface({self.name!r}, mode={self.mode!r})"


def _word(b: Any, context: int, offset: int) -> int:
    value: int = b.extend(b.op("load" if b.sink.moves_packet else "fixed", "i32", context, offset, 4), "i32")
    return value


def _bounds(b: Any) -> tuple[int, int]:
    context = b.context()
    return (b.op("toptr", "ptr", _word(b, context, _DATA)), b.op("toptr", "ptr", _word(b, context, _DATA_END)))


def _check_length(site: Any) -> Meaning:
    return Integer(0, 0xFFFF)


def _lower_length(b: Any, site: Any) -> Value:
    start, end = _bounds(b)
    length = b.op("sub", "i64", b.op("toint", "i64", end), b.op("toint", "i64", start))
    # Opaque: else LLVM may add to the one pointer and subtract the other later, which the verifier does not allow.
    return Value(site.node.meaning, b.op("opaque", "i64", length))


def _field(offset: int) -> Property:
    def lower(b: Any, site: Any) -> Value:
        return Value(U32, _word(b, b.context(), offset))

    return Property(lambda site: U32, lower)


def _check_adjust(site: Any) -> Meaning:
    site.bind("delta")
    site.integer("delta")
    return BOOLEAN


def _adjust(helper: int) -> Operation:
    def lower(b: Any, site: Any) -> Value:
        delta = b.truncate(b.numeric(site.value("delta"))[0], "i32")
        return Value(BOOLEAN, b.op("eq", "i1", b.helper(helper, b.context(), delta), b.number(0)))

    return Operation(_check_adjust, lower, moves_packet=True)


class Context(_Context):
    """A packet at the driver."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "length": Property(_check_length, _lower_length), "ifindex": _field(_IFINDEX), "rx_queue": _field(_QUEUE),
        "find": _packet.find(_bounds), "adjust_head": _adjust(_ADJUST_HEAD), "adjust_tail": _adjust(_ADJUST_TAIL),
    }

    if TYPE_CHECKING:
        @property
        def length(self) -> int:
            """Bytes in the packet's first buffer."""
        @property
        def ifindex(self) -> int:
            """The interface that it came in by."""
        @property
        def rx_queue(self) -> int:
            """The receive queue's number."""
        @overload
        def find(self, header: type[H], /) -> H | None: ...
        @overload
        def find(self, header: type[H], other: type[H2], /) -> H | H2 | None: ...
        def find(self, header: Any, other: Any = None, /) -> Any:
            """The first header of a class, bounds checked; None when the packet has none."""
        def adjust_head(self, delta: int) -> bool:
            """Move the packet's start by `delta` bytes. Headers found before are gone. Since Linux 4.10."""
        def adjust_tail(self, delta: int) -> bool:
            """Move the packet's end by `delta` bytes. Headers found before are gone. Since Linux 4.18."""


class _Redirectable(Protocol):
    def __setitem__(self, index: int, value: Any, /) -> None: ...


def _check_redirect(site: Any) -> Meaning:
    site.bind("devices", "index")
    site.integer("index")
    map_ = site.constant("devices")
    if getattr(map_, "kind", 0) not in (14, 16, 17, 25):  # device, CPU, AF_XDP, device hash
        site.refuse("redirect() takes a DevMap or CpuMap")
    return Integer(0, 4, Action)


def _lower_redirect(b: Any, site: Any) -> Value:
    index = b.truncate(b.numeric(site.value("index"))[0], "i32")
    wide = b.extend(index, "i32")
    return Value(site.node.meaning, b.helper(_REDIRECT_MAP, b.map(site.constant("devices")), wide, b.number(0)))


def redirect(devices: _Redirectable, index: int) -> Action:
    """Send the packet out of the device at `index` of a DevMap, or to a CPU. ABORTED when there is none. Since 4.14."""
    raise UsageError("xdp.redirect() exists inside a kernel program only")


redirect.__operation__ = Operation(_check_redirect, _lower_redirect)  # type: ignore[attr-defined]

XdpProgram = Program[Interface, Packet | Header | bytes, Action]


class _Hook(HookPoint):
    """XDP's declaration (include/uapi/linux/bpf.h: BPF_PROG_TYPE_XDP)."""

    name = "xdp"
    type = 6

    def section(self, program: Any) -> str:
        return "xdp.frags" if program.options.get("frags") else "xdp"

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return [ContextOf(Context)]

    def result(self, program: Any) -> Any:
        return Integer(0, 4, Action)

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.xdp(loaded, target.name, target.mode)

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        run = loaded.test_run(bytes(given), repeat=repeat)
        try:
            action: Any = Action(run.value)
        except ValueError:
            action = run.value
        return Result(run, action, [])


HOOK = _Hook()


@overload
def program(function: Callable[[Context], Action], /) -> XdpProgram: ...
@overload
def program(*, frags: bool = False) -> Callable[[Callable[[Context], Action]], XdpProgram]: ...
def program(function: Any = None, /, *, frags: bool = False) -> Any:
    """A program at the driver hook. `frags`: it takes packets of several buffers (jumbo frames; since Linux 5.18)."""
    def take(function: Any) -> Any:
        return Program(HOOK, function, frags=frags)

    return take if function is None else take(function)
