"""A socket's life, as it is sent when it is over."""
from __future__ import annotations

from bpfwright.facets.tools._net import Ends
from bpfwright.maps import RingBuf
from bpfwright.types import L, Struct, char, u32, u64

__all__ = ["Life", "lives"]


class Life(Struct):
    """Whose it was, between whom; when it ended (while it lives: began), how long it lived, bytes of this side."""

    at: u64
    lived: u64
    sent: u64
    received: u64
    pid: u32
    comm: char[L[16]]
    ends: Ends


lives = RingBuf[Life](size_bytes=1 << 22)
