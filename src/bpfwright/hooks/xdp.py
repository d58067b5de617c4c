"""XDP: packets at the driver, before the stack sees them."""
from __future__ import annotations

from enum import IntEnum

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, Protocol, TypeVar, overload
from bpfwright.errors import UsageError
from bpfwright.hooks import _packet, _skb
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.header import Header
from bpfwright.spec.meaning import BOOLEAN, U32, ContextOf, Integer, Meaning, Reference
from bpfwright.spec.packet import Packet
from bpfwright.spec.program import Context as _Context
from bpfwright.spec.program import HookPoint, Program, Result, Target

if TYPE_CHECKING:
    from typing import Final  # checkers know it by this import only

__all__ = ["ABORTED", "DROP", "PASS", "TX", "Action", "Context", "Interface", "XdpProgram", "program", "redirect"]

H = TypeVar("H", bound=Header)
H2 = TypeVar("H2", bound=Header)
V = TypeVar("V")
_DATA, _DATA_END, _DATA_META, _IFINDEX, _QUEUE = 0, 4, 8, 12, 16  # struct xdp_md
_MOST_METADATA = 32  # bytes, which every driver that has metadata takes
_ADJUST_META = 54  # bpf_xdp_adjust_meta
_ADJUST_HEAD, _ADJUST_TAIL, _REDIRECT_MAP, _LOAD_BYTES, _STORE_BYTES = 44, 65, 51, 189, 190


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


def _lower_read(b: Any, site: Any) -> Value:
    ctype = site.notes["type"]
    place = b.memory(ctype.size, "packet bytes")
    offset = b.truncate(b.numeric(site.value("offset"))[0], "i32")
    failed = b.helper(_LOAD_BYTES, b.context(), b.extend(offset, "i32"), place, b.number(ctype.size, "i32"))
    found: Value = b.present_memory(b.op("eq", "i1", failed, b.number(0)), ctype, place)
    return found


def _lower_write(b: Any, site: Any) -> Value:
    most = site.meaning("value").ctype.size
    offset = b.truncate(b.numeric(site.value("offset"))[0], "i32")
    source, size = site.value("value").only, b.number(most)
    if site.given("size"):
        size = _skb.within(b, b.numeric(site.value("size"))[0], most)
    failed = b.helper(_STORE_BYTES, b.context(), b.extend(offset, "i32"), source, size)
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


def _check_put(site: Any) -> Meaning:
    site.bind("value")
    meaning = site.meaning("value")
    if not isinstance(meaning, Reference) or meaning.space not in _skb.READABLE:
        site.refuse("metadata is a Struct in this program's memory", "Write ctx.put_metadata(Note(1, 2)).")
    if meaning.ctype.size % 4 or meaning.ctype.size > _MOST_METADATA:
        site.refuse(f"metadata has words of 4 bytes, {_MOST_METADATA} bytes at most")
    return BOOLEAN


def _lower_put(b: Any, site: Any) -> Value:
    size, source = site.meaning("value").ctype.size, site.value("value").only
    done = b.op("eq", "i1", b.helper(_ADJUST_META, b.context(), b.number(-size, "i32")), b.number(0))
    with b.when(done):
        start = b.op("toptr", "ptr", _word(b, b.context(), _DATA_META))
        data = b.op("toptr", "ptr", _word(b, b.context(), _DATA))
        with b.when(b.op("ule", "i1", b.pointer(start, size), data)):
            b.copy(start, source, size, 4)
    return Value(BOOLEAN, done)


class Context(_Context):
    """A packet at the driver."""

    kernel_name: ClassVar[str] = "xdp_md"
    __operations__: ClassVar[dict[str, Operation]] = {
        "length": Property(_check_length, _lower_length), "ifindex": _field(_IFINDEX), "rx_queue": _field(_QUEUE),
        "find": _packet.find(_bounds), "offset_of": _packet.offset_of(_bounds),
        "adjust_head": _adjust(_ADJUST_HEAD), "adjust_tail": _adjust(_ADJUST_TAIL),
        "read": Operation(_skb.check_read, _lower_read), "fetch": Operation(_skb.check_fetch, _skb.fetch(_LOAD_BYTES)),
        "write": Operation(_skb.check_write, _lower_write),
        "put_metadata": Operation(_check_put, _lower_put, moves_packet=True),
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
        def offset_of(self, header: Header, /) -> int:
            """Bytes from the packet's start to a header that find() gave."""
        def adjust_head(self, delta: int) -> bool:
            """Move the packet's start by `delta` bytes. Headers found before are gone. Since Linux 4.10."""
        def adjust_tail(self, delta: int) -> bool:
            """Move the packet's end by `delta` bytes. Headers found before are gone. Since Linux 4.18."""
        def read(self, offset: int, kind: type[V]) -> V | None:
            """A copy of bytes at an offset from the packet's start, as a header, Struct or scalar. Since Linux 5.18."""
        def fetch(self, offset: int, place: object, *, size: int | None = None) -> bool:
            """Copy bytes of the packet, as many as `place` has or the first `size`, into a Struct or array of a map or
            ring; False where the packet ends before. Since Linux 5.18."""
        def write(self, offset: int, value: object, *, size: int | None = None) -> bool:
            """Write a header, Struct or array, or its first `size` bytes, into the packet; False where it does not fit.

            Since Linux 5.18.
            """
        def put_metadata(self, value: object) -> bool:
            """Put a Struct in front of the packet, for programs at tc ingress of the same interface: `ctx.metadata()`.
            False where the driver has no room for it. Headers found before are gone. Since Linux 4.15."""


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
