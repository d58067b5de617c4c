"""Frames to send: shapes (the bytes of each), slots (what varies, bit by bit) and sums (checksums that follow)."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple, Sequence
from bpfwright.errors import FormatError, UsageError
from bpfwright.facets.blast.expression import Expression, Field, cls_of, parse_expression, set_number
from bpfwright.facets.blast.values import MASK, Varying, key_of, width_of
from bpfwright.spec.header import Header, network_sum
from bpfwright.spec.packet import Packet

__all__ = ["IMIX", "LONGEST", "SHORTEST", "SIGNATURE", "Frames", "Slot", "Sum", "signature"]

SHORTEST, LONGEST = 14, 3_400  # bytes of a frame that a live test run takes: a page less its bookkeeping
SIGNATURE = 16
_MOST_SHAPES = 65_536
_MOST_BYTES = 1 << 29  # of all shapes together

# Lengths without the frame check sequence: 7 small, 4 middling and 1 large one, spread evenly.
IMIX = (60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60)


class Slot(NamedTuple):
    """Bits of a frame that vary: `width` of them from the frame's bit `start` on, at most 64."""

    start: int
    width: int
    varying: Varying
    key: int


class Sum(NamedTuple):
    """An Internet checksum at byte `at`, which covers these 16-bit `words`, of those that vary; inner ones first.

    It covers bytes `start` to `end`, and addresses in front of them if it is `pseudo`. `never_zero`: 0 is written as
    0xFFFF (UDP).
    """

    at: int
    words: tuple[int, ...]
    never_zero: bool
    start: int
    end: int
    pseudo: bool

    def rest(self, data: bytes) -> int:
        """The sum of all that it covers in a frame and that does not vary, in 16 bits; 0 only if all of that is 0."""
        whole = ~int.from_bytes(data[self.at:self.at + 2], "big") & 0xFFFF
        rest = (whole - sum(int.from_bytes(data[2 * word:2 * word + 2], "big") for word in self.words)) % 0xFFFF
        if rest or not (self.pseudo or any(self._constant(data))):
            return rest
        return 0xFFFF

    def _constant(self, data: bytes) -> bytes:
        """What it covers, with zeros for what varies and for itself."""
        left = bytearray(data)
        for at in (self.at, *(2 * word for word in self.words)):
            left[at:at + 2] = b"\0\0"
        return bytes(left[self.start:self.end])


class Frames:
    """What is sent: frame `number` is shape `number % len(shapes)` with its slots filled and its checksums right.

    `signed`: the last 16 bytes (of an even number) are a signature, by which a receiver knows the frame.
    """

    def __init__(self, shapes: Sequence[bytes], slots: Sequence[Slot] = (), sums: Sequence[Sum] = (), *,
                 signed: bool = False, times_ns: Sequence[int] = (), packets: Sequence[Packet] = (),
                 fields: Sequence[tuple[Field, int]] = ()) -> None:
        self.shapes = tuple(shapes)
        self.slots = tuple(slots)
        self.sums = tuple(sums)
        self.signed = signed
        self.times_ns = tuple(times_ns)
        self._packets = tuple(packets)
        self._fields = tuple(fields)
        _check_sizes(self.shapes)

    @classmethod
    def of(cls, frames: str | Packet | Header | bytes | Expression, *, length: int | str | None = None, seed: int = 1,
           signed: bool = False) -> Frames:
        """Frames of an expression, a packet or bytes. `length`: of whole frames, as `lengths_of` reads it."""
        expression = _expression(frames)
        packets = _sized(expression.packet, lengths_of(length), signed)
        keyed = tuple((field, key_of(seed, place)) for place, field in enumerate(expression.fields))
        starts = _starts(packets[0])
        slots = [slot for field, key in keyed for slot in _slots(packets[0], starts, field, key)]
        sums = _sums(packets[0], starts, slots, signed)
        shapes = [_with_signature(bytes(packet)) if signed else bytes(packet) for packet in packets]
        return cls(shapes, slots, sums, signed=signed, packets=packets, fields=keyed)

    @classmethod
    def of_capture(cls, data: bytes) -> Frames:
        """The packets of a capture (pcap or pcapng), with their times. Raises FormatError."""
        from bpfwright.formats.pcap import read_capture
        from bpfwright.formats.pcap.reader import ETHERNET
        capture = read_capture(data)
        if not len(capture):
            raise FormatError("the capture has no packets")
        for place, record in enumerate(capture.records):
            if record.link != ETHERNET:
                raise FormatError(f"packet {place} of the capture is not Ethernet",
                                  why=f"its link type is {record.link}")
            if not SHORTEST <= record.end - record.start <= LONGEST:
                raise FormatError(f"packet {place} of the capture has {record.end - record.start} bytes",
                                  why=f"frames have {SHORTEST} to {LONGEST}",
                                  cure="Switch segmentation offload off before capturing." if
                                  record.end - record.start > LONGEST else "")
        first = capture.records[0].time_ns
        return cls(list(capture), times_ns=[max(0, record.time_ns - first) for record in capture.records])

    def __len__(self) -> int:
        """How many shapes there are."""
        return len(self.shapes)

    @property
    def longest(self) -> int:
        """Bytes of the longest frame."""
        return max(map(len, self.shapes))

    @property
    def shortest(self) -> int:
        """Bytes of the shortest frame."""
        return min(map(len, self.shapes))

    def laid_out(self) -> list[bytes]:
        """The shapes as the program takes them: in a checksum's place the sum of what does not vary."""
        found = []
        for shape in self.shapes:
            data = bytearray(shape)
            for each in self.sums:
                data[each.at:each.at + 2] = each.rest(shape).to_bytes(2, "big")
            found.append(bytes(data))
        return found

    def frame(self, number: int, *, magic: int = 0, time_ns: int = 0) -> bytes:
        """The bytes of a frame, made in this process from its headers, independently of the kernel's program."""
        place = number % len(self.shapes)
        if not self._packets:
            return self.shapes[place]
        packet = self._packets[place]
        headers = [header.copy() for header in packet.headers]
        for field, key in self._fields:
            set_number(headers[field.header], field.name, field.varying.value(number, key))
        payload = packet.payload
        if self.signed:
            end = len(payload) - len(self.shapes[place]) % 2
            payload = payload[:end - SIGNATURE] + signature(magic, number, time_ns) + payload[end:]
        return bytes(Packet(headers, payload, packet.padding))


def signature(magic: int, number: int, time_ns: int) -> bytes:
    """What a receiver knows a frame by: magic (2 bytes), balance (2), number (4), time (8), in network order.

    The balance makes its sum all ones, so that no Internet checksum around it changes.
    """
    rest = (number & 0xFFFFFFFF).to_bytes(4, "big") + time_ns.to_bytes(8, "big")
    head = magic.to_bytes(2, "big")
    return head + network_sum(head + rest).to_bytes(2, "big") + rest


def lengths_of(length: int | str | None) -> tuple[int | None, ...]:
    """Lengths of whole frames: a number, `60-1514`, `64,128,256`, `imix`; None: as they are written."""
    if length is None:
        return (None,)
    if length == "imix":
        return IMIX
    found: list[int] = []
    for part in str(length).split(","):
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise UsageError(f"{length!r} is no length", cure="Write 64, 60-1514, 64,128,256 or imix.")
        found += range(int(low), int(high or low) + 1)[:_MOST_SHAPES]
    if not found:
        raise UsageError(f"the lengths {length} end before they begin")
    for one in found:
        if not SHORTEST <= one <= LONGEST:
            raise UsageError(f"a frame of {one} bytes", why=f"frames have {SHORTEST} to {LONGEST}")
    return tuple(found)


def _check_sizes(shapes: tuple[bytes, ...]) -> None:
    if len(shapes) > _MOST_SHAPES * 16 or sum(map(len, shapes)) > _MOST_BYTES:
        raise UsageError(f"{len(shapes)} frames of {sum(map(len, shapes))} bytes are too many",
                         cure=f"Send up to {_MOST_BYTES >> 20} MiB; --count repeats them.")
    for data in shapes:
        if not SHORTEST <= len(data) <= LONGEST:
            raise UsageError(f"a frame of {len(data)} bytes", why=f"frames have {SHORTEST} to {LONGEST}")


def _expression(frames: str | Packet | Header | bytes | Expression) -> Expression:
    if isinstance(frames, Expression):
        found = frames
    elif isinstance(frames, str):
        found = parse_expression(frames)
    elif isinstance(frames, bytes):
        found = Expression(Packet.parse(frames))
    else:
        found = Expression(frames if isinstance(frames, Packet) else Packet((frames,)))
    if not found.packet.headers or not type(found.packet.headers[0]).root:
        raise UsageError("a frame begins with an Ethernet header", cure="Write Ethernet() / ...")
    return found


def _sized(packet: Packet, lengths: Sequence[int | None], signed: bool) -> list[Packet]:
    """The packet in each length, its payload filled up with zeros."""
    whole = len(bytes(packet))
    head = whole - len(packet.payload) - len(packet.padding)
    written = head + len(packet.payload)
    least = written + SIGNATURE if signed else whole
    made = []
    for length in lengths:
        length = least + least % 2 * signed if length is None else length
        if length - length % 2 * signed < least:
            raise UsageError(f"a frame of {length} bytes has no room for what is written",
                             why=f"{written} bytes" + f" and {SIGNATURE} of signature" * signed,
                             cure=f"Send frames of at least {least + least % 2 * signed} bytes.")
        padding = packet.padding if length == whole and not signed else b""
        payload = packet.payload + bytes(length - len(padding) - written)
        made.append(Packet(packet.headers, payload, padding))
    return made


def _starts(packet: Packet) -> list[int]:
    """Where each header begins."""
    whole = len(bytes(packet))
    return [whole - len(bytes(Packet(packet.headers[i:], packet.payload))) for i in range(len(packet.headers))]


def _slots(packet: Packet, starts: list[int], field: Field, key: int) -> list[Slot]:
    header = packet.headers[field.header]
    ctype: Any = cls_of(header, field.name)
    place = type(header).__layout__().fields[field.name]
    width = width_of(ctype)
    # Bit-fields count `shift` from the lowest bit of their unit; the frame's bits count from the highest.
    first = (starts[field.header] + place.offset) * 8
    start = first + place.type.size * 8 - place.shift - width if place.width else first
    if width <= 64:
        return [Slot(start, width, field.varying, key)]
    how = field.varying
    if how.listed:
        halves = ((start, tuple(v >> 64 for v in how.listed)), (start + 64, tuple(v & MASK for v in how.listed)))
        return [Slot(at, 64, how._replace(listed=half), key) for at, half in halves]
    last = how.first + how.step * (min(how.size, 1 << 64) - 1)
    if how.first >> 64 != last >> 64:
        raise UsageError(f"{type(header).__name__}.{field.name} varies above its low 64 bits",
                         cure="Give a prefix, or a list.")
    return [Slot(start + width - 64, 64, how._replace(first=how.first & MASK), key)]


def words_of(slot: Slot) -> range:
    """The 16-bit words of the frame that a slot touches."""
    return range(slot.start // 16, (slot.start + slot.width - 1) // 16 + 1)


def _sums(packet: Packet, starts: list[int], slots: list[Slot], signed: bool) -> list[Sum]:
    """The checksums that have to follow, from the inside out: outer ones cover inner ones."""
    changed = {word for slot in slots for word in words_of(slot)}
    found: list[Sum] = []
    for place in range(len(packet.headers) - 1, -1, -1):
        header = packet.headers[place]
        rule = type(header).checksum_rule
        if rule is None or rule.field in header._given:
            continue
        end = LONGEST
        if rule.covers == "header":
            end = starts[place + 1] if place + 1 < len(starts) else starts[place] + len(bytes(header))
        covered = _covered(packet, starts, place, end, rule.pseudo) & changed
        if rule.compute is not None:
            if covered or signed:
                raise UsageError(f"the checksum of {type(header).__name__} cannot follow what varies",
                                 why="it is not the Internet checksum",
                                 cure="Let nothing vary that it covers, or give the field a value.")
            continue
        if covered:
            at = starts[place] + type(header).__layout__().fields[rule.field].offset
            found.append(Sum(at, tuple(sorted(covered)), bool(rule.zero), starts[place], end, rule.pseudo))
            changed.add(at // 2)
    return found


def _covered(packet: Packet, starts: list[int], place: int, end: int, pseudo: bool) -> set[int]:
    """The words that a header's checksum covers: its own and what follows, and the addresses in front of it."""
    own = packet.headers[place]
    words = set(range(starts[place] // 2, end // 2))
    words.discard((starts[place] + type(own).__layout__().fields[own.checksum_rule.field].offset) // 2
                  if own.checksum_rule else -1)
    network = next((i for i in range(place - 1, -1, -1) if packet.headers[i].pseudo_header(0, 0)), None)
    if pseudo and network is not None:
        words |= {starts[network] // 2 + word for word in _in_pseudo(packet.headers[network])}
    return words


def _in_pseudo(header: Header) -> list[int]:
    """The words of a network header that its pseudo header has: those whose change changes it."""
    data = bytes(header)
    found = []
    for word in range(type(header).__layout__().size // 2):
        other = bytearray(data)
        other[2 * word] ^= 0xFF
        other[2 * word + 1] ^= 0xFF
        if type(header).view(other).pseudo_header(0, 0) != type(header).view(bytearray(data)).pseudo_header(0, 0):
            found.append(word)
    return found


def _with_signature(data: bytes) -> bytes:
    """A shape whose signature is of frame 0 at no time, without magic: the program fills it in."""
    end = len(data) // 2 * 2
    return data[:end - SIGNATURE] + signature(0, 0, 0) + data[end:]
