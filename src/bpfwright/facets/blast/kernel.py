"""The program that makes a frame out of a shape, in a live test run.

It is put together from small functions, one for each field and checksum, whose free variables are places and
values: the compiler sees constants only. Each frame is written whole, since pages come back as others left them.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.facets.blast.frames import SIGNATURE, Frames, Slot, Sum, words_of
from bpfwright.facets.blast.values import MASK, Varying
from bpfwright.helpers import now_ns
from bpfwright.hooks import xdp
from bpfwright.maps import Array, DevMap, PerCpuArray
from bpfwright.spec.header import Header
from bpfwright.types import L, Struct, array, be16, be32, be64, u32, u64  # noqa: F401  (L and array in made classes)

__all__ = ["Maker", "Signature", "State", "balance", "maker_of"]

_STEPS = (64, 128, 256, 512, 1024, 1536, 2048, 3072, 3400)  # bytes of a shape's entry: few, so that the cache hits


class State(Struct):
    """Where a CPU's share of the frames stands: its next number, and the distance from one to the next."""

    next: u64
    stride: u64
    made: u64
    made_bytes: u64
    magic: u64


class Signature(Struct):
    """What a receiver knows a frame by; see frames.signature."""

    magic: be16
    balance: be16
    number: be32
    time_ns: be64


Value = Callable[..., Any]


class Maker(NamedTuple):
    """A program that makes frames, with its maps."""

    program: xdp.XdpProgram
    shapes: Any
    states: Any
    devices: Any
    listed: Any
    shape: type[Struct]

    def filled(self, data: bytes) -> bytes:
        """A shape that is laid out as the bytes of its map's entry."""
        return (len(data).to_bytes(8, "little") + data).ljust(self.shape.__layout__().size, b"\0")


def maker_of(frames: Frames, *, stamped: bool = True) -> Maker:
    """The program that makes these frames; `stamped`: signatures say when."""
    room = next(step for step in _STEPS if step >= frames.longest)
    shape = _record("Shape", Struct, {"length": "u64", "data": f"array[be16, L[{room // 2}]]"})
    touched = [*(words_of(slot)[-1] for slot in frames.slots), *(each.at // 2 for each in frames.sums)]
    wire = _record("Wire", Header, {"words": f"array[be16, L[{max(touched, default=7) + 1}]]"})
    wire.root = True  # only now, so that this process's parsers of packets never take it for one of their headers
    values = [value for slot in frames.slots for value in slot.varying.listed]
    listed = Array[u64](max_entries=max(1, len(values)))
    shapes: Any = Array[shape](max_entries=len(frames))  # type: ignore[valid-type]
    states = PerCpuArray[State](max_entries=1)
    devices = DevMap(max_entries=1)
    fill, at = _nothing, 0
    for slot in frames.slots:
        fill = _then(fill, _slot(slot, listed, at))
        at += len(slot.varying.listed)
    seal = _nothing
    for each in frames.sums:
        seal = _then(seal, _sum(each))
    sign = _nobody if not frames.signed else _sign if stamped else _sign_unstamped
    program = _maker(shapes, states, devices, wire, fill, seal, sign, room, len(frames),
                     bool(frames.slots), frames.shortest != frames.longest)
    return Maker(program, shapes, states, devices, listed, shape)


def _record(name: str, base: type[Any], annotations: dict[str, str], **more: object) -> type[Any]:
    made: type[Any] = type(name, (base,), {"__annotations__": annotations, "__module__": __name__, **more})
    return made


def _maker(shapes: Any, states: Any, devices: Any, Wire: Any, fill: Value, seal: Value, sign: Value, room: int,
           count: int, varies: bool, resizes: bool) -> xdp.XdpProgram:
    @xdp.program
    def blast_make(ctx: xdp.Context) -> xdp.Action:
        """A number, its shape, what varies in it, its checksums, the signature; and out."""
        state = states.local(0)
        number = state.next
        state.next = number + state.stride
        shape = shapes.get(u32(number % count))
        if shape is None:
            return xdp.ABORTED
        length = shape.length
        if resizes and ctx.length != length and not ctx.adjust_tail(length - ctx.length):
            return xdp.ABORTED
        if not ctx.write(0, shape.data, size=length):
            return xdp.ABORTED
        if varies:
            frame = ctx.find(Wire)
            if frame is None:
                return xdp.ABORTED
            fill(frame, number)
            seal(frame, number)
        sign(ctx, state, number, length)
        state.made += 1
        state.made_bytes += length
        return xdp.redirect(devices, 0)

    return blast_make


# what a frame is filled with

def _nothing(frame: Any, given: Any) -> None:
    return None


def _then(first: Value, second: Value) -> Value:
    if first is _nothing:
        return second

    def both(frame: Any, given: Any) -> None:
        first(frame, given)
        second(frame, given)

    return both


def _slot(slot: Slot, listed: Any, at: int) -> Value:
    value = _value(slot.varying, slot.key, listed, at)
    put = _nothing
    end = slot.start + slot.width
    for word in words_of(slot):
        up = end - 16 * (word + 1)  # how far the value's lowest bit is below the word's
        low, high = max(16 * word, slot.start), min(16 * (word + 1), end)
        mask = ((1 << high - low) - 1) << 16 * (word + 1) - high
        put = _then(put, _word(word, up, mask))

    def fill(frame: Any, number: Any) -> None:
        put(frame, value(number))

    return fill


def _word(place: int, up: int, mask: int) -> Value:
    """Puts a value's part into one word; what is beside it in the word stays."""
    down, left, keep = max(up, 0), max(-up, 0), ~mask & 0xFFFF

    def put(frame: Any, value: Any) -> None:
        part = (u64(value) >> down << left) & mask
        if keep == 0:
            frame.words[place] = part
        else:
            frame.words[place] = (frame.words[place] & keep) | part

    return put


def _value(varying: Varying, key: int, listed: Any, at: int) -> Value:
    index = _index(varying, key)
    first, step = varying.first & MASK, varying.step & MASK

    def counted(number: Any) -> Any:
        return u64(first + step * index(number))

    most = len(varying.listed) - 1

    def chosen(number: Any) -> Any:
        found = listed.get(u32(at + min(index(number), most)))
        return 0 if found is None else found

    return chosen if varying.listed else counted


def _index(varying: Varying, key: int) -> Value:
    held, count = varying.held, varying.size
    everything = count >= 1 << 64

    def in_turn(number: Any) -> Any:
        return number // held % count

    def all_in_turn(number: Any) -> Any:
        return number // held

    def scaled(number: Any) -> Any:
        return (_mix(number // held, key) >> 32) * count >> 32

    def drawn(number: Any) -> Any:
        return _mix(number // held, key) % count

    def all_drawn(number: Any) -> Any:
        return _mix(number // held, key)

    if not varying.chance:
        return all_in_turn if everything else in_turn
    return all_drawn if everything else scaled if count <= 1 << 32 else drawn


def _mix(turn: u64, key: u64) -> u64:
    z: u64 = u64(turn * 0x9E37_79B9_7F4A_7C15 + key)
    z = u64((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9)
    z = u64((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB)
    return z ^ (z >> 31)


# checksums: the shape has the sum of what does not vary in their place, what varies is added (RFC 1071)

def _sum(each: Sum) -> Value:
    place, never_zero = each.at // 2, each.never_zero
    added = _no_word
    for word in each.words:
        added = _plus(added, _read(word))

    def seal(frame: Any, number: Any) -> None:
        checksum = ~_folded(frame.words[place] + added(frame)) & 0xFFFF
        if never_zero and checksum == 0:
            checksum = 0xFFFF
        frame.words[place] = checksum

    return seal


def _no_word(frame: Any) -> int:
    return 0


def _read(word: int) -> Value:
    def read(frame: Any) -> Any:
        return frame.words[word]

    return read


def _plus(first: Value, second: Value) -> Value:
    if first is _no_word:
        return second

    def both(frame: Any) -> Any:
        return first(frame) + second(frame)

    return both


def _folded(total: u64) -> u64:
    """A sum of up to 65,536 words in 16 bits, the carry added."""
    once = (total & 0xFFFF) + (total >> 16)
    return (once & 0xFFFF) + (once >> 16)


# signatures

def _nobody(ctx: Any, state: Any, number: Any, length: Any) -> None:
    return None


def _sign(ctx: Any, state: Any, number: Any, length: Any) -> None:
    _put_signature(ctx, state.magic, number, length, now_ns())


def _sign_unstamped(ctx: Any, state: Any, number: Any, length: Any) -> None:
    _put_signature(ctx, state.magic, number, length, 0)


def _put_signature(ctx: Any, magic: Any, number: Any, length: Any, time_ns: Any) -> None:
    low = number & 0xFFFF_FFFF
    made = Signature(magic & 0xFFFF, balance(magic & 0xFFFF, low, time_ns), low, time_ns)
    ctx.write((length & ~1) - SIGNATURE, made)


def balance(magic: u64, number: u64, time_ns: u64) -> u64:
    """What makes the signature's sum all ones."""
    total = magic + (number >> 16) + (number & 0xFFFF)
    total += (time_ns >> 48) + ((time_ns >> 32) & 0xFFFF) + ((time_ns >> 16) & 0xFFFF) + (time_ns & 0xFFFF)
    return ~_folded(total) & 0xFFFF
