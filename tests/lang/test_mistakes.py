"""Every mistake has its own sentence, its place with a caret, and one suggestion."""
from __future__ import annotations

import linecache

import pytest

from bpfwright.errors import CompileError
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.target import OLDEST, Target

NEWEST = Target()
HEAD = """\
from enum import IntEnum
from bpfwright import (Atomic, Config, CUnion, L, SpinLock, Struct, array, be16, bits, char, exists, i32, i64, log, ptr,
                       shared, subprogram, u8, u16, u32, u64)
from bpfwright.headers import IPv4, IPv6, TCP, UDP, Ethernet
from bpfwright.helpers import address_of, current, judged_alone, now_ns, rcu, task_from_pid, kfunc, external, whole_packet
from bpfwright.hooks import kprobe, perf_event, xdp, tc, raw_tracepoint, tracepoint, socket_filter
from bpfwright.maps import Array, Hash, LpmTrie, LruHash, PerCpuArray, PerCpuHash, ProgArray, Queue, RingBuf, StackTrace, TaskStorage, Timer
from bpfwright.tracepoints.syscalls import sys_exit_getpid
from bpfwright.vmlinux import task_struct
from bpfwright.types import KernelStruct
class Blocked(Struct):
    packets: u64
    small: u8
class Open(Struct):
    pid: u32
    path: char[L[16]]
class Wide(Struct):
    text: char[L[200]]
wide = Hash[u32, Wide](max_entries=8)
class Bucket(Struct):
    tokens: u64
    lock: SpinLock = SpinLock()
class Numbers(Struct):
    many: array[u64, L[8]]
class Totals(Struct):
    seen: Atomic[u64]
    plain: u64
class Verdict(IntEnum):
    LET = 0
    STOP = 1
class Limits(Config):
    most: u64 = 5
class task(KernelStruct, type="task_struct"):
    tgid: i32
    comm: char[L[16]]
class Either(CUnion):
    a: u32
    b: u64
limits = Limits()
totals = shared(Totals(0, 0))
table = Hash[u32, Blocked](max_entries=8)
counts = Hash[u32, u64](max_entries=8)
verdicts = Hash[u32, Verdict](max_entries=8)
buckets = Hash[u32, Bucket](max_entries=8)
nets = LpmTrie[IPv4.Address, Blocked](max_entries=8)
numbers = Array[Numbers](max_entries=4)
opens = RingBuf[Open](size_bytes=4096)
local = PerCpuArray[u64](max_entries=4)
stages = ProgArray[xdp.Context](max_entries=4)
seen = TaskStorage[Blocked]()
names = {"a": 1}
factor = 1.5
def forever(n):
    return forever(n - 1)
def many(*args):
    return 1
@subprogram
def six(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64:
    return a
@judged_alone
def judged(a: Blocked) -> u64:
    return 1
@subprogram
def silent(a: u64):
    return a
@subprogram
def textual(a: u64) -> Blocked:
    return Blocked(a, 0)
def two(a, b):
    return a + b
@kfunc
def bpf_untyped(task) -> i32: external()
@kfunc
def bpf_task_from_pid(pid: i32) -> task_struct | None: external()
class Lease(Struct):
    hits: u64
    timer: Timer[u32, Lease] = Timer()
leases = Hash[u32, Lease](max_entries=8)
def expire(key: u32, lease: Lease) -> None:
    leases.pop(key, None)
def moved(ctx):
    return ctx.adjust_head(4)
def moved_below(ctx):
    return moved(ctx)
@subprogram
def late_context(a: u64, c: xdp.Context) -> u64:
    return a
@subprogram
def third(a: u64) -> u64:
    return a // 3
@subprogram
def s7(a: u64) -> u64:
    n = a
    for k in counts.keys():
        n += k
    return n
@subprogram
def s6(a: u64) -> u64: return s7(a + 1) * 3
@subprogram
def s5(a: u64) -> u64: return s6(a + 1) * 3
@subprogram
def s4(a: u64) -> u64: return s5(a + 1) * 3
@subprogram
def s3(a: u64) -> u64: return s4(a + 1) * 3
@subprogram
def s2(a: u64) -> u64: return s3(a + 1) * 3
@subprogram
def s1(a: u64) -> u64: return s2(a + 1) * 3
"""

# name: (body of an XDP program that has `ip`, what the sentence says)
XDP = {
    "unknown name": ("x = ipp", "the name 'ipp' is not known"),
    "address of a packet's context": ("x = address_of(ctx)", "address_of() takes an object of the kernel"),
    "maybe unset": ("if ctx.length > 5:\n        x = 1\n    if x: pass", "x may not be set here"),
    "signed and unsigned": ("x = now_ns()\n    if ctx.length > 5:\n        x = -1", "x was u64 and would become"),
    "none header": ("t = ctx.find(TCP)\n    x = t.dport", "may be None"),
    "none entry": ("entry = table.get(1)\n    entry.packets += 1", "may be None"),
    "none in arithmetic": ("n = counts.get(1)\n    x = n + 1", "may be None"),
    "none compared": ("n = counts.get(1)\n    if n > 3: pass", "may be None"),
    "none stored": ("counts[1] = counts.get(2)", "may be None"),
    "is with number": ("if ctx.length is limits: pass", "compares with None"),
    "equals none": ("e = table.get(1)\n    if e == None: pass", "compared with `is`"),
    "never none": ("if ctx.length is None: pass", "never None"),
    "unknown header field": ("x = ip.sorce", "has no field 'sorce'"),
    "unknown struct field": ("e = table.get(1)\n    if e is None: return xdp.PASS\n    e.packts += 1", "no field 'packts'"),
    "unknown context field": ("x = ctx.lenght", "has no 'lenght'"),
    "method not called": ("x = ctx.find", "is a method"),
    "unknown action": ("return xdp.PAS", "no attribute 'PAS'"),
    "number as action": ("return 2", "returns Action"),
    "other hook's action": ("return tc.OK", "returns Action"),
    "no return": ("if ctx.length > 3:\n        return xdp.PASS\n    # falls off\n    x = 1", None),
    "float": ("x = 1.5", "no floating point"),
    "captured float": ("x = factor", "no floating point"),
    "true division": ("x = ctx.length / 2", "gives a float"),
    "augmented true division": ("x = ctx.length\n    x /= 2", "gives a float"),
    "division by maybe zero": ("x = 10 // ctx.length", "may be zero"),
    "modulo by maybe zero": ("x = 10 % ctx.length", "may be zero"),
    "negative shift": ("x = 1 << (ctx.length - 70000)", "may be negative"),
    "variable exponent": ("x = 2 ** ctx.length", "exponent must be a constant"),
    "huge constant": ("x = 0x1_0000_0000_0000_0000", "does not fit 64 bits"),
    "mixed signs": ("a: i64 = i64(now_ns())\n    x = now_ns() // (a | 1) if a != 0 else 0", None),
    "list": ("x = [1, 2]", "no lists"),
    "dict": ("x = {1: 2}", "no dicts"),
    "set": ("x = {1, 2}", "no sets"),
    "captured dict": ("x = names", "is a dict"),
    "comprehension": ("x = [i for i in range(3)]", "no comprehensions"),
    "generator": ("x = sum(i for i in range(3))", "generator expression"),
    "lambda": ("f = lambda n: n", "a lambda cannot be compiled"),
    "nested def": ("def f(): pass", "function inside a program"),
    "nested class": ("class C: pass", "class inside a program"),
    "try": ("try:\n        x = 1\n    except ValueError:\n        pass", "no exceptions"),
    "raise": ("raise ValueError", "no exceptions"),
    "assert": ("assert ctx.length", "no exceptions"),
    "import": ("import os", "an import inside a program"),
    "global": ("global names", "memory that the kernel does not share"),
    "del local": ("x = 1\n    del x", "only a map's entry"),
    "del entry": ("del table[1]", "raises KeyError"),
    "item of hash": ("x = table[1]", "raises KeyError"),
    "yield": ("x = yield 1", "cannot yield"),
    "star": ("x = two(*(1, 2))", "unpacking"),
    "double star": ("x = two(**{})", "unpacking"),
    "slice": ("e = numbers.get(1)\n    if e is None: return xdp.PASS\n    x = e.many[1:3]", "slices"),
    "two targets": ("x = y = 1", "one target at a time"),
    "declaration only": ("x: u32", "without a value"),
    "unknown annotation": ("x: uint = 1", "annotation 'uint'"),
    "int annotation": ("x: int = 1", "int has no width"),
    "for else": ("for i in range(3):\n        pass\n    else:\n        x = 1", "`else` after a loop"),
    "while else": ("while ctx.length:\n        break\n    else:\n        x = 1", "`else` after a loop"),
    "break outside": ("break", None),
    "for over number": ("for i in ctx.length: pass", "cannot walk"),
    "range step zero": ("for i in range(0, 5, 0): pass", "step must be a constant other than 0"),
    "print": ("print(1)", "print() cannot be called"),
    "sorted": ("x = sorted((1, 2))", "sorted() cannot be called"),
    "str": ("x = str(5)", "cannot be made in a kernel program"),
    "recursion": ("x = forever(3)", "calls itself"),
    "star args": ("x = many(1)", "takes *args"),
    "too many arguments": ("x = two(1, 2, 3)", "takes 2 arguments"),
    "missing argument": ("x = two(1)", "'b' is missing"),
    "unknown argument": ("x = two(1, c=2)", "no argument 'c'"),
    "a record given to who is judged alone": ("x = judged(Blocked(1, 2))", "takes integers only, and a packet's context"),
    "six arguments": ("x = six(1, 2, 3, 4, 5, 6)", "at most 5 arguments"),
    "untyped subprogram": ("x = silent(1)", "does not say what it returns"),
    "struct from subprogram": ("x = textual(1)", "returns an integer"),
    "struct member missing": ("table[1] = Blocked(1)", "small is missing"),
    "struct member unknown": ("table[1] = Blocked(packets=1, smal=2)", "no member 'smal'"),
    "struct member twice": ("table[1] = Blocked(1, packets=2, small=1)", "given twice"),
    "struct too many": ("table[1] = Blocked(1, 2, 3)", "takes 2 values"),
    "union arguments": ("x = Either(1)", "takes 0 values"),
    "constant too large": ("table[1] = Blocked(1, 300)", "300 does not fit u8"),
    "negative into unsigned": ("counts[1] = -1", "-1 does not fit u64"),
    "wrong value": ("table[1] = 3", "does not fit Blocked"),
    "wrong key": ("table['x'] = Blocked(1, 2)", "does not fit u32"),
    "address key": ("x = nets.get(5)", "does not fit"),
    "other address": ("six_ = ctx.find(IPv6)\n    if six_ is None: return xdp.PASS\n    x = nets.get(six_.source)", "does not fit"),
    "text too long": ("opens.emit(Open(1, 'a text of more than sixteen bytes'))", "does not fit char[16]"),
    "other enum": ("verdicts[1] = xdp.DROP", "does not fit Verdict"),
    "number as enum": ("verdicts[1] = 1", "does not fit Verdict"),
    "index too large": ("e = numbers.get(1)\n    if e is None: return xdp.PASS\n    x = e.many[8]", "index 8 of an array of 8"),
    "index unknown": ("e = numbers.get(1)\n    if e is None: return xdp.PASS\n    x = e.many[ctx.length]", "may be outside 0..7"),
    "config assigned": ("limits.most = 3", "frozen when the program loads"),
    "config member": ("x = limits.mots", "no member 'mots'"),
    "narrow atomic": ("e = table.get(1)\n    if e is None: return xdp.PASS\n    e.small += 1", "cannot be atomic"),
    "product in shared memory": ("totals.plain *= 3", "is not atomic"),
    "atomic read plainly": ("if totals.seen > 3: pass", "do not compare"),
    "lock as statement": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    e.lock = 1", "belongs to the kernel"),
    "lock twice": ("e = buckets.get(1)\n    f = buckets.get(2)\n    if e is None or f is None: return xdp.PASS\n    with e.lock:\n        with f.lock:\n            e.tokens = 1", "a lock is already held"),
    "with number": ("with ctx.length:\n        pass", "cannot stand in a `with`"),
    "reserve without with": ("x = opens.reserve()", "belongs into a `with`"),
    "items without for": ("x = table.items()", "belongs into a `for`"),
    "reserve unchecked": ("with opens.reserve() as e:\n        e.pid = 1", "may be None"),
    "log of number": ("log(5)", "takes an f-string"),
    "log of struct": ("log(f'{ip}')", "cannot be logged"),
    "f-string as value": ("x = f'{ctx.length}'", "can only be logged"),
    "text joined": ("x = current.comm + 'x'", "cannot be joined"),
    "name changes type": ("x = 1\n    x = ip", "would become"),
    "types differ by path": ("x = ip if ctx.length > 3 else 5", "one type"),
    "shared struct as annotation": ("x: totals = 1", "is not a C type"),
    "map as test": ("if table: return xdp.DROP", "has no truth value"),
    "map as negated test": ("not table", "has no truth value"),
    "map in a conditional": ("x = 1 if counts and ip.ttl else 2", "has no truth value"),
    "no effect": ("ctx.length == 3", "no effect"),
    "assign to constant": ("xdp.PASS = 3", None),
    "match on none": ("match ctx.length:\n        case None: pass", "never None"),
    "match on list": ("match ctx.length:\n        case [1, 2]: pass", "tuple pattern"),
    "match positional": ("match ctx.find(TCP, UDP):\n        case TCP(80): pass\n        case _: pass", "matched by name"),
    "match wrong class": ("match ctx.find(TCP, UDP):\n        case IPv4(): pass\n        case _: pass", "is never a IPv4"),
    "find of number": ("x = ctx.find(5)", "takes header classes"),
    "find of struct": ("x = ctx.find(Blocked)", "takes header classes"),
    "tail call without context": ("stages.tail_call(1, 1)", "first argument is the program's context"),
    "increment of struct": ("table.increment(1)", "increment() needs values"),
    "pop with default": ("x = counts.pop(1, 5)", "gives None for what is missing"),
    "len of map": ("x = len(table)", "is not known in the kernel"),
    "exists of packet": ("x = exists(ip.ttl)", "asks for a field of a kernel struct"),
    "call of number": ("n = 5\n    x = n()", "cannot be called"),
    "async with": ("async def f(): pass", "inside a program"),
    "matrix product": ("x = ctx.length @ 3", "has no meaning here"),
    "header after adjusting": ("if not ctx.adjust_head(-4): return xdp.DROP\n    x = ip.ttl", "the packet may have moved"),
    "call in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        e.tokens = now_ns()", "nothing may be called while a spin lock is held"),
    "header after maybe adjusting": ("if ctx.length > 100 and ctx.adjust_head(4): return xdp.PASS\n    ip.ttl = 3", "the packet may have moved since ip"),
    "header after adjusting in an expression": ("y = ctx.adjust_head(4) if ctx.length > 100 else False\n    ip.ttl = 3", "the packet may have moved since ip"),
    "header after adjusting in a loop's test": ("while ctx.adjust_head(4):\n        return xdp.DROP\n    ip.ttl = 3", "the packet may have moved since ip"),
    "header in the next round": ("for i in range(5):\n        ip.ttl = 3\n        ok = ctx.adjust_head(1)", "the packet may have moved since ip"),
    "header after a function that adjusts": ("ok = moved_below(ctx)\n    ip.ttl = 3", "the packet may have moved since ip"),
    "header after a guard that adjusts": ("match ctx.length:\n        case 5 if ctx.adjust_head(2): pass\n        case _: ip.ttl = 3", "the packet may have moved since ip"),
    "options walked while adjusting": ("p = ctx.find(TCP)\n    if p is None: return xdp.PASS\n    for o in p.options: ok = ctx.adjust_tail(2)", "the packet moves while this is walked"),
    "argument adjusted away": ("x = two(ip, ctx.adjust_head(1))", "the packet moves before this is used"),
    "current in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        e.tokens = current.cpu", "nothing may be called while a spin lock"),
    "item in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        e.tokens = local[0]", "nothing may be called while a spin lock"),
    "store in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        counts[1] = 3", "nothing may be called while a spin lock"),
    "membership in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        if 3 in counts: e.tokens = 1", "nothing may be called while a spin lock"),
    "walk in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        for k in counts: e.tokens = k", "nothing may be called while a spin lock"),
    "log in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        log(f'{ctx.length}')", "nothing may be called while a spin lock"),
    "reserve in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        with opens.reserve() as r:\n            e.tokens = 1", "nothing may be called while a spin lock"),
    "kernel function in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        x = bpf_task_from_pid(1)", "nothing may be called while a spin lock"),
    "subprogram in lock": ("e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        e.tokens = third(e.tokens)", "is a @subprogram, which nothing may call while a spin lock"),
    "tail call with a record": ("with opens.reserve() as r:\n        stages.tail_call(ctx, 1)", "a ring record is held here"),
    "tail call in rcu": ("with rcu():\n        stages.tail_call(ctx, 1)", "the RCU read lock is held here"),
    "tail call with a task": ("with task_from_pid(1) as held:\n        stages.tail_call(ctx, 1)", "a task is held here"),
    "tail call with a reference": ("held = bpf_task_from_pid(1)\n    stages.tail_call(ctx, 1)", "held is a reference that is held"),
    "context given second": ("x = late_context(1, ctx)", "takes the context first"),
    "nine frames": ("if s1(ctx.length) > 7: return xdp.DROP", None),
    "kfunc without type": ("x = bpf_untyped(1)", "has no type"),
}


# name: (a program whose wrong line ends in a mark, what the sentence says)
WHOLE = {
    "call in a function that a lock's body inlines": ("""
def later():
    return now_ns()  # here
@xdp.program
def program(ctx: xdp.Context) -> xdp.Action:
    e = buckets.get(1)
    if e is not None:
        with e.lock:
            e.tokens = later()
    return xdp.PASS""", "nothing may be called while a spin lock"),
    "tail call in a function that is inlined": ("""
def onward(ctx):
    stages.tail_call(ctx, 1)  # here
@xdp.program
def program(ctx: xdp.Context) -> xdp.Action:
    with task_from_pid(1) as held:
        onward(ctx)
    return xdp.PASS""", "a task is held here"),
    "header after writing in tc": ("""
@tc.program
def program(ctx: tc.Context) -> tc.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return tc.OK
    with whole_packet(ctx) as view:
        ok = view.write(0, Blocked(1, 2))
    counts[1] = ip.ttl  # here
    return tc.OK""", "the packet may have moved since ip"),
    "lock in a raw tracepoint": ("""
@raw_tracepoint.program("sys_enter", btf=False)
def program(ctx: raw_tracepoint.Context) -> None:
    e = buckets.get(1)
    if e is not None:
        with e.lock:  # here
            e.tokens = 1""", "a raw tracepoint without BTF may use no map whose values hold a SpinLock"),
    "lock in a kprobe": ("""
@kprobe.program("do_sys_openat2")
def program(ctx: kprobe.Context) -> None:
    e = buckets.get(1)
    if e is not None:
        with e.lock:  # here
            e.tokens = 1""", "a kprobe or uprobe may use no map whose values hold a SpinLock"),
    "a map with a lock, left alone": ("""
@tracepoint.program
def program(ctx: sys_exit_getpid) -> None:
    e = buckets.get(1)  # here
    if e is not None:
        e.tokens = 1""", "a tracepoint may use no map whose values hold a SpinLock"),
    "lock in a socket filter": ("""
@socket_filter.program
def program(ctx: socket_filter.Context) -> int:
    e = buckets.get(1)
    if e is not None:
        with e.lock:  # here
            e.tokens = 1
    return 1""", "a socket filter may use no map whose values hold a SpinLock"),
    "timer in a tracepoint": ("""
@tracepoint.program
def program(ctx: sys_exit_getpid) -> None:
    e = leases.get(1)
    if e is not None:
        e.timer.start(leases, expire, after_ns=1)  # here""", "a tracepoint may use no map whose values hold a Timer"),
    "frames that are too large together": ("""
class Small(Struct):
    text: char[80]
small = Hash[u32, Small](max_entries=8)
""" + "".join(f"""
@subprogram
def f{n}(a: u64) -> u64:
    made = Small("f{n}")
    small[u32(a)] = made
    return {f"f{n + 1}(a) + a" if n < 6 else "a + 1"}""" for n in reversed(range(7))) + """
@xdp.program
def program(ctx: xdp.Context) -> xdp.Action:  # here
    return xdp.PASS if f0(ctx.length) else xdp.DROP""", "f5 and f6 need"),
    "task_from_pid in a socket filter": ("""
@socket_filter.program
def program(ctx: socket_filter.Context) -> int:
    with task_from_pid(1) as found:  # here
        return 1 if found is not None else 0""", "a socket filter may not call task_from_pid()"),
    "kernel function in a kprobe": ("""
@kprobe.program("do_sys_openat2")
def program(ctx: kprobe.Context) -> None:
    found = bpf_task_from_pid(1)  # here""", "a kprobe or uprobe may not call bpf_task_from_pid()"),
    "kernel function in XDP": ("""
class bpf_cpumask(KernelStruct):
    usage: u32
@kfunc
def bpf_cpumask_create() -> bpf_cpumask | None: external()
@xdp.program
def program(ctx: xdp.Context) -> xdp.Action:
    mask = bpf_cpumask_create()  # here
    return xdp.PASS""", "an XDP program may not call bpf_cpumask_create()"),
    "timer in a perf event": ("""
@perf_event.program
def program(ctx: perf_event.Context) -> None:
    e = leases.get(1)
    if e is not None:
        e.timer.cancel()  # here""", "a perf event may use no map whose values hold a Timer"),
}


def compile_body(body: str, target: Target = NEWEST) -> None:
    text = HEAD + f"""
@xdp.program
def program(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    {body}
    return xdp.PASS
"""
    compile_text(text, target)


def compile_text(text: str, target: Target = NEWEST) -> None:
    file = f"<mistake {abs(hash(text))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, object] = {"__name__": "mistakes"}
    exec(compile(text, file, "exec"), space)
    compile_programs([space["program"]], target, cached=False)  # type: ignore[list-item]


@pytest.mark.parametrize("name", [n for n, (_, says) in XDP.items() if says])
def test_mistake(name: str) -> None:
    body, says = XDP[name]
    with pytest.raises(CompileError) as caught:
        compile_body(body)
    error = caught.value
    assert says is not None and says in error.what, error.what
    assert error.line > (0 if name == "recursion" else HEAD.count("\n"))
    assert error.source.strip() and 0 <= error.column < len(error.source)
    assert error.cure, f"no suggestion: {error.what}"
    assert "\n" not in error.what
    shown = str(error).splitlines()
    assert shown[2].strip("^ ") == "" and "^" in shown[2]


# A body of an XDP program that Linux 5.10 could not run, and what the sentence says (None: it can).
OLD = {
    "x = totals.seen.fetch_add(1)\n    if x > 5: return xdp.DROP": "fetch_add() is an atomic instruction since Linux 5.12",
    "totals.seen.fetch_or(1)": "fetch_or() is an atomic instruction since Linux 5.12",
    "totals.seen.exchange(1)": "exchange() is an atomic instruction since Linux 5.12",
    "totals.seen.compare_exchange(1, 2)": "compare_exchange() is an atomic instruction since Linux 5.12",
    "totals.seen |= 1": "`|=` on memory that CPUs share is an atomic instruction since Linux 5.12",
    "totals.plain ^= 1": "`^=` on memory that CPUs share is an atomic instruction since Linux 5.12",
    "totals.seen.fetch_add(1)": None,
    "totals.seen -= 1": None,
}


@pytest.mark.parametrize("body", OLD)
def test_atomics_that_old_kernels_lack(body: str) -> None:
    says = OLD[body]
    compile_body(body)
    if says is None:
        compile_body(body, OLDEST)
        return
    with pytest.raises(CompileError) as caught:
        compile_body(body, OLDEST)
    assert says in caught.value.what and "--target here" in caught.value.cure and caught.value.source


@pytest.mark.parametrize("name", WHOLE)
def test_mistake_on_its_line(name: str) -> None:
    text, says = WHOLE[name]
    with pytest.raises(CompileError) as caught:
        compile_text(HEAD + text)
    error = caught.value
    assert says in error.what and error.cure and error.source.endswith("# here"), str(error)


def test_nine_frames() -> None:
    with pytest.raises(CompileError) as caught:
        compile_body(XDP["nine frames"][0])
    assert "9 functions on the stack, and the kernel allows 8" in caught.value.what
    assert caught.value.source.strip() == "for k in counts.keys():"


def test_there_are_eighty() -> None:
    assert len({says for _, says in XDP.values() if says}) >= 80 and len(XDP) >= 100
