"""struct __sk_buff as programs see it (include/uapi/linux/bpf.h): what tc, cgroup and socket programs share."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.spec.dialect import Property, Value
from bpfwright.spec.meaning import U32, Integer, Meaning, Optional, meaning_of
from bpfwright.types.ctype import Int, ctype_of

__all__ = ["bounds", "big_word", "check_read", "lower_read", "word"]

LEN, MARK, PROTOCOL, PRIORITY, INGRESS_IFINDEX, IFINDEX, DATA, DATA_END = 0, 8, 16, 32, 36, 40, 76, 80
_LOAD_BYTES = 26
_U32 = Int("u32", 4, False)


def load(b: Any, offset: int) -> int:
    """A 32-bit member."""
    value: int = b.extend(b.load("i32", b.context(), offset, 4), "i32")
    return value


def bounds(b: Any) -> tuple[int, int]:
    """Pointers to the first byte and behind the last, of the linear part."""
    if b.packet_slots is not None:
        first, last = b.packet_slots
        return b.load("ptr", first), b.load("ptr", last)
    return b.op("toptr", "ptr", load(b, DATA)), b.op("toptr", "ptr", load(b, DATA_END))


def keep_bounds(b: Any) -> None:
    """Read the bounds once, for the whole of this function; nothing moves the packet after this."""
    start, end = bounds(b)
    first, last = b.slot(8, 8, "packet"), b.slot(8, 8, "packet end")
    b.store(first, start)
    b.store(last, end)
    b.packet_slots = (first, last)


def word(offset: int, *, writable: bool = False) -> Property:
    """A 32-bit member as an attribute."""
    def lower(b: Any, site: Any) -> Value:
        return Value(U32, load(b, offset))

    def write(b: Any, site: Any, value: Value) -> None:
        b.store(b.context(), b.truncate(b.numeric(value)[0], "i32"), offset, 4)

    return Property(lambda site: U32, lower, write if writable else None, _U32)


def big_word(offset: int) -> Property:
    """A 16-bit number in network order, held in a 32-bit member."""
    meaning = Integer(0, 0xFFFF)

    def lower(b: Any, site: Any) -> Value:
        raw = b.truncate(b.load("i32", b.context(), offset, 4), "i16")
        return Value(meaning, b.extend(b.op("bswap", "i16", raw), "i16"))

    return Property(lambda site: meaning, lower)


def check_read(site: Any) -> Meaning:
    """`ctx.read(offset, T)`: a copy of bytes of the packet, None behind its end."""
    site.bind("offset", "kind")
    site.integer("offset")
    try:
        ctype = ctype_of(site.constant("kind"))
    except ValueError:
        site.refuse("read() takes a type", "Write ctx.read(0, Ethernet), or a scalar such as be16.")
    site.notes["type"] = ctype
    return Optional(meaning_of(ctype, "stack"))


def lower_read(b: Any, site: Any) -> Value:
    """bpf_skb_load_bytes. Since Linux 4.5."""
    ctype = site.notes["type"]
    place = b.memory(ctype.size, "packet bytes")
    offset = b.truncate(b.numeric(site.value("offset"))[0], "i32")
    failed = b.helper(_LOAD_BYTES, b.context(), offset, place, b.number(ctype.size, "i32"))
    return b.present_memory(b.op("eq", "i1", failed, b.number(0)), ctype, place)  # type: ignore[no-any-return]
