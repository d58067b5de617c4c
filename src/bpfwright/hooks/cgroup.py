"""cgroup hooks: packets and connections of the processes in a cgroup (v2)."""
from __future__ import annotations

from enum import IntEnum

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar
from bpfwright.hooks import _feeding, _skb
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.header import Header
from bpfwright.spec.meaning import U32, U64, Constant, ContextOf, Integer, Meaning, Reference
from bpfwright.spec.packet import Packet
from bpfwright.spec.program import Context as _Context
from bpfwright.spec.program import HookPoint, Program, Result, Target
from bpfwright.types.ctype import AddressType, Int

if TYPE_CHECKING:
    from typing import Final  # checkers know it by this import only
    from bpfwright.headers import IPv4, IPv6

__all__ = ["ALLOW", "DENY", "Action", "Connect4", "Connect6", "Path", "Skb", "Socket", "connect4", "connect6",
           "egress", "ingress", "release"]

V = TypeVar("V")
_AF_INET, _AF_INET6, _STREAM, _TCP, _SIZE = 2, 10, 1, 6, 72
_USER_IP4, _USER_IP6, _USER_PORT, _FAMILY, _TYPE, _PROTOCOL = 4, 8, 24, 28, 32, 36  # struct bpf_sock_addr
_GET_SOCKET_COOKIE = 46


class Action(IntEnum):
    """Whether it may happen."""

    DENY = 0
    ALLOW = 1


ALLOW: Final = Action.ALLOW
DENY: Final = Action.DENY


class Path(Target):
    """A cgroup v2 folder."""

    def __init__(self, path: str) -> None:
        self.path = path


def _address_class(version: int) -> type[Any]:
    from bpfwright import headers
    found: type[Any] = (headers.IPv4 if version == 4 else headers.IPv6).Address
    return found


def _address(version: int, offset: int) -> Property:
    """An address of the context: copied out and in by words, as the verifier wants it."""
    size = 4 if version == 4 else 16

    def check(site: Any) -> Meaning:
        return Reference(AddressType(_address_class(version)), "stack")

    def lower(b: Any, site: Any) -> Value:
        place = b.slot(size, 8, "address")
        for at in range(0, size, 4):
            b.store(place, b.load("i32", b.context(), offset + at, 4), at, 4)
        return Value(site.node.meaning, place)

    def write(b: Any, site: Any, value: Value) -> None:
        if not (isinstance(value.meaning, Constant)
                or (isinstance(value.meaning, Reference) and isinstance(value.meaning.ctype, AddressType))):
            site.refuse("an address is assigned here", 'Write ctx.address = IPv4.Address("10.0.0.1").')
        ctype = AddressType(_address_class(version))
        place = b.slot(size, 8, "address")
        b.write(ctype, place, value)
        for at in range(0, size, 4):
            b.store(b.context(), b.load("i32", place, at, 4), offset + at, 4)

    return Property(check, lower, write)


_U16 = Int("u16", 2, False)
_PORT_MEANING = Integer(0, 0xFFFF)


def _lower_port(b: Any, site: Any) -> Value:
    raw = b.truncate(b.load("i32", b.context(), _USER_PORT, 4), "i16")
    return Value(_PORT_MEANING, b.extend(b.op("bswap", "i16", raw), "i16"))


def _write_port(b: Any, site: Any, value: Value) -> None:
    port = b.op("bswap", "i16", b.truncate(b.numeric(value)[0], "i16"))
    b.store(b.context(), b.op("zext", "i32", port), _USER_PORT, 4)


def _word(offset: int) -> Property:
    def lower(b: Any, site: Any) -> Value:
        return Value(U32, b.extend(b.load("i32", b.context(), offset, 4), "i32"))

    return Property(lambda site: U32, lower)


_CONNECTION = {"port": Property(lambda site: _PORT_MEANING, _lower_port, _write_port, _U16), "family": _word(_FAMILY),
               "type": _word(_TYPE), "protocol": _word(_PROTOCOL)}


class _Connect(_Context):
    """A call of connect(); outside of programs, one that is made up for a test."""

    __version__: ClassVar[int] = 4

    if TYPE_CHECKING:
        @property
        def protocol(self) -> int:
            """IPPROTO_TCP or IPPROTO_UDP."""

    def __init__(self, address: Any = None, port: int = 0, *, type: int = _STREAM, protocol: int = _TCP) -> None:
        cls = _address_class(self.__version__)
        self.address = cls("0.0.0.0" if self.__version__ == 4 else "::") if address is None else (
            cls(address) if isinstance(address, str) else address)
        self.port = port
        self.type = type
        self.__dict__["protocol"] = protocol

    def __bytes__(self) -> bytes:
        """struct bpf_sock_addr."""
        family = _AF_INET if self.__version__ == 4 else _AF_INET6
        memory = bytearray(_SIZE)
        at = _USER_IP4 if self.__version__ == 4 else _USER_IP6
        memory[0:4] = memory[_FAMILY:_FAMILY + 4] = family.to_bytes(4, "little")
        memory[at:at + len(self.address.packed)] = self.address.packed
        memory[_USER_PORT:_USER_PORT + 2] = self.port.to_bytes(2, "big")
        memory[_TYPE:_TYPE + 4] = self.type.to_bytes(4, "little")
        memory[_PROTOCOL:_PROTOCOL + 4] = self.protocol.to_bytes(4, "little")
        return bytes(memory)

    @classmethod
    def from_bytes(cls, data: bytes) -> Any:
        """The call as a program left it."""
        at, size = (_USER_IP4, 4) if cls.__version__ == 4 else (_USER_IP6, 16)
        return cls(_address_class(cls.__version__).from_bytes(data[at:at + size]),
                   int.from_bytes(data[_USER_PORT:_USER_PORT + 2], "big"),
                   type=int.from_bytes(data[_TYPE:_TYPE + 4], "little"),
                   protocol=int.from_bytes(data[_PROTOCOL:_PROTOCOL + 4], "little"))


class Connected(Result[Action]):
    """What a test run gave; `after` is the call as the program left it."""

    __slots__ = ("after",)

    after: Any


class Connect4(_Connect):
    """A connect() to an IPv4 address, which may be changed."""

    __operations__: ClassVar[dict[str, Operation]] = {"address": _address(4, _USER_IP4), **_CONNECTION}

    if TYPE_CHECKING:
        address: IPv4.Address
        port: int
        @property
        def protocol(self) -> int:
            """IPPROTO_TCP or IPPROTO_UDP."""


class Connect6(_Connect):
    """A connect() to an IPv6 address, which may be changed."""

    __version__ = 6

    __operations__: ClassVar[dict[str, Operation]] = {"address": _address(6, _USER_IP6), **_CONNECTION}

    if TYPE_CHECKING:
        address: IPv6.Address
        port: int
        @property
        def protocol(self) -> int:
            """IPPROTO_TCP or IPPROTO_UDP."""


class Skb(_Context):
    """A packet of a process in the cgroup, from its IP header on."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "length": _skb.word(_skb.LEN), "mark": _skb.word(_skb.MARK, writable=True),
        "ifindex": _skb.word(_skb.IFINDEX), "protocol": _skb.big_word(_skb.PROTOCOL),
        "read": Operation(_skb.check_read, _skb.lower_read),
    }

    if TYPE_CHECKING:
        mark: int
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
            """A copy of a header, struct or scalar at an offset (0: the IP header); None behind its end."""


class Socket(_Context):
    """A socket of a process in the cgroup. `cookie` is its number, as socket_cookie() gives it elsewhere."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "cookie": Property(lambda site: U64, lambda b, site: Value(U64, b.helper(_GET_SOCKET_COOKIE, b.context())),
                           calls=True)}

    if TYPE_CHECKING:
        @property
        def cookie(self) -> int:
            """A number that no other socket has. Since Linux 4.12."""


class _Hook(HookPoint):
    """BPF_PROG_TYPE_CGROUP_SOCK_ADDR (since 4.17), BPF_PROG_TYPE_CGROUP_SKB (4.10), BPF_PROG_TYPE_CGROUP_SOCK (5.9)."""

    def __init__(self, name: str, type: int, section: str, attach_type: int, context: Any) -> None:
        self.name = name
        self.type = type
        self._section = section
        self._attach_type = attach_type
        self._context = context

    def section(self, program: Any) -> str:
        return self._section

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return [ContextOf(self._context)]

    def result(self, program: Any) -> Any:
        return Integer(0, 1, Action)

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        return machine.cgroup(loaded, target.path, self._attach_type)

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        if self.type != 8:
            _feeding.takes_anything(loaded, "connect programs", "Connect from a process in the cgroup")
            run = loaded.test_run(context=_feeding.raw(
                bytes(given) if isinstance(given, _Connect) else given, "a connection",
                f"Give {self._context.__name__}(address, port), or struct bpf_sock_addr as bytes."), repeat=repeat)
            result = Connected(run, Action(run.value & 1), [])
            result.after = self._context.from_bytes(run.context)
            return result
        run = loaded.test_run(bytes(given), repeat=repeat)
        return Result(run, Action(run.value & 1), [])


CONNECT4 = _Hook("cgroup connect4", 18, "cgroup/connect4", 10, Connect4)
CONNECT6 = _Hook("cgroup connect6", 18, "cgroup/connect6", 11, Connect6)
INGRESS = _Hook("cgroup ingress", 8, "cgroup_skb/ingress", 0, Skb)
EGRESS = _Hook("cgroup egress", 8, "cgroup_skb/egress", 1, Skb)
RELEASE = _Hook("cgroup release", 9, "cgroup/sock_release", 34, Socket)
HOOKS = (CONNECT4, CONNECT6, INGRESS, EGRESS, RELEASE)


def connect4(function: Callable[[Connect4], Action], /) -> Program[Path, Connect4, Action]:
    """A program at connect() to IPv4: it may deny, or change address and port."""
    return Program(CONNECT4, function)  # type: ignore[arg-type]


def connect6(function: Callable[[Connect6], Action], /) -> Program[Path, Connect6, Action]:
    """A program at connect() to IPv6: it may deny, or change address and port."""
    return Program(CONNECT6, function)  # type: ignore[arg-type]


def ingress(function: Callable[[Skb], Action], /) -> Program[Path, Packet | Header | bytes, Action]:
    """A program for packets that come to the cgroup's sockets."""
    return Program(INGRESS, function)  # type: ignore[arg-type]


def egress(function: Callable[[Skb], Action], /) -> Program[Path, Packet | Header | bytes, Action]:
    """A program for packets that the cgroup's sockets send."""
    return Program(EGRESS, function)  # type: ignore[arg-type]


def release(function: Callable[[Socket], Action], /) -> Program[Path, Socket, Action]:
    """A program for internet sockets that are closed for good, UDP's too: no tracepoint tells. Since Linux 5.9."""
    return Program(RELEASE, function)  # type: ignore[arg-type]
