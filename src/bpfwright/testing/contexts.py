"""What of a packet's context a test may choose: the members that BPF_PROG_TEST_RUN takes in the kernel too."""
from __future__ import annotations

from struct import pack, pack_into

from bpfwright._typing import NamedTuple

__all__ = ["SkbContext", "XdpContext"]

_SKB_SIZE, _MARK, _PRIORITY, _CB = 192, 8, 32, 48  # struct __sk_buff (include/uapi/linux/bpf.h)


class XdpContext(NamedTuple):
    """struct xdp_md: the interface and queue that a packet came in by. The kernel wants both to be there."""

    ifindex: int = 0
    rx_queue: int = 0

    def to_bytes(self, size: int) -> bytes:
        """For a packet of so many bytes."""
        return pack("<6I", 0, size, 0, self.ifindex, self.rx_queue, 0)


class SkbContext(NamedTuple):
    """struct __sk_buff: mark, priority and the control block's five words."""

    mark: int = 0
    priority: int = 0
    cb: tuple[int, ...] = (0, 0, 0, 0, 0)

    def to_bytes(self, size: int) -> bytes:
        """For a packet of so many bytes."""
        found = bytearray(_SKB_SIZE)
        pack_into("<I", found, _MARK, self.mark)
        pack_into("<I", found, _PRIORITY, self.priority)
        pack_into("<5I", found, _CB, *self.cb)
        return bytes(found)

    @classmethod
    def of(cls, context: bytes) -> SkbContext:
        """What a run left."""
        words = memoryview(context[:_SKB_SIZE]).cast("I")
        return cls(words[_MARK // 4], words[_PRIORITY // 4], tuple(words[_CB // 4:_CB // 4 + 5]))
