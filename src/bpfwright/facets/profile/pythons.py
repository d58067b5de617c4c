"""CPython's own stack, read in the kernel: from the thread's state its frames, and of each code object its name, once.

Where things stand in a process's interpreter differs by version: user space says it by a Layout.
"""
from __future__ import annotations

from bpfwright.helpers import copy_user, current, read_user, subprogram
from bpfwright.maps import Array, Hash, LruHash
from bpfwright.stacks.unwinding import CUT, DEPTH, MIXED, UNREADABLE, Process, Stack
from bpfwright.types import L, Struct, array, u8, u32, u64, i32

ENTRY = 1            # lowest bit of a frame's code: C called it
NATIVE_OWNER = 3     # FRAME_OWNED_BY_CSTACK of 3.12 and 3.13, _INTERPRETER of 3.14 and all above: no Python frame
STR_LENGTH = 16      # PyASCIIObject.length; behind it stands the hash, -1 until it is asked for
MOST_THREADS = 512   # that are walked to find a thread
MARKED = 2           # innermost frames that are told by their names too: those that call others are less often replaced
MARK_SHIFT = 48      # above what is a user address: which function of those that were there in turn


class Layout(Struct):
    """Offsets in a version's structs. `cframe`: where the thread points at what points at its frame (3.11, 3.12), 0 if
    it points itself. `is_entry`: of 3.11."""

    interpreters_head: u32
    interpreter_next: u32
    threads_head: u32
    thread_next: u32
    thread_id: u32
    current_frame: u32
    cframe: u32
    previous: u32
    executable: u32
    owner: u32
    is_entry: u32
    filename: u32
    qualname: u32
    first_line: u32
    ascii_size: u32
    compact_size: u32


class Text(Struct):
    """A str as it lies in memory, or its end: how many characters it has, and PyASCIIObject.state."""

    length: u32
    state: u32
    data: array[u8, L[120]]


class Code(Struct):
    """What is said of a function."""

    line: u32
    unused: u32
    name: Text
    file: Text


class Begin(Struct):
    """What a str begins with."""

    length: u64
    hash: u64


class CodeKey(Struct):
    """A code object of a process. Above the address stands a mark of the function, for others may have had it."""

    address: u64
    pid: u32
    life: u32


class PythonWalk(Struct):
    """Where the walk is, and the stack that is written. `identity`: that of its functions, by their names."""

    interpreter: u64
    thread: u64
    frame: u64
    identity: u64
    count: u32
    unused: u32
    key: CodeKey
    code: Code
    stack: Stack


layouts = Array[Layout](max_entries=32)
threads = LruHash[u32, u64](max_entries=8_192)
codes = Hash[CodeKey, Code](max_entries=8_192)


@subprogram
def next_thread(walk: PythonWalk, layout: Layout, wanted: u64) -> u32:
    """Look at one thread: 0 to go on, 1 when it is the one, 2 when there are no more."""
    if walk.thread == 0:
        if walk.interpreter == 0:
            return 2
        walk.thread = read_user(walk.interpreter + layout.threads_head, u64) or 0
        walk.interpreter = read_user(walk.interpreter + layout.interpreter_next, u64) or 0
        return 0
    if (read_user(walk.thread + layout.thread_id, u64) or 0) == wanted:
        return 1
    walk.thread = read_user(walk.thread + layout.thread_next, u64) or 0
    return 0


@subprogram
def find_thread(walk: PythonWalk, process: Process) -> u32:
    """The state of the thread that runs, into walk.thread: 1 when it has one."""
    layout = layouts.get(process.python)
    if layout is None:
        return 0
    tid = current.tid
    wanted: u64 = current.task.thread.fsbase  # what pthread_self() gives: where the thread's own storage is
    known = threads.get(tid)
    if known is not None:
        walk.thread = known
        if (read_user(walk.thread + layout.thread_id, u64) or 0) == wanted:
            return 1
    walk.interpreter = read_user(process.runtime + layout.interpreters_head, u64) or 0
    walk.thread = 0
    for _ in range(MOST_THREADS):
        found = next_thread(walk, layout, wanted)
        if found == 1:
            threads[tid] = walk.thread
            return 1
        if found == 2:
            return 0
    return 0


@subprogram
def read_text(text: Text, layout: Layout, address: u64) -> u32:
    """Copy a str; of one that is too long its end."""
    text.length = 0
    found = read_user(address + 16, u64)
    state = read_user(address + 32, u32)
    if found is None or state is None or found > 1 << 20:
        return 0
    size: u64 = (state >> 2) & 7
    header: u64 = layout.ascii_size
    if (state >> 6) & 1 == 0:
        header = layout.compact_size
    skipped: u64 = 0
    if found * size > 120:
        skipped = (found * size - 120) & ~u64(3)
    if not copy_user(text.data, address + header + skipped):
        return 0
    text.state = state
    text.length = u32(found)
    return 1


@subprogram
def name_mark(layout: Layout, code: u64) -> u64:
    """What tells a function's name from another that was at the same address: where it stands, and its end."""
    qualname = read_user(code + layout.qualname, u64) or 0
    begin = read_user(qualname + STR_LENGTH, Begin)
    if begin is None:
        return 0
    mark: u64 = ((qualname * MIXED) ^ begin.length) * MIXED ^ begin.hash
    data: u64 = qualname + layout.ascii_size
    if begin.length >= 8:
        return mark * MIXED ^ (read_user(data + begin.length - 8, u64) or 0)
    shown: u64 = read_user(data, u64) or 0
    return mark * MIXED ^ (shown & ((1 << begin.length * 8) - 1))


@subprogram
def remember(walk: PythonWalk, layout: Layout, code: u64) -> u64:
    """Keep a function's name, file and line, the first time it is seen; its mark.

    Code objects come and go (those of modules, once they are imported), and others take their place.
    """
    qualname = read_user(code + layout.qualname, u64) or 0
    filename = read_user(code + layout.filename, u64) or 0
    line = u32(read_user(code + layout.first_line, i32) or 0)
    mark: u64 = (((name_mark(layout, code) ^ filename) * MIXED ^ line) * MIXED) >> MARK_SHIFT << MARK_SHIFT
    walk.key.address = code | mark
    if qualname == 0 or codes.get(walk.key) is not None:
        return mark
    walk.code.line = line
    read_text(walk.code.name, layout, qualname)
    read_text(walk.code.file, layout, filename)
    codes[walk.key] = walk.code
    return mark


@subprogram
def frame_step(walk: PythonWalk, layout: Layout, place: u32) -> u32:
    """One frame outwards: 0 to go on, 1 at the outermost, 2 where memory cannot be read."""
    frame: u64 = walk.frame
    if frame == 0:
        return 1
    owner = read_user(frame + layout.owner, u8)
    executable = read_user(frame + layout.executable, u64)
    previous = read_user(frame + layout.previous, u64)
    if owner is None or executable is None or previous is None:
        return 2
    walk.frame = previous
    count = walk.count
    if owner >= NATIVE_OWNER:
        # It stands for the C function that called what was pushed after it.
        last = u32(count - 1)
        if last < DEPTH:
            walk.stack.frames[last] |= ENTRY
        return 0
    code: u64 = executable & ~u64(7)  # lower bits are marks of references, from 3.14 on
    if layout.is_entry != 0:
        code |= (read_user(frame + layout.is_entry, u8) or 0) & ENTRY
    if count >= DEPTH:
        return 2
    if count < MARKED:
        walk.identity = (walk.identity ^ name_mark(layout, code & ~u64(ENTRY))) * MIXED
    walk.stack.frames[count] = code
    walk.count = count + 1
    return 0


@subprogram
def remember_all(walk: PythonWalk, process: Process, pid: u32) -> u32:
    """Keep the names of a stack that is new (others are known), and mark its frames by function."""
    layout = layouts.get(process.python)
    if layout is None:
        return 0
    walk.key.pid = pid
    walk.key.life = process.life
    for place in range(DEPTH):
        if place >= walk.count:
            break
        frame = walk.stack.frames[place]
        walk.stack.frames[place] = frame | remember(walk, layout, frame & ~u64(ENTRY))
    return walk.count


@subprogram
def python_stack(walk: PythonWalk, process: Process) -> u32:
    """Write the Python stack of the thread at walk.thread; how many frames it has."""
    layout = layouts.get(process.python)
    if layout is None:
        return 0
    start: u64 = walk.thread
    if layout.cframe != 0:
        start = read_user(start + layout.cframe, u64) or 0
    walk.frame = read_user(start + layout.current_frame, u64) or 0
    walk.count = 0
    walk.identity = process.life
    walk.stack.flags = CUT
    for place in range(DEPTH):
        ended = frame_step(walk, layout, place)
        if ended != 0:
            walk.stack.flags = UNREADABLE
            if ended == 1:
                walk.stack.flags = 0
            break
    return walk.count
