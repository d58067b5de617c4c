"""Unwinding in the kernel: a walk over a user stack by rows that were made of .eh_frame, else by frame pointers.

Rows stand in chunks of 32,768, each sorted by a key: the address in the file, moved so that files follow one another. A
process has spans, sorted by address, that say which chunk and key its code has.
"""
from __future__ import annotations

from bpfwright.helpers import judged_alone, now_ns, read_user, subprogram, user_registers
from bpfwright.maps import Array, ArrayOfMaps, LruHash, PerCpuArray, RingBuf
from bpfwright.types import L, Struct, array, u8, u16, u32, u64, i8, i16, i64

DEPTH = 127
ROWS = 32_768
BUCKETS = 16_384
BUCKET_BITS = 9
SPANS = 65_536
# Span.chunk where there is none: the code has no table; it has one that was not made yet; that was asked for.
NO_CHUNK, NOT_YET, ASKED = 0xFFFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFD
# Stack.flags
CUT, UNREADABLE, NO_RULE, NO_TABLE, UNSEEN, EARLY = 1, 2, 4, 8, 16, 32
MARKS = {CUT: "[cut: more frames than are kept]", UNREADABLE: "[cut: the stack could not be read]",
         NO_RULE: "[cut: no rule to unwind by]", NO_TABLE: "[cut: code of no table]",
         UNSEEN: "[cut: before the process was looked at]", EARLY: "[cut: before its table was made]"}
# Sight.why: a new process; code that no span has, so that something was mapped since; code whose table is wanted
NEW, MAPPED, WANTED = 0, 1, 2
# Kinds of rows: formats.dwarf.frames
NONE, SP, FP, PLT, AT_SP, AT_FP, SIGNAL, END = 0, 1, 2, 3, 4, 5, 6, 7
KIND, FP_AT_FP, FP_LOST = 15, 32, 64
# Where x86-64 has the registers in a signal's frame: struct rt_sigframe behind its return address, ucontext, sigcontext
# (arch/x86/include/uapi/asm/sigcontext.h, asm-generic/ucontext.h).
SIGNAL_FP, SIGNAL_SP, SIGNAL_IP = 120, 160, 168
FARTHEST = 1 << 20  # bytes from the stack pointer to a frame pointer that is believed without a rule
MIXED = 0x9E37_79B9_7F4A_7C15
ASK_AGAIN_NS, MOST_DOUBLINGS = 10_000_000, 9


class Stack(Struct):
    """Addresses, innermost first."""

    count: u32
    flags: u32
    frames: array[u64, L[127]]


class Kept(Struct):
    """A stack, and whose it is."""

    pid: u32
    life: u32
    stack: Stack


class Walk(Struct):
    """A frame's registers, the place of a search, and the stack that is written. `back`: from an address to its call.

    `first`, `spans`: those of its process. The frame pointer, which few frames need, is read when one does:
    until then `fp_at` says where it was saved.
    """

    ip: u64
    sp: u64
    fp: u64
    back: u64
    flags: u64
    low: u64
    high: u64
    span: u64
    fp_at: u64
    first: u32
    spans: u32
    kept: Kept


class Row(Struct):
    """formats.dwarf.frames.ROW."""

    pc: u32
    cfa: i16
    kind: u8
    fp: i8


class Chunk(Struct):
    """Rows by key; those that are not there yet have the highest. `index`: for each 512 keys the row that holds there.

    Without the index a search would touch a memory of its own at each of its steps, and most of those are not cached:
    samples are far apart.
    """

    index: array[u16, L[16392]]
    rows: array[Row, L[32768]]


class Span(Struct):
    """Code of a process: its rows begin at `key` of a chunk."""

    start: u64
    end: u64
    key: u32
    chunk: u32


class Process(Struct):
    """A process as it is between two exec: `life` tells it from others of its number.

    Its spans are `count` from `first` on. `python` is its layout's number if it runs CPython, whose state is `runtime`.
    """

    life: u32
    first: u32
    count: u32
    python: u32
    asked_ns: u64
    asks: u64
    runtime: u64


class Sight(Struct):
    """A process that is to be looked at, and `why`; `address` is that of the code whose table is wanted."""

    pid: u32
    life: u32
    why: u32
    unused: u32
    address: u64


spans = Array[Span](max_entries=SPANS)
chunks = ArrayOfMaps[Array[Chunk]](max_entries=1024, inner=Array[Chunk](max_entries=1))
processes = LruHash[u32, Process](max_entries=8_192)
sights = RingBuf[Sight](size_bytes=1 << 16)
work = PerCpuArray[Walk](max_entries=1)


# What takes stack is a function of its own, which gives it back before the next is called.


@subprogram
def met(pid: u32) -> u32:
    """Begin the life of a process, and tell user space; the life."""
    life = u32(now_ns() >> 10) | 1
    processes[pid] = Process(life, 0, 0, 0, 0, 0, 0)
    sights.emit(Sight(pid, life, NEW, 0, 0))
    return life


def process_of(pid: u32) -> Process | None:
    """What is known of the process that runs; the first time user space is told."""
    known = processes.get(pid)
    if known is not None:
        return known
    met(pid)
    return processes.get(pid)


@subprogram
def name_of(stack: Stack, count: u32, identity: u64) -> u64:
    """The name of a stack: a hash of its addresses and of what else tells it from others, never 0."""
    name: u64 = 0xCBF2_9CE4_8422_2325 ^ count ^ identity
    for place in range(DEPTH):
        if place >= count:
            break
        name = (name ^ stack.frames[place]) * MIXED
        name ^= name >> 29
    return name | 1


# Searches keep their place in the map's memory, of which the verifier knows nothing: what it knew would differ with
# each path, and it would walk them all. They are functions of their own so that nothing but a number is left of them. A
# step is judged alone: in a loop each way through it would be gone again after each that led there, a hundred
# thousand instructions and more memory than small machines have.


@subprogram
def span_of(walk: Walk, at: u64) -> u32:
    """The last span of the process that begins at or before an address, or its first one."""
    walk.low = walk.first
    walk.high = walk.first + walk.spans
    for step in (2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        probe = u32(walk.low + step)
        if probe < walk.high:
            other = spans.get(probe)
            if other is not None and other.start <= at:
                walk.low = probe
    return u32(walk.low)


@subprogram
def rule_of(walk: Walk, chunk: u32, key: u32) -> u64:
    """What the row says that holds at a key: kind, and from bit 8 on fp, from bit 16 on cfa; 0 for nothing."""
    table = chunks.get(chunk)
    if table is None:
        return 0
    rows = table.get(0)
    if rows is None:
        return 0
    bucket = (key >> BUCKET_BITS) & (BUCKETS - 1)
    low = rows.index[bucket] & (ROWS - 1)
    walk.high = rows.index[bucket + 1]
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        probe = low + step
        if probe <= walk.high and rows.rows[probe & (ROWS - 1)].pc <= key:
            low = probe & (ROWS - 1)
    row = rows.rows[low]
    return row.kind | u64(row.fp & 0xFF) << 8 | u64(row.cfa & 0xFFFF) << 16


def ask_again(pid: u32, process: Process) -> None:
    """Something may have been mapped since it was looked at. Each time it takes twice as long until the next."""
    now = now_ns()
    if now - process.asked_ns > ASK_AGAIN_NS << min(process.asks, MOST_DOUBLINGS):
        process.asked_ns = now
        process.asks += 1
        sights.emit(Sight(pid, process.life, MAPPED, 0, 0))


def frame_pointer(walk: Walk) -> u64:
    """The frame pointer; 0, which ends a chain of them, where it cannot be read."""
    if walk.fp_at != 0:
        walk.fp = read_user(walk.fp_at, u64) or 0
        walk.fp_at = 0
    return walk.fp


@judged_alone
def step() -> u32:
    """One frame outwards: 0 to go on, 1 at the outermost, 2 where it cannot (walk.flags says why)."""
    walk = work.local(0)
    ip: u64 = walk.ip
    sp: u64 = walk.sp
    # A return address may be behind its function's end: what matters is the call before it.
    at = ip - walk.back
    walk.back = 1
    rule: u64 = 0
    walk.flags = UNSEEN if walk.spans == 0 else NO_TABLE
    span = spans.get(u32(walk.span))
    if span is None or at < span.start or at >= span.end:  # else it is the span of the frame before
        walk.span = span_of(walk, at)
        span = spans.get(u32(walk.span))
    if walk.spans == 0:
        pass
    elif span is None or at < span.start or at >= span.end:
        process = processes.get(walk.kept.pid)
        if process is not None:
            ask_again(walk.kept.pid, process)
    elif span.chunk == NOT_YET:
        walk.flags = EARLY
        if sights.emit(Sight(walk.kept.pid, walk.kept.life, WANTED, 0, at)):
            span.chunk = ASKED
    elif span.chunk == ASKED:
        walk.flags = EARLY
    elif span.chunk != NO_CHUNK:
        walk.flags = NO_RULE
        rule = rule_of(walk, span.chunk, u32(at - span.start + span.key))
    kind = rule & 0xFF
    fp_offset: i64 = i8(rule >> 8 & 0xFF)
    cfa_offset: i64 = i16(rule >> 16 & 0xFFFF)
    what = kind & KIND
    if what == END:
        return 1
    if what == SIGNAL:
        return by_signal(walk)
    if what > AT_FP:
        return 2
    fp: u64 = 0
    if what in (NONE, FP, AT_FP) or (kind & FP_AT_FP) != 0:
        fp = frame_pointer(walk)
    if what == NONE:
        # No rule: code of runtimes, and functions of assembly, that keep frame pointers.
        if fp == 0:
            return 1
        if fp < sp or fp - sp > FARTHEST:
            return 2
        cfa = fp + 16
        where = fp
    else:
        start = fp if what in (FP, AT_FP) else sp
        cfa = start + cfa_offset * 8
        if what == PLT and (ip & 15) >= fp_offset:
            cfa += 8
        if what in (AT_SP, AT_FP):
            cfa = read_user(cfa, u64) or 0
        where = cfa + fp_offset * 8
        if (kind & FP_AT_FP) != 0:
            where = fp + fp_offset * 8
    if cfa <= sp:
        walk.flags = NO_RULE
        return 2
    walk.flags = UNREADABLE
    back = read_user(cfa - 8, u64)
    if back is None:
        return 2
    if (kind & FP_LOST) != 0:
        walk.fp = 0
        walk.fp_at = 0
    elif what != PLT and where != cfa:
        walk.fp_at = where
    walk.sp = cfa
    walk.ip = back
    return 1 if back == 0 else 0


def by_signal(walk: Walk) -> u32:
    """What a signal has interrupted: its registers stand in the frame, and its address is no return address."""
    walk.flags = UNREADABLE
    ip, sp, fp = (read_user(walk.sp + SIGNAL_IP, u64), read_user(walk.sp + SIGNAL_SP, u64),
                  read_user(walk.sp + SIGNAL_FP, u64))
    if ip is None or sp is None or fp is None:
        return 2
    walk.ip = ip
    walk.sp = sp
    walk.fp = fp
    walk.fp_at = 0
    walk.back = 0
    return 0


@subprogram
def unwind(walk: Walk, process: Process, pid: u32) -> u32:
    """Write the user stack of the task that runs into `walk`, this processor's `work`; how many frames it has."""
    registers = user_registers()
    walk.ip = registers.ip
    walk.sp = registers.sp
    walk.fp = registers.bp
    walk.fp_at = 0
    walk.back = 0
    walk.kept.pid = pid
    walk.kept.life = process.life
    walk.first = process.first
    walk.spans = process.count
    walk.span = process.first
    count: u32 = 0
    ended: u32 = 3
    for place in range(DEPTH):
        walk.kept.stack.frames[place] = walk.ip
        count = place + 1
        ended = step()
        if ended != 0:
            break
    walk.kept.stack.flags = CUT
    if ended == 1:
        walk.kept.stack.flags = 0
    if ended == 2:
        walk.kept.stack.flags = walk.flags
    return count
