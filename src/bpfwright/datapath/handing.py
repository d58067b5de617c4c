"""What a packet takes with it from XDP to tc ingress: which slot's programs judged it, and the mark it was given.

It stands in front of the packet as XDP's metadata. Where the driver has no room for it, as some have not, tc goes by
what is live then, and marks are not given.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.stage import CONTINUE
from bpfwright.maps import PerCpuArray
from bpfwright.types import Struct, u32

__all__ = ["MAGIC", "Handed", "handing", "mark_handed", "take_mark", "without_handed"]

MAGIC = 0x7770_6662
"""No other program's metadata begins so, by any chance that matters."""


class Handed(Struct):
    """The metadata. `mask` is 0 where no mark was given."""

    magic: u32
    slot: u32
    mark: u32
    mask: u32


handing = PerCpuArray[Handed](max_entries=1)
"""What the next packet of a CPU will take with it; magic and slot are the generation's."""


def mark_handed(mark: u32, mask: u32) -> None:
    """Give the packet a mark in the bits of a mask, when it comes to tc; beside what it was given before."""
    handed = handing.local(0)
    handed.mark = handed.mark & ~mask | mark
    handed.mask |= mask


def take_mark(ctx: Any, packet: Any) -> int:
    """A stage at tc ingress: the packet gets the mark that it was given at XDP."""
    handed = ctx.metadata(Handed)
    if handed is not None and handed.magic == MAGIC and handed.mask != 0:
        ctx.mark = ctx.mark & ~handed.mask | handed.mark
    return CONTINUE


def without_handed(data: bytes) -> bytes:
    """A frame as a test run gives it, which has metadata in front."""
    from struct import pack
    return data[Handed.__layout__().size:] if data.startswith(pack("=I", MAGIC)) else data
