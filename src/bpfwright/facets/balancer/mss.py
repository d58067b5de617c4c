"""The largest segment that a TCP end says it takes, lowered to what fits a tunnel: in SYNs, wherever the option stands.

The receiver of a SYN sends no larger segments than it says. At the balancer clients' SYNs pass, so what servers send
becomes smaller; what clients send becomes smaller by the servers' SYNs, which pass on the backend only.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import folded, swapped16
from bpfwright.helpers import unknown
from bpfwright.types import Struct, i32, u8, u16, u32, u64

__all__ = ["LEAST", "clamped", "clamped_in_stack", "options_lower"]

LEAST = 536
"""What every host takes (RFC 9293, 3.7.1)."""
_END, _NOTHING, _LARGEST, _LARGEST_BYTES = 0, 1, 2, 4
_RUNS, _RUN = 3, 14      # options have 40 bytes, and may have one each
_PLAIN, _SUM = 20, 16
_SYN_RAW = 0x0200


class Said(Struct):
    """The option's number, raw."""

    value: u16


def options_lower(limit: int) -> Any:
    """`lower(ctx, at, left, odd) -> difference`: of the options of `left` bytes at an offset, which is odd in the
    segment's sum where it is in the frame's if `odd` is 0. What the sum grew by, not folded; 0: nothing changed."""
    raw_limit = swapped16(limit)

    def lower(ctx: Any, at: Any, left: Any, odd: Any) -> Any:
        difference = u64(unknown(left) - unknown(left))
        for _ in range(_RUNS):  # in two, since the body of a long loop would need a stack of its own
            if left <= 0:
                break
            for _ in range(_RUN):
                # Of numbers that it knows more of, the verifier would look at each way by which they came about.
                nothing = i32(unknown(left) - unknown(left))
                at = i32(at + nothing)
                left = i32(left + nothing)
                if left <= 0:
                    break
                kind = ctx.read(at, u8)
                if kind is None or kind == _END:
                    left = i32(0)
                    break
                size = ctx.read(at + 1, u8)
                step = 1
                if kind != _NOTHING:
                    if size is None or size < 2 or size > left:
                        left = i32(0)
                        break
                    step = size
                    if kind == _LARGEST and size == _LARGEST_BYTES:
                        said = ctx.read(at + 2, u16)
                        if said is not None and swapped16(said) > limit and ctx.write(at + 2, Said(u16(raw_limit))):
                            # At an odd place its bytes stand in two words of the sum: 256 times as much.
                            difference += ((said ^ 0xFFFF) + raw_limit) << ((at + odd & 1) << 3)
                left -= step
                at += step
        return difference

    return lower


def clamped(layouts: Any, limit: int) -> Any:
    """`clamp(ctx)` at XDP: of a TCP segment, which is found anew behind it."""
    Tcp, start = layouts.tcp, layouts.transport + _PLAIN
    lower = options_lower(limit)
    odd = layouts.transport & 1

    def clamp(ctx: Any) -> Any:
        found = ctx.find(Tcp)
        if found is None:
            return 0
        left = ((found.raw.flags & 0xF0) >> 4) * 4 - _PLAIN
        if left < _LARGEST_BYTES:
            return 0
        difference = lower(ctx, u32(start), left, odd)
        if difference == 0:
            return 0
        again = ctx.find(Tcp)
        if again is None:
            return 0
        again.raw.sum = u16(~folded((again.raw.sum ^ 0xFFFF) + difference))
        return 1

    return clamp


def clamped_in_stack(layouts: Any, limit: int) -> Any:
    """`clamp(ctx) -> 1 where it said more` at tc: of a SYN, whose sum may be left to the device."""
    Tcp, start = layouts.tcp, layouts.transport + _PLAIN
    lower = options_lower(limit)
    odd, sum_at = layouts.transport & 1, layouts.transport + _SUM

    def clamp(ctx: Any) -> Any:
        found = ctx.find(Tcp)
        if found is None or found.raw.flags & _SYN_RAW == 0:
            return 0
        left = ((found.raw.flags & 0xF0) >> 4) * 4 - _PLAIN
        if left < _LARGEST_BYTES:
            return 0
        difference = lower(ctx, u32(start), left, odd)
        if difference == 0:
            return 0
        ctx.change_sum(sum_at, folded(difference))
        return 1

    return clamp
