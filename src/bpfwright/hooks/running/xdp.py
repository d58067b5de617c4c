"""XDP: struct xdp_md and a frame of 4,096 bytes with 256 in front of the packet (include/uapi/linux/bpf.h)."""
from __future__ import annotations

from struct import Struct

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.hooks.running._stage import Memory

__all__ = ["TYPES", "Stage"]

TYPES = (6,)
_MD = Struct("<6I")
_BOUNDS = Struct("<II")
_PRIVATE = 192  # helpers/bodies/packets.py
_HEADROOM, _FRAME, _TAIL_RESERVED, _SHORTEST, _LONGEST_META = 256, 4096, 320, 14, 255


class Stage:
    """A packet at the driver. `context` bytes are a struct xdp_md, whose ifindex and queue are taken; where its `data`
    is not 0, so many of the bytes are metadata in front of the packet."""

    __slots__ = ("_arena", "_buffer", "_data", "_given", "_meta", "_room", "context")

    def __init__(self, arena: Memory, data: bytes, context: bytes, kind: int) -> None:
        if len(data) < _SHORTEST:
            raise UsageError("a packet has at least the 14 bytes of its Ethernet header", why=f"{len(data)} bytes")
        self._arena = arena
        self._data = data
        self._given = _MD.unpack(context[:24].ljust(24, b"\0"))
        self._meta = self._given[0] if context else 0
        if self._meta & 3 or self._meta > min(_LONGEST_META, len(data)) or (context and self._given[2]):
            raise UsageError(f"{self._meta} bytes of metadata in front of a packet",
                             why="they are words of 4 bytes, 252 at most, and the first bytes of what is given")
        self._room = max(_FRAME - _TAIL_RESERVED, _HEADROOM + len(data))
        self._buffer = arena.allocate(self._room, owned=False)
        self.context = arena.allocate(_PRIVATE + _BOUNDS.size, owned=False, writable=False)
        arena.allow(self.context, _MD.size)

    def enter(self) -> None:
        memory, start = self._arena.memory, self._buffer + _HEADROOM - self._meta
        memory[self._buffer:self._buffer + self._room] = bytes(start - self._buffer) + self._data.ljust(
            self._room - _HEADROOM + self._meta, b"\0")
        *_, ifindex, queue, egress = self._given
        _MD.pack_into(memory, self.context, start + self._meta, start + len(self._data), start, ifindex or 1, queue,
                      egress)
        _BOUNDS.pack_into(memory, self.context + _PRIVATE, self._buffer, self._buffer + self._room)
        self._allow()

    def _allow(self) -> None:
        data, end, meta = _MD.unpack_from(self._arena.memory, self.context)[:3]
        self._arena.forbid(self._buffer, self._room)
        self._arena.allow(min(data, meta), end - min(data, meta))

    def bounds(self, memory: Any) -> tuple[int, int]:
        """The packet's first byte and the one behind its last."""
        data, end = _BOUNDS.unpack_from(memory, self.context)
        return data, end

    def leave(self) -> tuple[bytes, bytes]:
        memory = self._arena.memory
        data, end, meta, *rest = _MD.unpack_from(memory, self.context)
        return bytes(memory[meta:end]), _MD.pack(data - meta, end - meta, 0, *rest)

    def close(self) -> None:
        self._arena.release(self._buffer)
        self._arena.release(self.context)
