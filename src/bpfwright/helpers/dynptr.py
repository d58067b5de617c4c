"""Dynptrs: a packet seen whole, in however many pieces it lies, by reads and writes that the kernel checks."""
from __future__ import annotations

from contextlib import AbstractContextManager

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from bpfwright.errors import UsageError
from bpfwright.helpers.basic import inside_only
from bpfwright.spec.dialect import Operation, Property, Scope, Value
from bpfwright.spec.meaning import BOOLEAN, U32, Constant, ContextOf, Meaning, Optional, Reference, meaning_of
from bpfwright.types import Struct, u64
from bpfwright.types.ctype import Int, Pointer, RecordType, ctype_of

__all__ = ["View", "whole_packet"]

T = TypeVar("T")
_READ, _WRITE = 201, 202  # bpf_dynptr_read, bpf_dynptr_write: since Linux 5.19
_U32, _I32, _U64 = Int("u32", 4, False), Int("i32", 4, True), Int("u64", 8, False)
_MAKERS = {"xdp": "bpf_dynptr_from_xdp", "tc": "bpf_dynptr_from_skb"}
_CONTEXTS = {"xdp": "xdp_md", "tc": "__sk_buff"}


class bpf_dynptr(Struct):
    """The kernel's own 16 bytes."""

    opaque: u64
    more: u64


def _named(name: str) -> Pointer:
    """A pointer to a kernel type that only its name matters of."""
    from bpfwright.types.structs import Layout
    cls = type(name, (), {"__kernel_name__": name, "__layout__": classmethod(lambda cls: Layout(8, 8, {}))})
    return Pointer(RecordType(cls))


def _check_read(site: Any) -> Meaning:
    site.bind("offset", "kind")
    site.integer("offset")
    meaning = site.meaning("kind")
    try:
        ctype = ctype_of(meaning.value if isinstance(meaning, Constant) else None)
    except UsageError as error:
        site.refuse(error.what, "Write view.read(0, Ethernet).")
    site.notes["type"] = ctype
    return Optional(meaning_of(ctype, "stack"))


def _lower_read(b: Any, site: Any) -> Value:
    ctype = site.notes["type"]
    place = b.memory(ctype.size, "packet bytes")
    offset = b.truncate(b.numeric(site.value("offset"))[0], "i32")
    failed = b.helper(_READ, place, b.number(ctype.size, "i32"), site.receiver_value().only, b.extend(offset, "i32"),
                      b.number(0))
    found: Value = b.present_memory(b.op("eq", "i1", failed, b.number(0)), ctype, place)
    return found


def _check_write(site: Any) -> Meaning:
    site.bind("offset", "value")
    site.integer("offset")
    meaning = site.meaning("value")
    if not isinstance(meaning, Reference):
        site.refuse("a header or Struct is written", "Write view.write(0, header).")
    return BOOLEAN


def _moves(site: Any) -> bool:
    """The kernel may have to make an skb's buffers its own before it writes (bpf_skb_store_bytes())."""
    moves: bool = site.program.hook.name == "tc"
    return moves


def _lower_write(b: Any, site: Any) -> Value:
    meaning = site.meaning("value")
    place = b.memory(meaning.ctype.size, "packet bytes")
    site.into("value", meaning.ctype, place)
    offset = b.truncate(b.numeric(site.value("offset"))[0], "i32")
    failed = b.helper(_WRITE, site.receiver_value().only, b.extend(offset, "i32"), place,
                      b.number(meaning.ctype.size, "i32"), b.number(0))
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


def _lower_size(b: Any, site: Any) -> Value:
    size = b.kfunc("bpf_dynptr_size", _U32, [(Pointer(RecordType(bpf_dynptr)), site.receiver_value().only)])
    return Value(U32, b.extend(size, "i32"))


class View:
    """A packet, all of it."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "read": Operation(_check_read, _lower_read),
        "write": Operation(_check_write, _lower_write, moves_packet=_moves),
        "size": Property(lambda site: U32, _lower_size, calls=True),
    }

    if TYPE_CHECKING:
        @property
        def size(self) -> int:
            """Bytes in the packet, over all its buffers. Since Linux 6.5."""
        def read(self, offset: int, kind: type[T]) -> T | None:
            """A copy of a header or Struct at a byte offset; None where it does not fit."""
        def write(self, offset: int, value: object) -> bool:
            """Write a header or Struct into the packet; False where it does not fit.

            In a tc program, headers that ctx.find() found before are gone.
            """


bpf_dynptr.__operations__ = View.__operations__  # type: ignore[attr-defined]


def whole_packet(ctx: object) -> AbstractContextManager[View]:
    """`with whole_packet(ctx) as view:` reads and writes anywhere in a packet, frags too. XDP and tc. Since 6.4."""
    raise inside_only("whole_packet")


def _check(site: Any) -> Meaning:
    site.bind("ctx")
    if not isinstance(site.meaning("ctx"), ContextOf) or site.program.hook.name not in _MAKERS:
        site.refuse("the context of an XDP or tc program is wanted", "Write whole_packet(ctx).")
    return Reference(RecordType(bpf_dynptr), "stack")


def _enter(b: Any, site: Any) -> Value:
    hook = site.program.hook.name
    place = b.slot(16, 8, "dynptr")
    b.kfunc(_MAKERS[hook], _I32, [(_named(_CONTEXTS[hook]), b.context()), (_U64, b.number(0)),
                                  (Pointer(RecordType(bpf_dynptr)), place)])
    return Value(Reference(RecordType(bpf_dynptr), "stack"), place)


def _leave(b: Any, site: Any, value: Value) -> None:
    return None


whole_packet.__operation__ = Scope(_check, _enter, _leave)  # type: ignore[attr-defined]
