"""The kernel's page allocation flags by name, as its own traces write them."""
from __future__ import annotations

__all__ = ["gfp_flags"]

# Bits 0 to 23 stand where they have stood since Linux 5.1 (include/linux/gfp_types.h); 9 was __GFP_ATOMIC until 6.3.
_BITS = ("DMA", "HIGHMEM", "DMA32", "MOVABLE", "RECLAIMABLE", "HIGH", "IO", "FS", "ZERO", "ATOMIC", "DIRECT_RECLAIM",
         "KSWAPD_RECLAIM", "WRITE", "NOWARN", "RETRY_MAYFAIL", "NOFAIL", "NORETRY", "MEMALLOC", "COMP", "NOMEMALLOC",
         "HARDWALL", "THISNODE", "ACCOUNT", "ZEROTAGS", "SKIP_ZERO", "SKIP_KASAN")
_BIT = {name: 1 << place for place, name in enumerate(_BITS)}


def _bits(names: str) -> int:
    return sum(_BIT[name] for name in names.split())


_RECLAIM = "DIRECT_RECLAIM KSWAPD_RECLAIM"
_USER = f"{_RECLAIM} IO FS HARDWALL"
_HUGE = f"{_USER} HIGHMEM MOVABLE SKIP_KASAN COMP NOMEMALLOC NOWARN"
# In the order in which the kernel looks for them (include/trace/events/mmflags.h): larger sets first.
_SETS: tuple[tuple[int, bytes], ...] = (
    (_bits(_HUGE), b"GFP_TRANSHUGE"), (_bits(_HUGE) & ~_bits(_RECLAIM), b"GFP_TRANSHUGE_LIGHT"),
    (_bits(f"{_USER} HIGHMEM MOVABLE SKIP_KASAN"), b"GFP_HIGHUSER_MOVABLE"),
    (_bits(f"{_USER} HIGHMEM"), b"GFP_HIGHUSER"), (_bits(_USER), b"GFP_USER"),
    (_bits(f"{_RECLAIM} IO FS ACCOUNT"), b"GFP_KERNEL_ACCOUNT"), (_bits(f"{_RECLAIM} IO FS"), b"GFP_KERNEL"),
    (_bits(f"{_RECLAIM} IO"), b"GFP_NOFS"), (_bits("HIGH KSWAPD_RECLAIM"), b"GFP_ATOMIC"),
    (_bits(_RECLAIM), b"GFP_NOIO"), (_bits("KSWAPD_RECLAIM"), b"GFP_NOWAIT"), (_bits("DMA"), b"GFP_DMA"),
    (_bits("DMA32"), b"GFP_DMA32"))
_SINGLE = tuple((1 << place, f"__GFP_{name}".encode()) for place, name in enumerate(_BITS))


def gfp_flags(flags: int) -> bytes:
    """`GFP_KERNEL|__GFP_ZERO`; bits without a name in hexadecimal, `0` for none."""
    left = flags & 0xFFFF_FFFF_FFFF_FFFF
    if not left:
        return b"0"
    found = []
    for bits, name in _SETS + _SINGLE:
        if left & bits == bits:
            found.append(name)
            left &= ~bits
    if left:
        found.append(b"0x%x" % left)
    return b"|".join(found)
