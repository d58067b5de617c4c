"""Maps of the userspace machine, in bytes: the same handle as the kernel's, over a store in the machine's memory."""
from __future__ import annotations

import errno
from struct import pack

from bpfwright._typing import TYPE_CHECKING, Any, Iterator, Self
from bpfwright.errors import KernelError, MapFull, SessionError, UsageError, WrongType
from bpfwright.maps.stores._header import BODY, CPUS, FLAGS, KEY_SIZE, KIND, MAX_ENTRIES, VALUE_SIZE
from bpfwright.spec import memory as dialect
from bpfwright.spec.objects import MapSpec
from bpfwright.spec.page import CPU
from bpfwright.userspace.arena import Arena
from bpfwright.userspace.stores import store_of

if TYPE_CHECKING:
    from bpfwright.userspace.rings import UserRing

__all__ = ["UserMap"]

_PER_CPU = frozenset((5, 6, 10, 21))
_KEYLESS = frozenset((22, 23, 30))
_HANDLES = frozenset((3, 12, 13))  # programs and maps by their numbers


class UserMap:
    """A map in a userspace machine. Keys and values are bytes; a value of a per-CPU map is one of `value_stride` bytes
    for each virtual CPU."""

    __slots__ = ("_arena", "_closed", "_scratch", "_store", "address", "fd", "frozen", "key_size", "per_cpu", "room",
                 "spec", "value_size", "value_stride")

    def __init__(self, arena: Arena, spec: MapSpec, number: int) -> None:
        self._arena = arena
        self._store = store_of(spec.type)
        self._closed = False
        self.spec = spec
        self.fd = number
        self.frozen = False
        self.key_size = 0 if spec.type in _KEYLESS else spec.key_size
        self.per_cpu = spec.type in _PER_CPU
        self.value_stride = (spec.value_size + 7) & ~7 if self.per_cpu else spec.value_size
        self.value_size = self.value_stride * arena.cpus if self.per_cpu else spec.value_size
        self.room = room = self._store.room(spec.key_size, spec.value_size, spec.max_entries, arena.cpus, spec.flags)
        own = bool(getattr(self._store, "PRIVATE", False))
        self.address = arena.allocate(BODY + room, align=4096 if spec.type == 27 else 16, owned=False,
                                      writable=not spec.frozen)
        if not own:
            arena.allow(self.address + BODY, room)
        self._scratch = arena.allocate(spec.key_size * 2 + self.value_stride + 64, owned=False)
        arena.bind()
        for offset, value in ((KIND, spec.type), (KEY_SIZE, spec.key_size), (VALUE_SIZE, spec.value_size),
                              (MAX_ENTRIES, spec.max_entries), (FLAGS, spec.flags), (CPUS, arena.cpus)):
            dialect.store32(self.address + offset, value)
        self._store.create(self.address)
        if spec.contents:
            arena.memory[self.address + BODY:self.address + BODY + len(spec.contents)] = spec.contents

    @property
    def id(self) -> int:
        """The machine's number for it."""
        return self.fd

    @property
    def values_at(self) -> int:
        """Where an array's first value stands."""
        return self.address + BODY

    def close(self) -> None:
        """Give its memory back."""
        if not self._closed:
            self._closed = True
            self._arena.release(self.address)
            self._arena.release(self._scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<map {self.spec.name!r} type {self.spec.type} of a userspace machine>"

    # Elements

    def _key(self, key: bytes) -> int:
        if self._closed:
            raise SessionError(f"map {self.spec.name!r} is closed", cure="Use it while its session is open.")
        if len(key) != self.key_size:
            raise WrongType(f"a key of map {self.spec.name!r} has {self.key_size} bytes, not {len(key)}")
        self._arena.bind()
        memory = self._arena.memory
        at = self._scratch
        memory[at:at + len(key)] = key
        return at

    def _value(self, value: bytes) -> int:
        at = self._scratch + 2 * self.spec.key_size + 16 & ~7
        self._arena.memory[at:at + len(value)] = value
        return at

    @property
    def arena(self) -> Arena:
        """The memory that it lives in."""
        return self._arena

    def _at(self, address: int) -> bytes:
        return bytes(self._arena.memory[address:address + self.spec.value_size])

    def _each_cpu(self, key: int) -> list[int]:
        """Where the value stands for each CPU, or nothing."""
        here = dialect.load32(CPU)
        found = []
        for cpu in range(self._arena.cpus):
            dialect.store32(CPU, cpu)
            found.append(self._store.lookup(self.address, key))
        dialect.store32(CPU, here)
        return found if all(found) else []

    def lookup(self, key: bytes, flags: int = 0) -> bytes | None:
        """The value, or None. Queues and stacks: the next one (key b""); it stays."""
        at = self._key(key)
        if self.per_cpu:
            places = self._each_cpu(at)
            return b"".join(self._at(place).ljust(self.value_stride, b"\0") for place in places) if places else None
        if not self.key_size:
            out = self._value(bytes(self.value_size))
            return None if self._store.peek(self.address, out) else self._at(out)
        if hasattr(self._store, "read"):  # what user space sees is not what programs do
            out = self._value(bytes(self.value_size))
            return None if self._store.read(self.address, at, out) else self._at(out)
        found = self._store.lookup(self.address, at)
        return self._at(found) if found else None

    def contains(self, value: bytes) -> bool:
        """A bloom filter's answer: False is certain."""
        self._key(b"")
        return not self._store.peek(self.address, self._value(value))

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Set a value; flags: BPF_NOEXIST, BPF_EXIST. Raises MapFull."""
        if len(value) != self.value_size:
            raise WrongType(f"a value of map {self.spec.name!r} has {self.value_size} bytes, not {len(value)}")
        at = self._key(key)
        if self.frozen:
            raise KernelError(f"map {self.spec.name!r} cannot be changed: update", errno.EPERM, why="it is frozen")
        if not self.key_size:
            code = self._store.push(self.address, self._value(value), flags)
        else:
            code = self._store.update(self.address, at, self._value(value[:self.value_stride]), flags)
            if not code and self.per_cpu:
                for cpu, place in enumerate(self._each_cpu(at)):
                    part = value[cpu * self.value_stride:][:self.spec.value_size]
                    self._arena.memory[place:place + len(part)] = part
        if code:
            raise self._error("update", -code)

    def delete(self, key: bytes) -> bool:
        """Remove a key; False when it was not there."""
        code = self._store.delete(self.address, self._key(key))
        if code and -code != errno.ENOENT:
            raise self._error("delete", -code)
        return not code

    def pop(self, key: bytes) -> bytes | None:
        """Take a value out; None when it was not there."""
        self._key(key)
        if not self.key_size:
            out = self._value(bytes(self.value_size))
            return None if self._store.pop(self.address, out) else self._at(out)
        found = self.lookup(key)
        return found if found is not None and self.delete(key) else None

    def next_key(self, key: bytes | None) -> bytes | None:
        """The key after `key` (None: the first); the first again when `key` is gone, None at the end."""
        at = self._key(key if key is not None else bytes(self.key_size))
        out = self._scratch + self.spec.key_size
        if self._store.next_key(self.address, at if key is not None else 0, out):
            return None
        return bytes(self._arena.memory[out:out + self.key_size])

    def keys(self) -> Iterator[bytes]:
        """Keys, each once, though others delete meanwhile."""
        found, key = [], self.next_key(None)
        while key is not None:
            found.append(key)
            key = self.next_key(key)
        yield from found

    def items(self, batch: int = 1024) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values."""
        for key in self.keys():
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def update_batch(self, keys: Any, values: Any, count: int, flags: int = 0) -> int:
        """Set `count` entries from columns."""
        flat, rows = memoryview(keys).tobytes(), memoryview(values).tobytes()
        if len(flat) != count * self.key_size or len(rows) != count * self.value_size:
            raise WrongType(f"columns of map {self.spec.name!r} have {len(flat)} and {len(rows)} bytes",
                            why=f"{count} entries of {self.key_size} and {self.value_size} bytes were announced")
        for index in range(count):
            self.update(flat[index * self.key_size:(index + 1) * self.key_size],
                        rows[index * self.value_size:(index + 1) * self.value_size], flags)
        return count

    def delete_batch(self, keys: Any) -> int:
        """Remove many keys; returns how many were there."""
        flat = memoryview(keys).tobytes()
        return sum(self.delete(flat[at:at + self.key_size]) for at in range(0, len(flat), self.key_size))

    def _error(self, doing: str, number: int) -> Exception:
        name = self.spec.name
        if number in (errno.E2BIG, errno.ENOSPC) and doing == "update" and self.spec.type not in (2, 6, 12, 3, 14):
            return MapFull(f"map {name!r} is full", why=f"it holds {self.spec.max_entries} entries",
                           cure="Declare it with more max_entries, or use a kind that evicts (LRU).")
        if number == errno.E2BIG:
            return UsageError(f"map {name!r} has no such index", why=f"it has {self.spec.max_entries} entries")
        if number == errno.EEXIST:
            return KernelError(f"map {name!r} has that key already", number)
        return KernelError(f"{doing} of map {name!r}: error {number}", number)

    # The map itself

    def freeze(self) -> None:
        """No more writes from outside."""
        self.frozen = True

    def ring(self) -> UserRing:
        """A ring buffer's addresses, for events.RingReader."""
        from bpfwright.userspace.rings import UserRing
        return UserRing(self)

    def map_values(self, *, writable: bool = True) -> MappedValues:
        """An array's memory itself: what programs write is seen at once."""
        return MappedValues(self)


class MappedValues:
    """An array's values: `view` is their memory, they stand `stride` bytes apart."""

    __slots__ = ("stride", "view")

    def __init__(self, owner: UserMap) -> None:
        self.stride = (owner.spec.value_size + 7) & ~7
        start = owner.values_at
        self.view = memoryview(owner._arena.memory)[start:start + self.stride * owner.spec.max_entries]

    def close(self) -> None:
        """Let the memory go."""
        self.view.release()


def handle_value(number: int) -> bytes:
    """A map's or program's number as the value of a map of them."""
    return pack("<i", number)
