"""Maps of the userspace machine, in bytes: the same handle as the kernel's, over a store in the machine's memory."""
from __future__ import annotations

import errno
from struct import pack

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator, Self
from bpfwright.errors import NotSupported, SessionError, WrongType
from bpfwright.maps.stores import FILES
from bpfwright.maps.stores._guards import stamp
from bpfwright.maps.stores._header import BODY, CPUS, EXTRA, FLAGS, KEY_SIZE, KIND, MAX_ENTRIES, VALUE_SIZE
from bpfwright.spec import memory as dialect
from bpfwright.spec.map_errors import map_error
from bpfwright.spec.objects import MapSpec
from bpfwright.userspace.arena import Arena
from bpfwright.userspace.stores import store_of

if TYPE_CHECKING:
    from bpfwright.userspace.library import Library
    from bpfwright.userspace.rings import UserPerfBuffer, UserRing

__all__ = ["UserMap"]

_PER_CPU = frozenset((5, 6, 10, 21))
_KEYLESS = frozenset((22, 23, 30))
_HANDLES = frozenset((3, 4, 8, 12, 13))  # programs, maps and the like by their numbers
_OF_MAPS = frozenset((12, 13))
_FRONT = 64  # the machine's own, of which the last eight bytes say that a map follows
_STORAGE = frozenset((24, 28, 29, 32))
_PATIENCE = 2000  # operations as Python before native code is worth its loading


class UserMap:
    """A map in a userspace machine. Keys and values are bytes; a value of a per-CPU map is one of `value_stride` bytes
    for each virtual CPU. Of maps of maps and programs the values are numbers of `things`.

    A busy map's operations go on as native code, where `library` gives it: the same source, on the same bytes.
    """

    __slots__ = ("_arena", "_busy", "_closed", "_file", "_inside", "_library", "_operations", "_scratch", "_store",
                 "_things", "address", "blanks", "fd", "frozen", "holders", "key_size", "owners", "per_cpu", "room",
                 "spec", "value_size", "value_stride")

    def __init__(self, arena: Arena, spec: MapSpec, number: int, things: dict[int, Any] | None = None,
                 library: Callable[[], Library] | None = None) -> None:
        self._arena = arena
        self._store = store_of(spec.type)
        self._file = FILES[spec.type]
        self._things = things if things is not None else {}
        self._library = library
        self._inside: dict[bytes, UserMap] = {}
        self._operations: dict[str, Callable[..., int]] = {}
        self._busy = 0
        self._closed = False
        self.spec = spec
        self.fd = number
        self.frozen = False
        self.owners: dict[int, int] = {}  # addresses of objects by what user space calls them, for storage
        self.holders = 0  # maps of maps that hold it: it outlives its handle in them
        self.blanks: set[int] = set()  # offsets of timers in its values, which user space sees as zeros
        self.key_size = 0 if spec.type in _KEYLESS else 4 if spec.type in _STORAGE else spec.key_size
        self.per_cpu = spec.type in _PER_CPU
        self.value_stride = (spec.value_size + 7) & ~7 if self.per_cpu else spec.value_size
        self.value_size = self.value_stride * arena.cpus if self.per_cpu else spec.value_size
        self.room = room = self._store.room(spec.key_size, spec.value_size, spec.max_entries, arena.cpus, spec.flags)
        own = bool(getattr(self._store, "PRIVATE", False))
        self.address = arena.allocate(_FRONT + BODY + room, align=64, owned=False, writable=not spec.frozen) + _FRONT
        if not own:
            arena.allow(self.address + BODY, room)
        self._scratch = arena.allocate(self.key_size * 2 + self.value_stride + 64, owned=False)
        arena.bind()
        for offset, value in ((KIND, spec.type), (KEY_SIZE, self.key_size or spec.key_size),
                              (VALUE_SIZE, spec.value_size), (MAX_ENTRIES, spec.max_entries), (FLAGS, spec.flags),
                              (CPUS, arena.cpus), (EXTRA, spec.map_extra & 0xFFFFFFFF)):
            dialect.store32(self.address + offset, value)
        dialect.store64(self.address - 8, stamp(self.address))
        self._store.create(self.address)
        if spec.contents:
            arena.memory[self.address + BODY:self.address + BODY + len(spec.contents)] = spec.contents

    @property
    def id(self) -> int:
        """The machine's number for it."""
        return self.fd

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def values_at(self) -> int:
        """Where an array's first value stands."""
        return self.address + BODY

    def close(self) -> None:
        """Give its memory back, as soon as no map of maps holds it any more."""
        if self._closed:
            return
        self._closed = True
        self._things.pop(self.fd, None)
        for held in self._inside.values():
            held.let_go()
        self._inside.clear()
        if not self.holders:
            self._release()

    def let_go(self) -> None:
        """One map of maps less holds it."""
        self.holders -= 1
        if self._closed and not self.holders:
            self._release()

    def _release(self) -> None:
        dialect.bind(self._arena.memory)
        dialect.store64(self.address - 8, 0)
        self._arena.release(self.address - _FRONT)
        self._arena.release(self._scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<map {self.spec.name!r} type {self.spec.type} of a userspace machine>"

    # Elements

    def _call(self, operation: str, *words: int) -> int:
        """One of the store's operations on this map."""
        self._busy += 1
        function = self._operations.get(operation)
        if function is None or self._busy == _PATIENCE:
            function = self._operations[operation] = self._made(operation)
        found = function(self.address, *words)
        return found - (1 << 64) if found >> 63 == 1 else found

    def _made(self, operation: str) -> Callable[..., int]:
        plain: Callable[..., int] = getattr(self._store, operation)
        if self._busy < _PATIENCE or self._library is None:
            return plain
        if self._busy == _PATIENCE:
            self._operations.clear()
        try:
            return self._library().words(f"{self._file}_{operation}", plain.__code__.co_argcount)
        except NotSupported:
            return plain

    def _key(self, key: bytes) -> int:
        if self._closed:
            raise SessionError(f"map {self.spec.name!r} is closed", cure="Use it while its session is open.")
        if len(key) != self.key_size:
            raise WrongType(f"a key of map {self.spec.name!r} has {self.key_size} bytes, not {len(key)}")
        self._arena.bind()
        if self.spec.type in _STORAGE and self.owners:
            key = self.owners.get(int.from_bytes(key, "little"), int.from_bytes(key, "little")).to_bytes(4, "little")
        return self._put_key(key)

    def _put_key(self, key: bytes) -> int:
        at = self._scratch
        self._arena.memory[at:at + len(key)] = key
        return at

    def _value(self, value: bytes) -> int:
        at = self._scratch + 2 * self.key_size + 16 & ~7
        self._arena.memory[at:at + len(value)] = value
        return at

    @property
    def arena(self) -> Arena:
        """The memory that it lives in."""
        return self._arena

    def _at(self, address: int) -> bytes:
        found = bytes(self._arena.memory[address:address + self.spec.value_size])
        for offset in self.blanks:
            found = found[:offset] + bytes(16) + found[offset + 16:]
        return found

    def _each_cpu(self, key: int) -> list[int]:
        """Where the value stands for each CPU, or nothing."""
        found = [self._call("lookup_on", key, cpu) for cpu in range(self._arena.cpus)]
        return found if all(found) else []

    def lookup(self, key: bytes, flags: int = 0) -> bytes | None:
        """The value, or None. Queues and stacks: the next one (key b""); it stays."""
        at = self._key(key)
        if self.per_cpu:
            places = self._each_cpu(at)
            return b"".join(self._at(place).ljust(self.value_stride, b"\0") for place in places) if places else None
        if not self.key_size:
            out = self._value(bytes(self.value_size))
            return None if self._call("peek", out) else self._at(out)
        if hasattr(self._store, "read"):  # what user space sees is not what programs do
            out = self._value(bytes(self.value_size))
            return None if self._call("read", at, out) else self._at(out)
        found = self._call("look" if hasattr(self._store, "look") else "lookup", at)
        return self._at(found) if found else None

    def contains(self, value: bytes) -> bool:
        """A bloom filter's answer: False is certain."""
        self._key(b"")
        return not self._call("peek", self._value(value))

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Set a value; flags: BPF_NOEXIST, BPF_EXIST. Raises MapFull."""
        if len(value) != self.value_size:
            raise WrongType(f"a value of map {self.spec.name!r} has {self.value_size} bytes, not {len(value)}")
        at = self._key(key)
        if self.frozen:
            raise map_error(self.spec, "update", errno.EPERM)
        if self.spec.type in _HANDLES:
            code = self._update_handle(at, value, flags)
        elif not self.key_size:
            code = self._call("push", self._value(value), flags)
        else:
            code = self._call("update", at, self._value(value[:self.value_stride]), flags)
            if not code and self.per_cpu:
                for cpu, place in enumerate(self._each_cpu(at)):
                    part = value[cpu * self.value_stride:][:self.spec.value_size]
                    self._arena.memory[place:place + len(part)] = part
        if code:
            raise map_error(self.spec, "update", -code)

    def _update_handle(self, key: int, value: bytes, flags: int) -> int:
        number = int.from_bytes(value[:4], "little")
        thing = self._things.get(number)
        address = 0
        if self.spec.type in _OF_MAPS:
            if not isinstance(thing, UserMap) or not _same_shape(self.spec.inner, thing.spec):
                return -errno.EINVAL
            address = thing.address
        elif self.spec.type == 3 and (thing is None or isinstance(thing, UserMap)):
            return -errno.EINVAL
        code = self._call("update", key, self._value(pack("<II", number, address)), flags)
        if not code and isinstance(thing, UserMap):
            thing.holders += 1
            self._replace(bytes(self._arena.memory[key:key + self.key_size]), thing)
        return code

    def _replace(self, key: bytes, held: UserMap | None) -> None:
        before = self._inside.pop(key, None)
        if held is not None:
            self._inside[key] = held
        if before is not None:
            before.let_go()

    def delete(self, key: bytes) -> bool:
        """Remove a key; False when it was not there."""
        at = self._key(key)
        code = self._call("delete", at)
        if code and -code != errno.ENOENT:
            raise map_error(self.spec, "delete", -code)
        self._replace(key, None)
        return not code

    def pop(self, key: bytes) -> bytes | None:
        """Take a value out; None when it was not there."""
        self._key(key)
        if not self.key_size:
            out = self._value(bytes(self.value_size))
            return None if self._call("pop", out) else self._at(out)
        found = self.lookup(key)
        return found if found is not None and self.delete(key) else None

    def next_key(self, key: bytes | None) -> bytes | None:
        """The key after `key` (None: the first); the first again when `key` is gone, None at the end."""
        at = self._key(key if key is not None else bytes(self.key_size))
        return self._following(at if key is not None else 0)

    def _following(self, at: int) -> bytes | None:
        out = self._scratch + self.key_size
        if self._call("next_key", at, out):
            return None
        return bytes(self._arena.memory[out:out + self.key_size])

    def _walk(self) -> Iterator[bytes]:
        key = self._following(0)
        while key is not None:
            yield key
            key = self._following(self._put_key(key))

    def keys(self) -> Iterator[bytes]:
        """Keys, each once, though others delete meanwhile."""
        self._key(bytes(self.key_size))
        yield from list(self._walk())

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
        if count >= _PATIENCE and not self.per_cpu and self.key_size and self.spec.type not in _HANDLES:
            return self._update_many(flat, rows, count, flags)
        for index in range(count):
            self.update(flat[index * self.key_size:(index + 1) * self.key_size],
                        rows[index * self.value_size:(index + 1) * self.value_size], flags)
        return count

    def _update_many(self, keys: bytes, values: bytes, count: int, flags: int) -> int:
        """Whole columns are laid into the machine's memory at once."""
        if self.frozen:
            raise map_error(self.spec, "update", errno.EPERM)
        self._key(bytes(self.key_size))
        self._busy = max(self._busy, _PATIENCE - 1)
        columns = self._arena.allocate(len(keys) + len(values) + 16, owned=False)
        try:
            rows = columns + (len(keys) + 7 & ~7)
            self._arena.memory[columns:columns + len(keys)] = keys
            self._arena.memory[rows:rows + len(values)] = values
            for index in range(count):
                code = self._call("update", columns + index * self.key_size, rows + index * self.value_size, flags)
                if code:
                    raise map_error(self.spec, "update", -code)
        finally:
            self._arena.release(columns)
        return count

    def delete_batch(self, keys: Any) -> int:
        """Remove many keys; returns how many were there."""
        flat = memoryview(keys).tobytes()
        return sum(self.delete(flat[at:at + self.key_size]) for at in range(0, len(flat), self.key_size))

    # The map itself

    def settle(self) -> None:
        """Return when every run that began before has ended: here that is so when anyone can ask."""

    def freeze(self) -> None:
        """No more writes from outside."""
        self.frozen = True

    def ring(self) -> UserRing:
        """A ring buffer's addresses, for events.RingReader."""
        from bpfwright.userspace.rings import UserRing
        return UserRing(self)

    def perf_buffers(self, pages: int) -> list[UserPerfBuffer]:
        """A buffer on each CPU, for events.PerfReader."""
        from bpfwright.userspace.rings import open_perf_buffers
        return open_perf_buffers(self, pages)

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


def _same_shape(inner: MapSpec | None, given: MapSpec) -> bool:
    """bpf_map_meta_equal(): what a map of maps takes besides the very shape it was made for."""
    if inner is None:
        return True
    alike = inner.type == given.type and inner.key_size == given.key_size and inner.value_size == given.value_size
    return alike and (inner.max_entries == given.max_entries or inner.type not in (2, 6))
