"""Socket buffers: struct __sk_buff over a linear packet (include/uapi/linux/bpf.h; net/bpf/test_run.c)."""
from __future__ import annotations

from struct import Struct, pack_into

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.hooks.running._stage import Memory

__all__ = ["TYPES", "Stage"]

TYPES = (1, 3, 4, 8)
_SIZE, _PRIVATE = 192, 192
_LEN, _PKT_TYPE, _PROTOCOL, _IFINDEX, _DATA, _DATA_END, _DATA_META = 0, 4, 16, 40, 76, 80, 140
_BOUNDS = Struct("<IIII")  # buffer, its end, MAC header, network header: helpers/bodies/packets.py
_HEADROOM, _TAILROOM, _SHORTEST = 256, 512, 14


class Stage:
    """A packet in the stack. `context` bytes are a struct __sk_buff: mark, priority, cb and the like are taken.

    Cgroup programs (type 8) see the packet from its network header on, as in the kernel.
    """

    __slots__ = ("_arena", "_buffer", "_data", "_given", "_network", "_room", "context")

    def __init__(self, arena: Memory, data: bytes, context: bytes, *, network: bool = False) -> None:
        if len(data) < _SHORTEST:
            raise UsageError("a packet has at least the 14 bytes of its Ethernet header", why=f"{len(data)} bytes")
        self._arena = arena
        self._data = data
        self._network = network
        self._given = context[:_SIZE].ljust(_SIZE, b"\0")
        self._room = _HEADROOM + len(data) + _TAILROOM
        self._buffer = arena.allocate(self._room, owned=False)
        self.context = arena.allocate(_PRIVATE + _BOUNDS.size, owned=False)
        arena.allow(self.context, _SIZE)

    def enter(self) -> None:
        memory, at = self._arena.memory, self.context
        memory[self._buffer:self._buffer + self._room] = bytes(_HEADROOM) + self._data + bytes(_TAILROOM)
        start = self._buffer + _HEADROOM + (14 if self._network else 0)
        end = self._buffer + _HEADROOM + len(self._data)
        memory[at:at + _SIZE] = self._given
        protocol = int.from_bytes(self._data[12:14], "little")
        for offset, value in ((_LEN, end - start), (_PROTOCOL, protocol), (_DATA, start), (_DATA_END, end),
                              (_DATA_META, start)):
            pack_into("<I", memory, at + offset, value)
        if not any(self._given[_IFINDEX:_IFINDEX + 4]):
            pack_into("<I", memory, at + _IFINDEX, 1)
        first = self._buffer + _HEADROOM
        _BOUNDS.pack_into(memory, at + _PRIVATE, self._buffer, self._buffer + self._room, first, first + 14)
        self._allow()

    def _allow(self) -> None:
        memory, at = self._arena.memory, self.context
        data, end = (int.from_bytes(memory[at + o:at + o + 4], "little") for o in (_DATA, _DATA_END))
        self._arena.forbid(self._buffer, self._room)
        self._arena.allow(data, end - data)

    def bounds(self, memory: Any) -> tuple[int, int]:
        """The packet's first byte and the one behind its last."""
        data, end = _BOUNDS.unpack_from(memory, self.context + _DATA)
        return data, end

    def leave(self) -> tuple[bytes, bytes]:
        memory, at = self._arena.memory, self.context
        data, end = (int.from_bytes(memory[at + o:at + o + 4], "little") for o in (_DATA, _DATA_END))
        first = data - (14 if self._network else 0)
        return bytes(memory[first:end]), bytes(memory[at:at + _SIZE])

    def close(self) -> None:
        self._arena.release(self._buffer)
        self._arena.release(self.context)
