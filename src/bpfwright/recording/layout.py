"""Where things stand in what a recorded run writes: the slot of a CPU while it runs, and the record that it sends.

    slot      u32 how many runs are inside   u32 one came in between   then the record
    record    u64 its number among all runs   u64 clock at its beginning   u64 runs begun when it ended
              u32 CPU   u32 program   u32 bytes of all this   u32 flags
              u32 bytes of the packet   u32 of them linear   u32 of them kept   u32 0
    then      eight bytes for each field of the context that the program reads; the packet, filled up to eight; entries
    entry     u32 what   u32 bytes   u64 result   then the bytes, filled up to eight

`what` is a helper's number, LOAD plus a load's bytes, or FUNCTION plus a kernel function's place in the program's list.
"""
from __future__ import annotations

from struct import Struct

__all__ = ["CONTROL", "CUT", "ENTRY", "FUNCTION", "HEADER", "LENGTH_AT", "LOAD", "MOST_OUT", "MOST_PACKET", "OVERFLOW",
           "ROOM", "SHIFT", "SLOT"]

SHIFT = 14
SLOT = 1 << SHIFT
CONTROL = 8
HEADER = Struct("<QQQIIIIIIII")
LENGTH_AT = 32
ENTRY = Struct("<IIQ")
MOST_OUT = 4096  # bytes that one helper wrote
MOST_PACKET = 4096
ROOM = SLOT - CONTROL - MOST_OUT - 2 * ENTRY.size  # where the last entry may begin
OVERFLOW, CUT = 1, 2  # flags: more entries than there is room for; the packet was longer
LOAD, FUNCTION = 1 << 16, 1 << 17
