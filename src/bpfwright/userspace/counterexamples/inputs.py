"""What a program is run on: packet, context, map contents, and what its helpers find; and where a run begins."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Mapping, NamedTuple
from bpfwright.errors import BpfwrightError
from bpfwright.maps.stores.storage import OWNERS
from bpfwright.spec.page import RANDOM, TASK, TASKS
from bpfwright.userspace.counterexamples.expressions import Variable
from bpfwright.userspace.stores import store_of

if TYPE_CHECKING:
    from bpfwright.userspace.machine import UserObject, Userspace

__all__ = ["BLOCK", "CPUS", "Input", "PACKETS", "free_context", "lay_in", "seeds", "take_out"]

PACKETS = frozenset((1, 3, 4, 6, 8, 22))
"""Numbers of bpf_prog_type that are given packets."""
_SHORTEST, _LONGEST = 14, 1500
_SKB = ((8, 12), (32, 44), (48, 68), (152, 160), (176, 184))
_SIZES = {1: 192, 3: 192, 4: 192, 6: 24, 8: 192, 9: 80, 13: 224, 15: 12, 18: 72, 22: 56, 23: 8, 25: 40, 30: 72, 31: 0}
_RECORD = 256  # bytes of contexts whose size is the event's own
_OF_MAPS, _RING, _STORAGE = (12, 13), 27, (24, 28, 29, 32)
_MOST_ENTRIES = 64
_MOST_FILLED, _ODD = 1 << 16, 0xFDFDFDFDFDFDFDFD
BLOCK, CPUS = 4096, 20
_ALL = (1 << 64) - 1

Entry = tuple[str, bytes, bytes]


class Input(NamedTuple):
    """One input. `entries` are (map, key, value) that stand in maps beforehand, `full` maps with room for only so many
    entries more (of rings: bytes), `cpu` which CPU runs it, `lonely` whether no task is found by its number, `socket`
    whether look-ups of sockets find one, `memory` what pointers may lead to (BLOCK bytes that no program is given
    otherwise), `task` bytes of the current task_struct (offset, value), `words` what stands in the machine's page
    (address, value), `random` what the first bpf_get_prandom_u32() gives."""

    data: bytes = b""
    context: bytes = b""
    entries: tuple[Entry, ...] = ()
    full: tuple[tuple[str, int], ...] = ()
    cpu: int = 0
    lonely: bool = False
    socket: bool = False
    memory: bytes = b""
    task: tuple[tuple[int, int], ...] = ()
    words: tuple[tuple[int, int], ...] = ()
    random: int | None = None

    def with_values(self, values: Mapping[Variable, int]) -> Input:
        """The input in which the variables have these values."""
        length = min(max(values.get(("length",), len(self.data)), _SHORTEST if self.data else 0), _LONGEST)
        data, context = bytearray(self.data[:length].ljust(length, b"\0")), bytearray(self.context)
        memory, task, cpu = bytearray(self.memory), dict(self.task), self.cpu
        entries = {(name, key): bytearray(value) for name, key, value in self.entries}
        words, random = dict(self.words), self.random
        for variable, value in values.items():
            match variable:
                case ("data", at) if at < len(data):
                    data[at] = value
                case ("context", at) if at < len(context):
                    context[at] = value
                case ("map", name, key, at):
                    there = entries.setdefault((name, key), bytearray())
                    there.extend(bytes(max(0, at + 1 - len(there))))
                    there[at] = value
                case ("cpu",):
                    cpu = min(value, CPUS - 1)
                case ("memory", at):
                    memory.extend(bytes(max(0, at + 1 - len(memory))))
                    memory[at] = value
                case ("task", at):
                    task[at] = value
                case ("word", address):
                    words[address] = value & _ALL
                case ("byte", address):
                    shift = 8 * (address & 7)
                    words[address & ~7] = words.get(address & ~7, 0) & ~(255 << shift) | value << shift
                case ("random",):
                    random = value
        left = tuple(sorted((name, key, bytes(value)) for (name, key), value in entries.items()))
        return self._replace(data=bytes(data), context=bytes(context), memory=bytes(memory), cpu=cpu,
                             task=tuple(sorted((at, value) for at, value in task.items() if value)),
                             words=tuple(sorted(words.items())), random=random, entries=left)

    def with_room(self, name: str, room: int | None) -> Input:
        """With room for only so much more in a map; None: with all of it."""
        kept = [each for each in self.full if each[0] != name]
        return self._replace(full=tuple(sorted(kept if room is None else [*kept, (name, room)])))

    def with_entry(self, name: str, key: bytes, value: bytes) -> Input:
        """With an entry more."""
        kept = [each for each in self.entries if each[:2] != (name, key)][:_MOST_ENTRIES]
        return self._replace(entries=tuple(sorted([*kept, (name, key, value)])))

    def without_entry(self, name: str, key: bytes) -> Input:
        """Without an entry."""
        return self._replace(entries=tuple(each for each in self.entries if each[:2] != (name, key)))


def free_context(kind: int, fields: Mapping[int, str]) -> frozenset[int]:
    """Which bytes of a context whoever runs a program may choose: none that are the kernel's pointers."""
    if kind == 6:
        return frozenset(range(12, 20))
    if kind in PACKETS:
        return frozenset(at for low, high in (_SKB if kind != 22 else ()) for at in range(low, high))
    pointers = {at for offset in fields for at in range(offset, offset + 8)}
    return frozenset(range(_SIZES.get(kind, _RECORD))) - pointers


def seeds(kind: int) -> list[Input]:
    """Where a search begins: packets of the usual headers, or contexts of zeros and of ones."""
    size = _SIZES.get(kind, _RECORD)
    if kind not in PACKETS:
        zeros = bytes(size)
        return [Input(b"", zeros), Input(b"", (b"\1" + bytes(7)) * (size // 8) + bytes(size % 8))]
    ethernet, ipv6 = bytes(12), b"\x60" + bytes(5)
    def ipv4(protocol: int, rest: int) -> bytes:
        return bytes((0x45, 0)) + (20 + rest).to_bytes(2, "big") + bytes(4) + bytes((64, protocol)) + bytes(2) + bytes(
            (10, 0, 0, 1, 10, 0, 0, 2))
    tcp, udp = bytes((0x12, 0x34, 0, 80)) + bytes(8) + b"\x50\x10" + bytes(6), bytes((0x12, 0x34, 0, 53, 0, 24, 0, 0))
    packets = [ethernet + b"\x08\0" + ipv4(6, 84) + tcp + bytes(64),
               ethernet + b"\x08\0" + ipv4(17, 24) + udp + bytes(16),
               ethernet + b"\x86\xdd" + ipv6 + bytes((6, 64)) + bytes(32) + tcp + bytes(20),
               ethernet + b"\x81\0\0\1\x08\0" + ipv4(6, 20) + tcp + bytes(20), bytes(64), bytes(14),
               ethernet + b"\x08\0" + ipv4(1, 8) + bytes(8)]
    return [Input(data, bytes(size)) for data in packets]


def lay_in(machine: Userspace, loaded: UserObject, given: Input, block: int) -> list[Any]:
    """Make the world of an input; what comes back are maps that it made, for `take_out`."""
    made: list[Any] = []
    memory = machine.arena.memory
    memory[block:block + len(given.memory)] = given.memory
    task = machine.word(TASK)
    for at, byte in given.task:
        memory[task + at] = byte
    for name, key, value in given.entries:
        map_ = loaded.maps.get(name)
        if map_ is None or map_.frozen or len(key) != map_.key_size:
            continue
        try:
            if map_.spec.type in _OF_MAPS and map_.spec.inner is not None:
                inner = machine.create_map(map_.spec.inner)
                made.append((map_, key, inner))
                map_.update(key, inner.fd.to_bytes(4, "little"))
                continue
            one = value[:map_.spec.value_size].ljust(map_.value_stride, b"\0")
            map_.update(key, one * machine.arena.cpus if map_.per_cpu else one)
        except BpfwrightError:
            continue  # no room, or no such index: so it is without
    for name, room in given.full:
        map_ = loaded.maps.get(name)
        if map_ is not None:
            _fill(map_, room)
    if given.lonely:
        machine.set_word(machine.word(TASKS), 0)
    machine.find_socket(b"\2\0\0\0" if given.socket else None)
    for address, word in given.words:
        machine.set_word(address, word)
    if given.random is not None:
        machine.set_word(RANDOM, seed_for(given.random))
    return made


def _fill(map_: Any, room: int) -> None:
    """Leave room for so much only in a map."""
    if map_.spec.type == _RING:
        ring = store_of(_RING)
        record = ring.reserve(map_.address, map_.spec.max_entries - 24 - room, 0)
        if record:
            ring.submit(record, 0)
        return
    value = bytes(map_.value_size)
    there = len(list(map_.keys())) if map_.key_size else 0
    most = OWNERS if map_.spec.type in _STORAGE else map_.spec.max_entries
    for number in range(min(most - there - room, _MOST_FILLED)):
        key = (_ODD - 2 * number).to_bytes(8, "little")[:map_.key_size]
        try:
            map_.update(key.rjust(map_.key_size, b"\xfd"), value)
        except BpfwrightError:
            return


def take_out(made: list[Any]) -> None:
    """Close the maps that an input made."""
    for map_, key, inner in made:
        try:
            map_.delete(key)
        except BpfwrightError:
            pass
        inner.close()


def seed_for(first: int) -> int:
    """The machine's seed whose first random number is this: SplitMix64 turned around."""
    mixed = first << 32
    mixed ^= mixed >> 31 ^ mixed >> 62
    mixed = mixed * pow(0x94D049BB133111EB, -1, 1 << 64) & _ALL
    mixed ^= mixed >> 27 ^ mixed >> 54
    mixed = mixed * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & _ALL
    mixed ^= mixed >> 30 ^ mixed >> 60
    return mixed - 0x9E3779B97F4A7C15 & _ALL
