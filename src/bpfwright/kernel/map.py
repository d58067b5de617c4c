"""Maps of the kernel, in bytes: elements, batches, walks that survive deletes, freezing, pinning."""
from __future__ import annotations

import errno
import os
from struct import pack, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import Iterator, Self
from bpfwright.errors import KernelError, SessionError, WrongType
from bpfwright.kernel import sys
from bpfwright.kernel.cpus import possible_cpus
from bpfwright.spec.map_errors import map_error
from bpfwright.spec.objects import MapSpec

__all__ = ["KernelMap"]

_PER_CPU = frozenset({B.BPF_MAP_TYPE_PERCPU_HASH, B.BPF_MAP_TYPE_PERCPU_ARRAY, B.BPF_MAP_TYPE_LRU_PERCPU_HASH,
                      B.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE})
_OF_FDS = frozenset({B.BPF_MAP_TYPE_ARRAY_OF_MAPS, B.BPF_MAP_TYPE_HASH_OF_MAPS, B.BPF_MAP_TYPE_PROG_ARRAY,
                     B.BPF_MAP_TYPE_PERF_EVENT_ARRAY, B.BPF_MAP_TYPE_CGROUP_ARRAY})
_KEYLESS = frozenset({B.BPF_MAP_TYPE_QUEUE, B.BPF_MAP_TYPE_STACK, B.BPF_MAP_TYPE_BLOOM_FILTER})
_BATCH_END, _UNBATCHED = errno.ENOENT, (errno.EINVAL, errno.EOPNOTSUPP, 524)


class KernelMap:
    """A map and the descriptor that holds it.

    Keys and values are bytes. A value of a per-CPU map is one of `value_stride` bytes for each possible CPU. Maps of
    maps and programs take the four bytes of a descriptor and give those of a number (id).
    """

    __slots__ = ("_fd", "_id", "_owned", "key_size", "per_cpu", "spec", "value_size", "value_stride")

    def __init__(self, fd: int, spec: MapSpec, *, owned: bool = True) -> None:
        self._fd = fd
        self.spec = spec
        self._owned = owned
        self._id = 0
        self.key_size = 0 if spec.type in _KEYLESS else spec.key_size
        self.per_cpu = spec.type in _PER_CPU
        self.value_stride = (spec.value_size + 7) & ~7 if self.per_cpu else spec.value_size
        self.value_size = self.value_stride * possible_cpus() if self.per_cpu else spec.value_size

    @classmethod
    def from_fd(cls, fd: int, name: str = "") -> KernelMap:
        """Take over a descriptor: what the map is, the kernel says."""
        try:
            info = sys.obj_info(fd, 88)
        except KernelError:
            sys.close_quietly(fd)
            raise
        kind, number, key_size, value_size, entries, flags = unpack_from("=6I", info)
        told = info[24:40].partition(b"\0")[0].decode("ascii", "replace")
        extra = int(unpack_from("=Q", info, 80)[0]) if len(info) >= 88 else 0
        result = cls(fd, MapSpec(name or told, kind, key_size, value_size, entries, flags, map_extra=extra))
        result._id = number
        return result

    @classmethod
    def pinned(cls, path: str) -> KernelMap:
        """Adopt a pinned map."""
        return cls.from_fd(sys.obj_get(path), os.path.basename(path))

    @property
    def fd(self) -> int:
        """The descriptor. SessionError when the map is closed."""
        if self._fd < 0:
            raise SessionError(f"map {self.spec.name!r} is closed", cure="Use it while its session is open.")
        return self._fd

    @property
    def id(self) -> int:
        """The kernel's number of the map."""
        if not self._id:
            self._id = unpack_from("=I", sys.obj_info(self.fd, 8), 4)[0]
        return self._id

    def close(self) -> None:
        """Give the descriptor back; the map lives on while programs or pins hold it."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._owned:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<map {self.spec.name!r} type {self.spec.type} fd {self._fd}>"

    # Elements

    def _key(self, key: bytes) -> bytes:
        if len(key) != self.key_size:
            raise WrongType(f"a key of map {self.spec.name!r} has {self.key_size} bytes, not {len(key)}")
        return key

    def lookup(self, key: bytes, flags: int = 0) -> bytes | None:
        """The value, or None. Queues and stacks: the next one (key b""); it stays. Bloom filters: see `contains`."""
        value = bytearray(4 if self.spec.type in _OF_FDS else self.value_size)
        try:
            sys.map_lookup(self.fd, sys.address(self._key(key)) if key else 0, sys.address(value), flags)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return None
            raise map_error(self.spec, "lookup", error.errno or 0) from None
        return bytes(value)

    def contains(self, value: bytes) -> bool:
        """A bloom filter's answer: False is certain."""
        probe = bytearray(value)
        try:
            sys.map_lookup(self.fd, 0, sys.address(probe))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return False
            raise map_error(self.spec, "lookup", error.errno or 0) from None
        return True

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Set a value; flags: BPF_NOEXIST, BPF_EXIST, BPF_F_LOCK. Raises MapFull."""
        size = 4 if self.spec.type in _OF_FDS else self.value_size
        if len(value) != size:
            raise WrongType(f"a value of map {self.spec.name!r} has {size} bytes, not {len(value)}")
        try:
            sys.map_update(self.fd, sys.address(self._key(key)) if key else 0, sys.address(value), flags)
        except KernelError as error:
            raise map_error(self.spec, "update", error.errno or 0) from None

    def delete(self, key: bytes) -> bool:
        """Remove a key; False when it was not there."""
        try:
            sys.map_delete(self.fd, sys.address(self._key(key)))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return False
            raise map_error(self.spec, "delete", error.errno or 0) from None
        return True

    def pop(self, key: bytes) -> bytes | None:
        """Take a value out; None when it was not there. Hashes on kernels before 5.14: lookup, then delete."""
        value = bytearray(self.value_size)
        try:
            sys.map_pop(self.fd, sys.address(self._key(key)) if key else 0, sys.address(value))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return None
            if error.errno in _UNBATCHED and self.key_size:
                found = self.lookup(key)
                return found if found is not None and self.delete(key) else None
            raise map_error(self.spec, "pop", error.errno or 0) from None
        return bytes(value)

    def next_key(self, key: bytes | None) -> bytes | None:
        """The key after `key` (None: the first); the first again when `key` is gone, None at the end."""
        following = bytearray(self.key_size)
        try:
            sys.map_next_key(self.fd, sys.address(self._key(key)) if key is not None else 0, sys.address(following))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return None
            raise map_error(self.spec, "next key", error.errno or 0) from None
        return bytes(following)

    # Many at once

    def items(self, batch: int = 1024) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values. Entries that come or go meanwhile may or may not be seen; no deletion starts it over."""
        for keys, values, count in self.lookup_batches(batch):
            step = len(values) // count if count else 0
            for index in range(count):
                yield (keys[index * self.key_size:(index + 1) * self.key_size],
                       values[index * step:(index + 1) * step])

    def lookup_batches(self, batch: int = 1024, *, delete: bool = False) -> Iterator[tuple[bytes, bytes, int]]:
        """Columns of keys and values, `batch` (or, for crowded hashes, more) at a time; with `delete` they are taken
        out. Falls back to single keys where the kernel has no batch for this map type."""
        command = B.BPF_MAP_LOOKUP_AND_DELETE_BATCH if delete else B.BPF_MAP_LOOKUP_BATCH
        batch = min(max(batch, 1), max(self.spec.max_entries, 1))
        value_size = 4 if self.spec.type in _OF_FDS else self.value_size
        token_in, token_out = b"", bytearray(max(4, self.key_size))
        first = True
        while True:
            keys, values = bytearray(batch * self.key_size), bytearray(batch * value_size)
            count, number = sys.map_batch(command, self.fd, sys.address(keys), sys.address(values), batch,
                                          start=sys.address(token_in) if token_in else 0, end=sys.address(token_out))
            if number in _UNBATCHED and first:
                yield from self._one_by_one(delete)
                return
            if number == errno.ENOSPC:      # a bucket holds more than fits: nothing was copied, ask for more
                batch *= 2
                continue
            if number not in (0, _BATCH_END):
                raise map_error(self.spec, "batch", number)
            if count:
                yield bytes(keys[:count * self.key_size]), bytes(values[:count * value_size]), count
            if number == _BATCH_END:
                return
            first, token_in = False, bytes(token_out)

    def _one_by_one(self, delete: bool) -> Iterator[tuple[bytes, bytes, int]]:
        for key in self.keys():
            value = self.lookup(key)
            if value is not None and (not delete or self.delete(key)):
                yield key, value, 1

    def keys(self) -> Iterator[bytes]:
        """Keys, each once, though others delete meanwhile: a walk whose place is gone goes on from an older one."""
        seen: set[bytes] = set()
        order: list[bytes] = []
        key = self.next_key(None)
        while key is not None:
            if key not in seen:
                seen.add(key)
                order.append(key)
                yield key
            following = self.next_key(key)
            # The kernel starts over when `key` has been deleted; known keys are stepped over.
            key = following if len(order) < 2 * max(self.spec.max_entries, 1) else None

    def update_batch(self, keys: sys.Buffer, values: sys.Buffer, count: int, flags: int = 0) -> int:
        """Set `count` entries from columns; returns how many the kernel took before an error, or raises MapFull.

        Buffers are used in place: a NumPy array's memory costs no copy, unless it is read-only or has gaps.
        """
        keys, values = _flat(keys), _flat(values)
        if len(keys) != count * self.key_size or len(values) != count * self.value_size:
            raise WrongType(f"columns of map {self.spec.name!r} have {len(keys)} and {len(values)} bytes",
                            why=f"{count} entries of {self.key_size} and {self.value_size} bytes were announced")
        if not count:
            return 0
        done, number = sys.map_batch(B.BPF_MAP_UPDATE_BATCH, self.fd, sys.address(keys), sys.address(values), count,
                                     flags=flags)
        if number in _UNBATCHED and done in (0, count):  # kernels that know no batch leave the count as it was
            return self._update_one_by_one(bytes(keys), bytes(values), count, flags)
        if number:
            raise map_error(self.spec, "update", number)
        return done

    def _update_one_by_one(self, keys: bytes, values: bytes, count: int, flags: int) -> int:
        for index in range(count):
            self.update(keys[index * self.key_size:(index + 1) * self.key_size],
                        values[index * self.value_size:(index + 1) * self.value_size], flags)
        return count

    def delete_batch(self, keys: sys.Buffer) -> int:
        """Remove many keys; returns how many were there."""
        keys = _flat(keys)
        count = len(keys) // self.key_size
        done, number = sys.map_batch(B.BPF_MAP_DELETE_BATCH, self.fd, sys.address(keys), 0, count) if count else (0, 0)
        if number == 0:
            return done
        if number in (*_UNBATCHED, errno.ENOENT):
            rest = bytes(keys[done * self.key_size:])
            return done + sum(self.delete(rest[at:at + self.key_size]) for at in range(0, len(rest), self.key_size))
        raise map_error(self.spec, "delete", number)

    # The map itself

    def settle(self) -> None:
        """Return when every run of a program that began before has ended: what it could still read may be reused."""
        sys.wait_for_readers()

    def freeze(self) -> None:
        """No more writes from user space; the verifier may take the values for constants."""
        sys.map_freeze(self.fd)

    def pin(self, path: str) -> None:
        """Give it a name in bpffs; it outlives the process."""
        from bpfwright.kernel.mounts import pin
        pin(self.fd, path)

    def map_values(self, *, writable: bool = True) -> MappedValues:
        """An array's memory itself (created with BPF_F_MMAPABLE): what programs write is seen at once."""
        stride = (self.spec.value_size + 7) & ~7
        page = os.sysconf("SC_PAGE_SIZE")
        size = (stride * self.spec.max_entries + page - 1) // page * page
        return MappedValues(self.fd, size, stride, writable)


class MappedValues:
    """A mapped array: `view` is its memory, values stand `stride` bytes apart."""

    __slots__ = ("_address", "_size", "stride", "view")

    def __init__(self, fd: int, size: int, stride: int, writable: bool) -> None:
        self._address, self.view = sys.map_memory(fd, size, writable=writable)
        self._size = size
        self.stride = stride

    def close(self) -> None:
        """Undo the mapping; slices of `view` die with it."""
        if self._address:
            where, self._address = self._address, 0
            self.view.release()
            sys.unmap_memory(where, self._size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _flat(data: sys.Buffer) -> sys.Buffer:
    """The bytes of a buffer, in place where their address can be taken."""
    if isinstance(data, bytes | bytearray):
        return data
    view = memoryview(data)
    if view.readonly or not view.c_contiguous:
        return view.tobytes()
    return view.cast("B") if view.nbytes else b""


def descriptor_value(fd: int) -> bytes:
    """A descriptor as the value of a map of maps, programs or perf events."""
    return pack("=i", fd)
