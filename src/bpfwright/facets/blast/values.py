"""What a field's value may be from frame to frame: counted, drawn by chance, taken from a list, held for a while."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple, Sequence
from bpfwright.errors import UsageError
from bpfwright.types.address import Address
from bpfwright.types.ctype import AddressType, BitsType, CType, Int

__all__ = ["MASK", "Held", "Random", "Varying", "hold", "key_of", "mix", "random", "varying"]

MASK = (1 << 64) - 1
MOST_LISTED = 65_536  # values of one list


class Random(NamedTuple):
    """`random(x)`: x's values by chance; of no x, every value that the field can hold."""

    of: Any = None


class Held(NamedTuple):
    """`hold(k, x)`: each of x's values in k frames one after another."""

    frames: int
    of: Any


def random(of: object = None) -> Random:
    """A field's values by chance: `random("10.0.0.0/8")`, `random(range(1, 9))`, `random()` for all it can hold."""
    return Random(of)


def hold(frames: int, of: object) -> Held:
    """Each value in `frames` frames one after another, so that fields can turn at different speeds."""
    if isinstance(frames, bool) or not isinstance(frames, int) or not 1 <= frames < 1 << 32:
        raise UsageError(f"hold() takes a number of frames, not {frames!r}", cure="Write hold(256, range(1, 100)).")
    return Held(frames, of)


class Varying(NamedTuple):
    """A field's value as a function of the frame's number.

    The index of the value is `number // held`, modulo `size` or, with `chance`, mixed with a key and scaled to
    `size`. The value is `listed[index]`, or where nothing is listed `first + step * index`.
    """

    size: int
    first: int = 0
    step: int = 1
    listed: tuple[int, ...] = ()
    held: int = 1
    chance: bool = False

    def place(self, number: int, key: int) -> int:
        """Which of its values a frame has."""
        turn = number // self.held
        if not self.chance:
            return turn % self.size
        drawn = mix(turn, key)
        if self.size <= 1 << 32:
            return (drawn >> 32) * self.size >> 32
        return drawn % self.size

    def value(self, number: int, key: int) -> int:
        """The value that a frame has."""
        index = self.place(number, key)
        return self.listed[index] if self.listed else self.first + self.step * index

    @property
    def largest(self) -> int:
        """The largest of its values."""
        return max(self.listed or (self.first, self.first + self.step * (self.size - 1)))

    @property
    def least(self) -> int:
        """The least of its values."""
        return min(self.listed or (self.first, self.first + self.step * (self.size - 1)))


def mix(turn: int, key: int) -> int:
    """64 bits that look like chance (the finish of splitmix64, of Steele, Lea and Flood)."""
    z = (turn * 0x9E37_79B9_7F4A_7C15 + key) & MASK
    z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & MASK
    return z ^ z >> 31


def key_of(seed: int, slot: int) -> int:
    """The key of a field, so that fields of one seed do not move together."""
    return mix(seed & MASK, mix(slot + 1, 0))


def width_of(ctype: CType) -> int:
    """Bits of a field; 0 for what has no value."""
    if isinstance(ctype, BitsType):
        return ctype.width
    if isinstance(ctype, Int):
        return ctype.bits
    return ctype.size * 8 if isinstance(ctype, AddressType) else 0


def varying(name: str, ctype: CType, value: Any) -> Varying | None:
    """How a field varies, or None for one value; UsageError for what it cannot hold."""
    made = _varying(name, ctype, value)
    if made is not None:
        bits = width_of(ctype)
        if made.least < 0 or made.largest >> bits:
            raise UsageError(f"{name} cannot be {made.largest if made.least >= 0 else made.least}",
                             why=f"it has {bits} bits")
    return made


def _varying(name: str, ctype: CType, value: Any) -> Varying | None:
    if isinstance(value, Held):
        inner = _varying(name, ctype, value.of)
        return inner and inner._replace(held=inner.held * value.frames)
    if isinstance(value, Random):
        return _by_chance(name, ctype, value)
    if isinstance(value, range):
        if not value:
            raise UsageError(f"{name}: the range is empty", why=repr(value))
        return Varying(len(value), value.start, value.step)
    if isinstance(value, list):
        return _listed(name, ctype, value)
    return _from_text(name, ctype, value) if isinstance(value, str) else None


def _by_chance(name: str, ctype: CType, value: Random) -> Varying:
    if value.of is None:
        return Varying(1 << width_of(ctype), chance=True)
    inner = _varying(name, ctype, value.of)
    if inner is None or inner.chance:
        raise UsageError(f"{name}: random() takes a range, a prefix or a list", why=f"given {value.of!r}")
    return inner._replace(chance=True)


def _listed(name: str, ctype: CType, value: Sequence[Any]) -> Varying:
    if not 1 <= len(value) <= MOST_LISTED:
        raise UsageError(f"{name}: a list of {len(value)} values", cure=f"Give 1 to {MOST_LISTED}.")
    return Varying(len(value), listed=tuple(_number(name, ctype, each) for each in value))


def _from_text(name: str, ctype: CType, text: str) -> Varying | None:
    """`10.0.0.0/16` and `10.0.0.1-10.0.0.9` for addresses, `1024-2047` for numbers; None when it is one value."""
    if isinstance(ctype, AddressType) and "/" in text:
        return _prefix(name, ctype.cls, text)
    low, dash, high = text.partition("-")
    if not dash or "-" in high:  # a MAC address may have hyphens between its bytes
        return None
    first, last = (_number(name, ctype, end.strip()) for end in (low, high))
    if first > last:
        raise UsageError(f"{name}: {text} ends before it begins")
    return Varying(last - first + 1, first)


def _prefix(name: str, address: type[Address], text: str) -> Varying:
    base, _, length = text.partition("/")
    bits = address.size * 8
    if not length.isdecimal() or int(length) > bits:
        raise UsageError(f"{name}: {text!r} is not a prefix", why=f"its length is 0 to {bits}")
    free = bits - int(length)
    first = int(address(base))
    if first & (1 << free) - 1:
        raise UsageError(f"{name}: {text!r} has bits behind its prefix",
                         cure=f"Write {address.from_int(first >> free << free)}/{length}.")
    return Varying(1 << free, first)


def _number(name: str, ctype: CType, value: Any) -> int:
    """One value as the number that stands in the frame."""
    if isinstance(ctype, AddressType):
        return int(ctype.cls.coerce(value))
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name}: {value!r} is not a number")
    return value
