"""Socket buffers: struct __sk_buff over a linear packet (include/uapi/linux/bpf.h; net/bpf/test_run.c)."""
from __future__ import annotations

from struct import Struct, pack_into

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.hooks.running._stage import Memory

__all__ = ["TYPES", "Stage"]

TYPES = (1, 3, 4, 8)
_SIZE, _PRIVATE = 192, 192
_LEN, _PKT_TYPE, _PROTOCOL, _IFINDEX, _DATA, _DATA_END, _DATA_META, _WIRE_LEN = 0, 4, 16, 40, 76, 80, 140, 160
_GIVEN = ((8, 12), (32, 44), (48, 68), (152, 168), (176, 192))
"""What of a context is taken and given back: mark, priority, interfaces, cb, times and lengths."""
_BOUNDS = Struct("<IIIII")  # buffer, its end, MAC header, network header (helpers/bodies/packets.py), bytes skipped
_HEADROOM, _TAILROOM, _ETHERNET = 256, 2048, 14
_SCHEDULING = (3, 4)  # these see the Ethernet header
_LOOPBACK, _LONGEST_802_3, _802_2 = 1, 0x600, 4
_HOST, _MULTICAST, _OTHER_HOST = 0, 2, 3


class Stage:
    """A packet in the stack, on the loopback interface. `context` bytes are a struct __sk_buff: mark, priority, cb and
    the like are taken.

    Programs of socket filters and cgroups see the packet from its network header on. Of the Ethernet header in front of
    it zeros are left, as in the kernel.
    """

    __slots__ = ("_arena", "_buffer", "_data", "_given", "_room", "_skipped", "context")

    def __init__(self, arena: Memory, data: bytes, context: bytes, kind: int) -> None:
        if len(data) < _ETHERNET:
            raise UsageError("a packet has at least the 14 bytes of its Ethernet header", why=f"{len(data)} bytes")
        self._arena = arena
        self._data = data
        self._skipped = 0 if kind in _SCHEDULING else _ETHERNET
        self._given = context[:_SIZE].ljust(_SIZE, b"\0")
        self._room = _HEADROOM + len(data) + _TAILROOM
        self._buffer = arena.allocate(self._room, owned=False)
        self.context = arena.allocate(_PRIVATE + _BOUNDS.size, owned=False)
        arena.allow(self.context, _SIZE)

    def enter(self) -> None:
        memory, at = self._arena.memory, self.context
        memory[self._buffer:self._buffer + self._room] = bytes(_HEADROOM) + self._data + bytes(_TAILROOM)
        first = self._buffer + _HEADROOM
        start, end = first + self._skipped, first + len(self._data)
        memory[at:at + _SIZE] = bytes(_SIZE)
        for low, high in _GIVEN:
            memory[at + low:at + high] = self._given[low:high]
        for offset, value in ((_LEN, end - start), (_PKT_TYPE, self._packet_type()), (_PROTOCOL, self._protocol()),
                              (_DATA, start), (_DATA_END, end), (_DATA_META, start)):
            pack_into("<I", memory, at + offset, value)
        for offset, usual in ((_IFINDEX, _LOOPBACK), (_WIRE_LEN, end - start)):
            if not any(memory[at + offset:at + offset + 4]):
                pack_into("<I", memory, at + offset, usual)
        _BOUNDS.pack_into(memory, at + _PRIVATE, self._buffer, self._buffer + self._room, first, first + _ETHERNET,
                          self._skipped)
        self._arena.forbid(self._buffer, self._room)
        self._arena.allow(start, end - start)

    def _protocol(self) -> int:
        """eth_type_trans(): the EtherType, in network order as the member has it."""
        number = int.from_bytes(self._data[12:14], "big")
        if number < _LONGEST_802_3:
            number = 1 if self._data[14:16] == b"\xff\xff" else _802_2
        return int.from_bytes(number.to_bytes(2, "big"), "little")

    def _packet_type(self) -> int:
        to = self._data[:6]
        if to[0] & 1:
            return _MULTICAST  # also what is for all: the loopback interface has no address for that
        return _OTHER_HOST if any(to) else _HOST

    def bounds(self, memory: Any) -> tuple[int, int]:
        """The packet's first byte and the one behind its last."""
        data, end = _BOUNDS.unpack_from(memory, self.context + _DATA)
        return data, end

    def leave(self) -> tuple[bytes, bytes]:
        memory, at = self._arena.memory, self.context
        data, end = (int.from_bytes(memory[at + o:at + o + 4], "little") for o in (_DATA, _DATA_END))
        after = bytearray(self._given)
        for low, high in _GIVEN:
            after[low:high] = memory[at + low:at + high]
        return bytes(self._skipped) + bytes(memory[data:end]), bytes(after)

    def close(self) -> None:
        self._arena.release(self._buffer)
        self._arena.release(self.context)
