"""struct __sk_buff as programs see it (include/uapi/linux/bpf.h): what tc, cgroup and socket programs share."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.spec.dialect import Property, Value
from bpfwright.spec.meaning import BOOLEAN, U32, U64, Integer, Meaning, Optional, Reference, meaning_of
from bpfwright.types.ctype import Int, ctype_of

__all__ = ["READABLE", "bounds", "big_word", "check_fetch", "check_read", "check_write", "fetch", "lower_read",
           "time", "within", "word"]

LEN, MARK, PROTOCOL, PRIORITY, INGRESS_IFINDEX, IFINDEX, DATA, DATA_END, DATA_META = 0, 8, 16, 32, 36, 40, 76, 80, 140
TSTAMP, WIRE_LEN = 152, 160
LOAD_BYTES = 26
READABLE = ("stack", "map", "map lru", "percpu", "shared", "frozen")
_WRITABLE = ("stack", "map", "map lru", "percpu", "shared", "ring")
_U32, _U64 = Int("u32", 4, False), Int("u64", 8, False)


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


def time(offset: int) -> Property:
    """A 64-bit member that programs may write, as an attribute."""
    def lower(b: Any, site: Any) -> Value:
        return Value(U64, b.load("i64", b.context(), offset, 8))

    def write(b: Any, site: Any, value: Value) -> None:
        b.store(b.context(), b.numeric(value)[0], offset, 8)

    return Property(lambda site: U64, lower, write, _U64)


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
    failed = b.helper(LOAD_BYTES, b.context(), offset, place, b.number(ctype.size, "i32"))
    return b.present_memory(b.op("eq", "i1", failed, b.number(0)), ctype, place)  # type: ignore[no-any-return]


def check_fetch(site: Any) -> Meaning:
    """`ctx.fetch(offset, place, size=n)`: bytes of the packet into memory that the program has."""
    site.bind("offset", "place", size=None)
    site.integer("offset")
    meaning = site.meaning("place")
    if not isinstance(meaning, Reference) or meaning.space not in _WRITABLE:
        site.refuse("bytes are fetched into a Struct or array that can be written", "Write ctx.fetch(0, entry.data).")
    if site.given("size"):
        site.integer("size")
    return BOOLEAN


def fetch(helper: int) -> Any:
    """What copies by bpf_skb_load_bytes or bpf_xdp_load_bytes: at most what the place has room for."""
    def lower(b: Any, site: Any) -> Value:
        most = site.meaning("place").ctype.size
        offset = b.extend(b.truncate(b.numeric(site.value("offset"))[0], "i32"), "i32")
        place, size = site.value("place").only, b.number(most)
        if site.given("size"):
            size = within(b, b.numeric(site.value("size"))[0], most)
        failed = b.helper(helper, b.context(), offset, place, size)
        return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))

    return lower


def within(b: Any, value: int, most: int) -> int:
    """A number from 1 to `most`, so that the verifier sees it: opaque, or LLVM would compare another copy of it."""
    value = b.op("opaque", "i64", value)
    value = b.op("select", "i64", b.op("ult", "i1", value, b.number(most)), value, b.number(most))
    value = b.op("opaque", "i64", value)
    clamped: int = b.op("select", "i64", b.op("ult", "i1", b.number(0), value), value, b.number(1))
    return clamped


def check_write(site: Any) -> Meaning:
    """`ctx.write(offset, value)`: a record of memory into the packet."""
    site.bind("offset", "value", size=None)
    site.integer("offset")
    meaning = site.meaning("value")
    if not isinstance(meaning, Reference) or meaning.space not in READABLE:
        site.refuse("a header, Struct or array that is not in the packet is written", "Write ctx.write(0, entry.data).")
    if site.given("size"):
        site.integer("size")
    return BOOLEAN
