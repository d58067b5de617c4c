"""Native code that copies the records of a ring into rows, whatever their sizes; compiled once and cached."""
from __future__ import annotations

import os

from bpfwright import _cache, _llvm
from bpfwright._native import load_native
from bpfwright._typing import Callable, NamedTuple
from bpfwright.errors import CacheError, CompilerCrash, NotSupported

__all__ = ["Taken", "native"]

# no-builtins: a loop of eight-byte moves beats a call of memcpy at the sizes that events have. Reading up to seven
# bytes past a record is safe, because records are padded to eight.
_IR = """
define i64 @drain(ptr noalias %data, i64 %mask, i64 %start, i64 %end, i64 %width, ptr noalias %out, i64 %stride,
                  i64 %capacity, ptr noalias %counts) "no-builtins" {
entry:
  br label %next
next:
  %at = phi i64 [ %start, %entry ], [ %after, %counted ]
  %rows = phi i64 [ 0, %entry ], [ %rows2, %counted ]
  %gone = phi i64 [ 0, %entry ], [ %gone2, %counted ]
  %long = phi i64 [ 0, %entry ], [ %long2, %counted ]
  %more = icmp ult i64 %at, %end
  %room = icmp ult i64 %rows, %capacity
  %both = and i1 %more, %room
  br i1 %both, label %read, label %done
read:
  %place = and i64 %at, %mask
  %record = getelementptr i8, ptr %data, i64 %place
  %header = load atomic i32, ptr %record acquire, align 8
  %busy = icmp slt i32 %header, 0
  br i1 %busy, label %stopped, label %ready
ready:
  %length32 = and i32 %header, 1073741823
  %length = zext i32 %length32 to i64
  %padded = add i64 %length, 15
  %step = and i64 %padded, -8
  %after = add i64 %at, %step
  %flag = and i32 %header, 1073741824
  %discarded = icmp ne i32 %flag, 0
  br i1 %discarded, label %skip, label %keep
skip:
  %gone1 = add i64 %gone, 1
  br label %counted
keep:
  %source = getelementptr i8, ptr %record, i64 8
  %offset = mul i64 %rows, %stride
  %row = getelementptr i8, ptr %out, i64 %offset
  %fits = icmp ule i64 %length, %width
  %size = select i1 %fits, i64 %length, i64 %width
  %excess = zext i1 %fits to i64
  %cut = xor i64 %excess, 1
  %long1 = add i64 %long, %cut
  %rows1 = add i64 %rows, 1
  %whole = and i64 %size, -8
  br label %copy
copy:
  %i = phi i64 [ 0, %keep ], [ %i2, %move ]
  %in = icmp ult i64 %i, %whole
  br i1 %in, label %move, label %tail
move:
  %from = getelementptr i8, ptr %source, i64 %i
  %to = getelementptr i8, ptr %row, i64 %i
  %word = load i64, ptr %from, align 8
  store i64 %word, ptr %to, align 8
  %i2 = add i64 %i, 8
  br label %copy
tail:
  %filled = icmp uge i64 %whole, %stride
  br i1 %filled, label %counted, label %last
last:
  %rest = sub i64 %size, %whole
  %bits = shl i64 %rest, 3
  %ones = shl i64 -1, %bits
  %keepbits = xor i64 %ones, -1
  %partial = icmp ne i64 %rest, 0
  br i1 %partial, label %load, label %store
load:
  %fromtail = getelementptr i8, ptr %source, i64 %whole
  %tailword = load i64, ptr %fromtail, align 8
  %masked = and i64 %tailword, %keepbits
  br label %store
store:
  %value = phi i64 [ 0, %last ], [ %masked, %load ]
  %totail = getelementptr i8, ptr %row, i64 %whole
  store i64 %value, ptr %totail, align 8
  %whole8 = add i64 %whole, 8
  br label %zero
zero:
  %z = phi i64 [ %whole8, %store ], [ %z2, %clear ]
  %zin = icmp ult i64 %z, %stride
  br i1 %zin, label %clear, label %counted
clear:
  %toz = getelementptr i8, ptr %row, i64 %z
  store i64 0, ptr %toz, align 8
  %z2 = add i64 %z, 8
  br label %zero
counted:
  %rows2 = phi i64 [ %rows, %skip ], [ %rows1, %tail ], [ %rows1, %zero ]
  %gone2 = phi i64 [ %gone1, %skip ], [ %gone, %tail ], [ %gone, %zero ]
  %long2 = phi i64 [ %long, %skip ], [ %long1, %tail ], [ %long1, %zero ]
  br label %next
stopped:
  br label %done
done:
  %waits = phi i64 [ 0, %next ], [ 1, %stopped ]
  store i64 %rows, ptr %counts
  %c1 = getelementptr i64, ptr %counts, i64 1
  store i64 %gone, ptr %c1
  %c2 = getelementptr i64, ptr %counts, i64 2
  store i64 %long, ptr %c2
  %c3 = getelementptr i64, ptr %counts, i64 3
  store i64 %waits, ptr %c3
  fence release
  ret i64 %at
}
"""


class Taken(NamedTuple):
    """How far the copying came: the new position, rows written, records skipped and cut, whether it met a busy one."""

    position: int
    rows: int
    discarded: int
    truncated: int
    busy: bool


Drain = Callable[[int, int, int, int, int, int, int, int], Taken]
_ready: Drain | None = None
_failed = False


def native(compile_it: bool) -> Drain | None:
    """The copying function; None when it is not compiled yet and `compile_it` is false, or cannot be had here.

    Its arguments: data address, mask, positions from and to, record width, output address, row stride (a multiple of
    eight), rows that fit.
    """
    global _ready, _failed
    if _ready is None and not _failed:
        try:
            elf = _object(compile_it)
            if elf is None:
                return None
            _ready = _bind(elf)
        except (NotSupported, CompilerCrash):
            _failed = True
    return _ready


def _object(compile_it: bool) -> bytes | None:
    key = _cache.key_of(_IR.encode(), os.uname().machine.encode(), _llvm.version().encode())
    try:
        cache: _cache.Cache | None = _cache.default()
        assert cache is not None
        known = cache.get(key)
    except CacheError:  # programs complain of it where they are compiled; events must not stop for it
        cache, known = None, None
    if known is None and compile_it:
        known = _llvm.compile_native(_IR)
        if cache is not None:
            cache.put(key, known)
    return known


def _bind(elf: bytes) -> Drain:
    import ctypes
    word = ctypes.c_uint64
    function = load_native(elf).function("drain", word, *([word] * 9))

    def drain(data: int, mask: int, start: int, end: int, width: int, out: int, stride: int, capacity: int) -> Taken:
        counts = (word * 4)()  # each thread its own: ctypes lets others run meanwhile
        position = function(data, mask, start, end, width, out, stride, capacity, ctypes.addressof(counts))
        return Taken(position, counts[0], counts[1], counts[2], bool(counts[3]))

    return drain
