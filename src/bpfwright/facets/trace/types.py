"""The types of the language: what they are, how large they are in memory, and how they are kept in a cache.

Kernel programs write values in these layouts and user space reads them: numbers in the machine's byte order, members at
their natural alignment, at most 8. Types are frozen, compare by what they are, and print as the language writes them.
"""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar

__all__ = ["AGGREGATES", "Aggregate", "Array", "Average", "Boolean", "Buffer", "Chars", "Count", "Enumeration",
           "Extreme", "Histogram",
           "Integer", "LinearHistogram", "Nothing", "Pointer", "Series", "Stack", "Statistics", "Struct", "Sum", "Text",
           "Token", "Tuple", "Type", "TOKENS", "decode", "encode", "offsets", "padded"]


class Type:
    """A type; `size` and `align` in bytes. `width` is the size of those that have one for all."""

    __slots__ = ("_values",)
    fields: ClassVar[tuple[str, ...]] = ()
    width: ClassVar[int] = 8
    _values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        if len(values) != len(self.fields):
            raise TypeError(f"{type(self).__name__}{self.fields} got {len(values)} values")
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[self.fields.index(name)]
        except ValueError:
            raise AttributeError(name) from None

    @property
    def size(self) -> int:
        return self.width

    @property
    def align(self) -> int:
        return min(8, self.size) or 1

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values == other._values

    def __hash__(self) -> int:
        return hash((type(self), self._values))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._values))})"

    def __str__(self) -> str:
        return type(self).__name__.lower()


class Nothing(Type):
    """No value."""

    __slots__ = ()
    width = 0

    def __str__(self) -> str:
        return "void"


class Integer(Type):
    """`int64`, `uint8`: `bytes` wide, with a sign or without."""

    __slots__ = ()
    fields = ("bytes", "signed")
    bytes: int
    signed: bool

    @property
    def size(self) -> int:
        return self.bytes

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bytes * 8}"


class Boolean(Type):
    """`bool`: one byte, 0 or 1."""

    __slots__ = ()
    width = 1

    def __str__(self) -> str:
        return "bool"


class Enumeration(Type):
    """`enum name`: an integer whose values have names; `values` holds (number, name)."""

    __slots__ = ()
    fields = ("name", "bytes", "signed", "values")
    name: str
    bytes: int
    signed: bool
    values: tuple[tuple[int, str], ...]

    @property
    def size(self) -> int:
        return self.bytes

    def __str__(self) -> str:
        return f"enum {self.name}"


class Text(Type):
    """`string[n]`: up to n bytes, cut at the first NUL; without one it fills all n. Aligned to 8 bytes, so that texts
    are compared in words."""

    __slots__ = ()
    fields = ("length",)
    length: int

    @property
    def size(self) -> int:
        return self.length

    @property
    def align(self) -> int:
        return 8

    def __str__(self) -> str:
        return f"string[{self.length}]"


class Chars(Text):
    """`char name[n]` of C: a text that is whole also where it fills all n bytes."""

    __slots__ = ()


class Buffer(Type):
    """What `buf` gives: a u32 that says how many bytes there are, then room for `length`."""

    __slots__ = ()
    fields = ("length",)
    length: int

    @property
    def size(self) -> int:
        return 4 + self.length

    @property
    def align(self) -> int:
        return 4

    def __str__(self) -> str:
        return f"buffer[{self.length}]"


class Pointer(Type):
    """`to *`; `space` is `kernel`, `user`, `context` (memory that the program may read directly) or nothing."""

    __slots__ = ()
    fields = ("to", "space")
    to: Type
    space: str

    def __str__(self) -> str:
        return f"{self.to} *"


class Struct(Type):
    """`struct name` or `union name`, `bytes` large. `source` is who knows its members: `kernel`, `script`, `args`, a
    binary's path. In a plan `members` holds (name, offset, type, bit offset, bit width); before, it is empty."""

    __slots__ = ()
    fields = ("keyword", "name", "bytes", "source", "members")
    keyword: str
    name: str
    bytes: int
    source: str
    members: tuple[tuple[str, int, Type, int, int], ...]

    @property
    def size(self) -> int:
        return self.bytes

    @property
    def align(self) -> int:
        return 8

    def __str__(self) -> str:
        return f"{self.keyword} {self.name}".strip()


class Array(Type):
    """`of[count]`."""

    __slots__ = ()
    fields = ("of", "count")
    of: Type
    count: int

    @property
    def size(self) -> int:
        return self.of.size * self.count

    @property
    def align(self) -> int:
        return self.of.align

    def __str__(self) -> str:
        return f"{self.of}[{self.count}]"


class Tuple(Type):
    """`(a, b)`, or `(x=a, y=b)` when it has names; items at their natural alignment."""

    __slots__ = ()
    fields = ("items", "names")
    items: tuple[Type, ...]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        ends = offsets(self.items)
        return padded(ends[-1] + self.items[-1].size, self.align) if ends else 0

    @property
    def align(self) -> int:
        return max((item.align for item in self.items), default=1)

    def __str__(self) -> str:
        if self.names:
            return f"record {{ {' '.join(f'.{n}={t}' for n, t in zip(self.names, self.items, strict=True))} }}"
        return f"({','.join(map(str, self.items))})"


class Stack(Type):
    """`kstack`, `ustack`: u32 number of the stack in the stack map (its highest bit set: none was had), u32 process id.
    `dw_ustack`: u64 name of a kept stack, 0 and 1 for none.

    `space` is `kernel`, `user` or `tables` (of `dw_ustack`); `mode` one of bpftrace, perf, raw, build_id; `frames` the
    most that are shown.
    """

    __slots__ = ()
    fields = ("space", "mode", "frames")
    space: str
    mode: str
    frames: int

    @property
    def align(self) -> int:
        return 4

    def __str__(self) -> str:
        return f"{_STACKS[self.space]}_{self.mode}_{self.frames}"


_STACKS = {"kernel": "kstack", "user": "ustack", "tables": "dw_ustack"}
TOKENS: dict[str, tuple[int, str]] = {
    "ksym": (8, "u64 address in the kernel"),
    "usym": (16, "u64 address, u64 process id"),
    "username": (8, "u64 user id"),
    "strerror": (8, "u64 error number"),
    "probe": (8, "u64 index of the plan's probes"),
    "func": (8, "u64 index of the plan's probes"),
    "syscall_name": (8, "u64 number of a system call"),
    "signal_name": (8, "u64 number of a signal"),
    "strftime": (16, "u64 nanoseconds since boot, u64 index of the plan's texts: the format"),
    "cgroup_path": (16, "u64 cgroup id, u64 index of the plan's texts: the pattern of a hierarchy's name, or empty"),
    "inet": (24, "u32 address family, 16 bytes of address, u32 of nothing"),
    "mac": (8, "6 bytes of address, 2 of nothing"),
    "ctime": (8, "u64 nanoseconds since boot"),
}
"""What user space turns into text: size in bytes, and what stands there."""


class Token(Type):
    """A value that user space turns into text; `kind` is a key of TOKENS."""

    __slots__ = ()
    fields = ("kind",)
    kind: str

    @property
    def size(self) -> int:
        return TOKENS[self.kind][0]

    @property
    def align(self) -> int:
        return 4 if self.kind in ("inet", "mac") else 8

    def __str__(self) -> str:
        return {"inet": "inet", "mac": "mac_address", "strftime": "timestamp"}.get(self.kind, self.kind)


class Aggregate(Type):
    """What a map gathers, on each CPU apart; `merge` is user space's."""

    __slots__ = ()


class Count(Aggregate):
    """`count()`: a u64."""

    __slots__ = ()

    def __str__(self) -> str:
        return "count_t"


class Sum(Aggregate):
    """`sum(n)`: a 64-bit sum."""

    __slots__ = ()
    fields = ("signed",)
    signed: bool

    def __str__(self) -> str:
        return "sum_t" if self.signed else "usum_t"


class Extreme(Aggregate):
    """`min(n)` and `max(n)`: a 64-bit value, and a u64 that is 1 where this CPU has one. `which` is `min` or `max`."""

    __slots__ = ()
    fields = ("which", "signed")
    which: str
    signed: bool
    width = 16

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}{self.which}_t"


class Average(Aggregate):
    """`avg(n)`: a 64-bit total and a u64 count."""

    __slots__ = ()
    fields = ("signed",)
    signed: bool
    width = 16

    def __str__(self) -> str:
        return "avg_t" if self.signed else "uavg_t"


class Statistics(Aggregate):
    """`stats(n)`: as avg."""

    __slots__ = ()
    fields = ("signed",)
    signed: bool
    width = 16

    def __str__(self) -> str:
        return "stats_t" if self.signed else "ustats_t"


class Histogram(Aggregate):
    """`hist(n, bits)`: u64 counters. Counter 0 counts negative values, 1 + v the values v below 2**bits, and
    1 + (e - bits + 1) * 2**bits + s those with floor(log2(v)) = e whose `bits` bits below the highest are s."""

    __slots__ = ()
    fields = ("bits",)
    bits: int

    @property
    def counters(self) -> int:
        return 1 + (65 - self.bits << self.bits)

    @property
    def size(self) -> int:
        return 8 * self.counters

    def __str__(self) -> str:
        return "hist_t"


class LinearHistogram(Aggregate):
    """`lhist(n, low, high, step)`: u64 counters: below `low`, each step, and from `high` on."""

    __slots__ = ()
    fields = ("low", "high", "step")
    low: int
    high: int
    step: int

    @property
    def counters(self) -> int:
        return -(-(self.high - self.low) // self.step) + 2

    @property
    def size(self) -> int:
        return 8 * self.counters

    def __str__(self) -> str:
        return "lhist_t"


class Series(Aggregate):
    """`tseries(n, interval, buckets, how)`: a ring of (64-bit value, u64 count, u64 epoch); an epoch is the boot time
    in ns divided by `interval_ns`, its place in the ring the epoch modulo `buckets`, and a place without a count, or of
    another epoch, is empty. `how` is nothing (the last value; the count is then the boot time in ns of its storing, so
    that the last one of all processors is known), avg (the value is a total), min, max or sum."""

    __slots__ = ()
    fields = ("interval_ns", "buckets", "how", "signed")
    interval_ns: int
    buckets: int
    how: str
    signed: bool

    @property
    def size(self) -> int:
        return 24 * self.buckets

    def __str__(self) -> str:
        return "tseries_t"


AGGREGATES = (Count, Sum, Extreme, Average, Statistics, Histogram, LinearHistogram, Series)
_BY_NAME: dict[str, type[Type]] = {cls.__name__: cls for cls in (
    Nothing, Integer, Boolean, Enumeration, Text, Chars, Buffer, Pointer, Struct, Array, Tuple, Stack, Token,
    *AGGREGATES)}


def padded(offset: int, align: int) -> int:
    """The next multiple of `align`."""
    return -(-offset // align) * align


def offsets(items: tuple[Type, ...]) -> list[int]:
    """Where each of several members stands, one after another at its natural alignment."""
    found: list[int] = []
    at = 0
    for item in items:
        at = padded(at, item.align)
        found.append(at)
        at += item.size
    return found


def encode(value: Any) -> Any:
    """A type, or anything of types, as plain tuples for a cache."""
    if isinstance(value, Type):
        return (type(value).__name__, *(encode(part) for part in value._values))
    return ("", *map(encode, value)) if isinstance(value, tuple) else value


def decode(value: Any) -> Any:
    """What `encode` was given."""
    if not isinstance(value, tuple):
        return value
    parts = tuple(map(decode, value[1:]))
    return _BY_NAME[value[0]](*parts) if value[0] else parts
