"""The page cache's counters, and what they come to. A folio is some pages, a power of two, that are kept together."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.helpers import address_of, current, exists, kernel_object, kernel_word
from bpfwright.maps import LruHash
from bpfwright.types import Config, KernelStruct, Struct, ptr, u8, u32, u64
from bpfwright.vmlinux import address_space

__all__ = ["Period", "asked_for", "layout", "pages_of"]


class Folio(KernelStruct, type="folio"):
    """As it is since 6.6: how large it is, as a power of two, in the lowest byte of its second page's flags."""

    _flags_1: u64


class SmallerFolio(KernelStruct, type="folio"):
    """As it was since 5.18."""

    _folio_order: u8


class PageFlags(Config):
    """Which bit says that a folio has more pages than one; 0 on kernels without folios."""

    head: u32 = 0


page_flags = PageFlags()


def layout(_: Any) -> PageFlags:
    """As the running kernel has it."""
    from bpfwright.errors import BtfError, NotSupported
    from bpfwright.kernel.types import KernelTypes
    try:
        found = KernelTypes().vmlinux.find_enumerator("PG_head")
    except (BtfError, NotSupported, OSError):  # then the programs say it when they are loaded
        found = None
    return PageFlags(head=found[1] if found else 0)


def pages_of(address: u64) -> u64:
    """How many pages a folio has."""
    of, before = kernel_object(Folio, address), kernel_object(SmallerFolio, address)
    if page_flags.head == 0 or kernel_word(address) >> page_flags.head & 1 == 0:  # the flags are what is first
        return 1
    if exists(before._folio_order):
        return u64(1) << (before._folio_order & 31)
    return u64(1) << (of._flags_1 & 31) if exists(of._flags_1) else 1


class Read(Struct):
    """What a thread asked for last."""

    file: u64
    first: u64
    last: u64


reads = LruHash[u32, Read](max_entries=10_240)


def asked_for(mapping: ptr[address_space], index: u64, last_index: u64) -> u64:
    """How many pages the current thread asks for. A long read asks for what is left of it several times: that is
    none."""
    before = reads.get(current.tid)
    goes_on = before is not None and before.file == address_of(mapping) and before.last == last_index \
        and before.first < index
    reads[current.tid] = Read(address_of(mapping), index, last_index)
    end = min(last_index + 1, (u64(mapping.host.i_size) + 4095) >> 12)
    return 0 if goes_on or end <= index else end - index


class Period:
    """One output, as cachestat reckons."""

    def __init__(self, access: int, buffer: int, added: int, dirtied: int) -> None:
        self.misses = max(added - dirtied, 0)
        self.hits = max(access - buffer - self.misses, 0)
        self.dirties = buffer or dirtied
