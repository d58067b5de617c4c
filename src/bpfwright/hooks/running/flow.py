"""Flow dissectors: a packet, and the keys that a program finds in it (net/core/flow_dissector.c)."""
from __future__ import annotations

from struct import pack_into, unpack_from

from bpfwright.errors import UsageError
from bpfwright.hooks.running._stage import Memory

__all__ = ["TYPES", "Stage"]

TYPES = (22,)
_SIZE, _PRIVATE, _KEYS, _KEYS_SIZE = 192, 192, 144, 56
_PROTOCOL, _DATA, _DATA_END = 16, 76, 80
_NHOFF, _THOFF, _N_PROTO, _FLAGS, _ETHERNET = 0, 2, 10, 48, 14


class Stage:
    """A linear packet. `context` bytes are a struct bpf_flow_keys, whose flags are taken; the keys are the data that is
    left."""

    __slots__ = ("_arena", "_buffer", "_data", "_flags", "_keys", "context")

    def __init__(self, arena: Memory, data: bytes, context: bytes, kind: int) -> None:
        if len(data) < _ETHERNET:
            raise UsageError("a packet has at least the 14 bytes of its Ethernet header", why=f"{len(data)} bytes")
        self._arena = arena
        self._data = data
        self._flags = context[_FLAGS:_FLAGS + 4].ljust(4, b"\0")
        self._buffer = arena.allocate(len(data), writable=False)
        self._keys = arena.allocate(_KEYS_SIZE)
        self.context = arena.allocate(_PRIVATE + 16, owned=False, writable=False)
        arena.allow(self.context, _SIZE)

    def enter(self) -> None:
        memory, at = self._arena.memory, self.context
        memory[self._buffer:self._buffer + len(self._data)] = self._data
        memory[self._keys:self._keys + _KEYS_SIZE] = bytes(_KEYS_SIZE)
        pack_into("<HH", memory, self._keys + _NHOFF, _ETHERNET, _ETHERNET)
        memory[self._keys + _N_PROTO:self._keys + _N_PROTO + 2] = self._data[12:14]
        memory[self._keys + _FLAGS:self._keys + _FLAGS + 4] = self._flags
        pack_into("<I", memory, at + _PROTOCOL, int.from_bytes(self._data[12:14], "little"))
        pack_into("<II", memory, at + _DATA, self._buffer, self._buffer + len(self._data))
        pack_into("<Q", memory, at + _KEYS, self._keys)
        pack_into("<II", memory, at + _PRIVATE, self._buffer, self._buffer + len(self._data))

    def leave(self) -> tuple[bytes, bytes]:
        memory, size = self._arena.memory, len(self._data)
        network, transport = unpack_from("<HH", memory, self._keys + _NHOFF)
        network = min(max(network, _ETHERNET), size)
        pack_into("<HH", memory, self._keys + _NHOFF, network, min(max(transport, network), size))
        return bytes(memory[self._keys:self._keys + _KEYS_SIZE]), b""

    def close(self) -> None:
        for place in (self._buffer, self._keys, self.context):
            self._arena.release(place)
