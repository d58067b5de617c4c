"""tc: packets of an interface in the stack, coming in and going out."""
from __future__ import annotations

from enum import IntEnum

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar, overload
from bpfwright.errors import UsageError
from bpfwright.hooks import _packet, _skb
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.header import Header
from bpfwright.spec.meaning import BOOLEAN, U32, U64, ContextOf, Integer, Meaning, Optional, meaning_of
from bpfwright.spec.packet import Packet
from bpfwright.spec.program import Context as _Context
from bpfwright.spec.program import HookPoint, Program, Result, Target
from bpfwright.types.ctype import ctype_of

if TYPE_CHECKING:
    from typing import Final  # checkers know it by this import only

__all__ = ["NEXT", "OK", "SHOT", "Action", "Context", "Egress", "Ingress", "TcProgram", "program", "redirect"]

H = TypeVar("H", bound=Header)
H2 = TypeVar("H2", bound=Header)
V = TypeVar("V")
_PULL_DATA, _SOCKET_UID, _CGROUP_ID = 39, 47, 79  # bpf_skb_pull_data, bpf_get_socket_uid, bpf_skb_cgroup_id
_ANCESTOR_CGROUP_ID, _SET_CE = 83, 97  # bpf_skb_ancestor_cgroup_id, bpf_skb_ecn_set_ce
_REDIRECT, _ADJUST_ROOM = 23, 50  # bpf_redirect, bpf_skb_adjust_room
_STORE_BYTES, _REPLACE_SUM = 9, 11  # bpf_skb_store_bytes, bpf_l4_csum_replace
_OF_ADDRESSES, _ZERO_IS_NONE = 16, 32  # BPF_F_PSEUDO_HDR, BPF_F_MARK_MANGLED_0
_BEHIND_ETHERNET = 1  # BPF_ADJ_ROOM_MAC
_OVER_IPV4, _OVER_IPV6, _OVER_UDP = 2, 4, 16  # BPF_F_ADJ_ROOM_ENCAP_*
_MOST_METADATA = 32
_LINEAR = 128  # bytes that headers may take


class Action(IntEnum):
    """What becomes of the packet. NEXT lets the next program decide."""

    OK = 0
    SHOT = 2
    REDIRECT = 7
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


def _lower_cgroup(b: Any, site: Any) -> Value:
    return Value(site.node.meaning, b.helper(_CGROUP_ID, b.context()))


def _lower_socket_uid(b: Any, site: Any) -> Value:
    return Value(U32, b.extend(b.truncate(b.helper(_SOCKET_UID, b.context()), "i32"), "i32"))


def _check_level(site: Any) -> Meaning:
    site.bind("level")
    site.integer("level")
    return U64


def _lower_ancestor(b: Any, site: Any) -> Value:
    level = b.extend(b.truncate(b.numeric(site.value("level"))[0], "i32"), "i32")
    return Value(U64, b.helper(_ANCESTOR_CGROUP_ID, b.context(), level))


def _lower_metadata(b: Any, site: Any) -> Value:
    ctype = site.notes["type"]
    place = b.memory(ctype.size, "metadata")
    b.fill(place, ctype.size)
    start = b.op("toptr", "ptr", _skb.load(b, _skb.DATA_META))
    there = b.op("ule", "i1", b.pointer(start, ctype.size), b.op("toptr", "ptr", _skb.load(b, _skb.DATA)))
    with b.when(there):
        b.copy(place, start, ctype.size, 4)
    return b.present_memory(there, ctype, place)  # type: ignore[no-any-return]


def _check_metadata(site: Any) -> Meaning:
    site.bind("kind")
    try:
        ctype = ctype_of(site.constant("kind"))
    except ValueError:
        site.refuse("metadata() takes a Struct", "Write ctx.metadata(Note).")
    if ctype.size % 4 or ctype.size > _MOST_METADATA:
        site.refuse(f"metadata has words of 4 bytes, {_MOST_METADATA} bytes at most")
    site.notes["type"] = ctype
    return Optional(meaning_of(ctype, "stack"))


def _check_nothing(site: Any) -> Meaning:
    site.bind()
    return BOOLEAN


def _lower_congestion(b: Any, site: Any) -> Value:
    return Value(BOOLEAN, b.op("ne", "i1", b.helper(_SET_CE, b.context()), b.number(0)))


def _check_pull(site: Any) -> Meaning:
    site.bind("length")
    site.integer("length")
    return BOOLEAN


def _lower_pull(b: Any, site: Any) -> Value:
    length = b.truncate(b.numeric(site.value("length"))[0], "i32")
    return Value(BOOLEAN, b.op("eq", "i1", b.helper(_PULL_DATA, b.context(), b.extend(length, "i32")), b.number(0)))


def _check_tunnel(site: Any) -> Meaning:
    site.bind("size", "outer", datagram=False)
    site.integer("size")
    if site.constant("outer") not in (4, 6):
        site.refuse("the outer header is IPv4 or IPv6", "Write ctx.make_room(20, 4).")
    return BOOLEAN


def _lower_tunnel(b: Any, site: Any) -> Value:
    size = b.truncate(b.numeric(site.value("size"))[0], "i32")
    flags = _OVER_IPV4 if site.constant("outer") == 4 else _OVER_IPV6
    if site.given("datagram") and site.constant("datagram"):
        flags |= _OVER_UDP
    done = b.helper(_ADJUST_ROOM, b.context(), b.extend(size, "i32"), b.number(_BEHIND_ETHERNET), b.number(flags))
    return Value(BOOLEAN, b.op("eq", "i1", done, b.number(0)))


def _check_store(site: Any) -> Meaning:
    meaning = _skb.check_write(site)
    if site.given("size"):
        site.refuse("at tc a value is written whole", "Write ctx.write(0, entry.data).")
    return meaning


def _lower_store(b: Any, site: Any) -> Value:
    size = site.meaning("value").ctype.size
    offset = b.truncate(b.numeric(site.value("offset"))[0], "i32")
    failed = b.helper(_STORE_BYTES, b.context(), b.extend(offset, "i32"), site.value("value").only, b.number(size),
                      b.number(0))
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


def _check_sum(site: Any) -> Meaning:
    site.bind("offset", "difference", addresses=False, optional=False)
    site.integer("offset")
    site.integer("difference")
    return BOOLEAN


def _lower_sum(b: Any, site: Any) -> Value:
    offset, difference = (b.truncate(b.numeric(site.value(name))[0], "i32") for name in ("offset", "difference"))
    flags = _OF_ADDRESSES if site.given("addresses") and site.constant("addresses") else 0
    flags |= _ZERO_IS_NONE if site.given("optional") and site.constant("optional") else 0
    failed = b.helper(_REPLACE_SUM, b.context(), b.extend(offset, "i32"), b.number(0), b.extend(difference, "i32"),
                      b.number(flags))
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


class Context(_Context):
    """A packet in the stack."""

    kernel_name: ClassVar[str] = "__sk_buff"
    __operations__: ClassVar[dict[str, Operation]] = {
        "mark": _skb.word(_skb.MARK, writable=True), "length": _skb.word(_skb.LEN),
        "priority": _skb.word(_skb.PRIORITY, writable=True), "ifindex": _skb.word(_skb.IFINDEX),
        "tstamp": _skb.time(_skb.TSTAMP), "wire_length": _skb.word(_skb.WIRE_LEN),
        "protocol": _skb.big_word(_skb.PROTOCOL), "find": _packet.find(_skb.bounds),
        "offset_of": _packet.offset_of(_skb.bounds),
        "read": Operation(_skb.check_read, _skb.lower_read),
        "fetch": Operation(_skb.check_fetch, _skb.fetch(_skb.LOAD_BYTES)),
        "cgroup_id": Property(lambda site: Integer(0, (1 << 64) - 1), _lower_cgroup, calls=True),
        "ancestor_cgroup_id": Operation(_check_level, _lower_ancestor),
        "socket_uid": Property(lambda site: U32, _lower_socket_uid, calls=True),
        "mark_congestion": Operation(_check_nothing, _lower_congestion, moves_packet=True),
        "metadata": Operation(_check_metadata, _lower_metadata),
        "pull": Operation(_check_pull, _lower_pull, moves_packet=True),
        "write": Operation(_check_store, _lower_store, moves_packet=True),
        "change_sum": Operation(_check_sum, _lower_sum, moves_packet=True),
        "make_room": Operation(_check_tunnel, _lower_tunnel, moves_packet=True),
    }

    if TYPE_CHECKING:
        mark: int
        priority: int
        tstamp: int
        """When the packet is to go out, by now_ns(); 0 for at once. A qdisc fq keeps to it. Since Linux 5.0."""

        @property
        def length(self) -> int:
            """Bytes in the packet."""
        @property
        def wire_length(self) -> int:
            """Bytes that it takes to send it: more than `length` where the card cuts it into segments. Since 5.0."""
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
        def offset_of(self, header: Header, /) -> int:
            """Bytes from the packet's start to a header that find() gave."""
        def read(self, offset: int, kind: type[V]) -> V | None:
            """A copy of a header, struct or scalar at a byte offset; None behind the packet's end."""
        def fetch(self, offset: int, place: object, *, size: int | None = None) -> bool:
            """Copy bytes of the packet, as many as `place` has or the first `size`, into a Struct or array of a map or
            ring; False where the packet ends before. Since Linux 4.5."""
        @property
        def cgroup_id(self) -> int:
            """The number of the sender's cgroup (v2); 0 where no socket of this machine sent it. Since Linux 4.18."""
        def ancestor_cgroup_id(self, level: int) -> int:
            """The number of the cgroup above the sender's at a level (the root's is 0), or its own; 0 where it is not
            that deep, or no socket of this machine sent the packet. Since Linux 4.19."""
        @property
        def socket_uid(self) -> int:
            """Whose the socket is that sends the packet; 65534 where none of this machine does. Since Linux 4.12."""
        def mark_congestion(self) -> bool:
            """Set CE in a packet that allows it (ECT, RFC 3168); whether it did. Headers found before are gone. Since
            Linux 5.1."""
        def metadata(self, kind: type[V]) -> V | None:
            """What a program at XDP of this interface put in front of the packet; None where it did not, or less, and
            on the way out. Since Linux 4.15."""
        def pull(self, length: int) -> bool:
            """Make the first `length` bytes readable, 0: what is linear. Headers found before are gone. Since 4.9."""
        def write(self, offset: int, value: object) -> bool:
            """Write a header, Struct or array into the packet; False where it does not fit. Headers found before are
            gone. Since Linux 4.1."""
        def change_sum(self, offset: int, difference: int, *, addresses: bool = False, optional: bool = False) -> bool:
            """Let the checksum of TCP or UDP at `offset` follow what changed: `difference` is the sum of the new 16-bit
            words and of the old ones' complements, raw. `addresses`: they are the pseudo-header's; what is left to the
            device stays left to it. `optional`: 0 means that there is none. Headers found before are gone. Since
            Linux 4.5."""
        def make_room(self, size: int, outer: int, *, datagram: bool = False) -> bool:
            """Room of `size` bytes behind the Ethernet header, for a tunnel over IPv4 or IPv6 (`outer` 4 or 6; a
            `datagram`: and UDP), so that the stack knows what is inside. Headers found before are gone. Since 5.1."""


def _check_redirect(site: Any) -> Meaning:
    site.bind("ifindex", incoming=False)
    site.integer("ifindex")
    return Integer(-1, 7, Action)


def _lower_redirect(b: Any, site: Any) -> Value:
    ifindex = b.truncate(b.numeric(site.value("ifindex"))[0], "i32")
    flags = 1 if site.given("incoming") and site.constant("incoming") else 0  # BPF_F_INGRESS
    said = b.truncate(b.helper(_REDIRECT, b.extend(ifindex, "i32"), b.number(flags)), "i32")
    return Value(site.node.meaning, b.extend(said, "i32"))


def redirect(ifindex: int, *, incoming: bool = False) -> Action:
    """Send the packet out of an interface by its number, or let it come in there (`incoming`). Since Linux 4.2."""
    raise UsageError("tc.redirect() exists inside a kernel program only")


redirect.__operation__ = Operation(_check_redirect, _lower_redirect)  # type: ignore[attr-defined]

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
        return Integer(-1, 7, Action)

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
