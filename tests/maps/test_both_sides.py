"""Every map type: the same object in the program and on this side, in the kernel and in the userspace machine."""
from __future__ import annotations

import os
import socket
import time
from typing import Any

import pytest

import bpfwright
from bpfwright import (Atomic, Config, CUnion, Kernel, L, SpinLock, Struct, Userspace, array, attach, char, i64, shared,
                       u8, u16, u32, u64)
from bpfwright.errors import MapFull, SessionError, UsageError, WrongType
from bpfwright.headers import Ethernet, IPv4, IPv6, TCP, UDP
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint, xdp
from bpfwright.maps import (Array, ArrayOfMaps, Bloom, CpuMap, DevMap, Hash, HashOfMaps, LpmTrie, LruHash, PerCpuArray,
                            PerCpuHash, PerfEventArray, ProgArray, Queue, RingBuf, Stack, TaskStorage, Timer)
from bpfwright.vmlinux import task_struct

MACHINES = [pytest.param("kernel", marks=pytest.mark.kernel), pytest.param("interpreter", marks=pytest.mark.userspace),
            pytest.param("jit", marks=pytest.mark.userspace)]
PACKET = Ethernet() / IPv4(source="192.0.2.7") / UDP(sport=5, dport=9)

here: Any = None


@pytest.fixture(params=MACHINES, autouse=True)
def machine(request: pytest.FixtureRequest) -> Any:
    """The machine that `load` loads into: each test runs on all of them, unless it says why not."""
    global here
    name = request.param
    here = Kernel() if name == "kernel" else Userspace(engine=name, cpus=os.cpu_count() or 1)
    if name != "kernel":
        here.become(comm=open_comm())
    yield here
    here.close()
    here = None


def load(*programs: Any, **options: Any) -> Any:
    return bpfwright.load(*programs, machine=here, **options)


def let_pass(seconds: float) -> None:
    """Real time in the kernel, the machine's own elsewhere."""
    if isinstance(here, Userspace):
        here.advance(int(seconds * 1e9))
    else:
        time.sleep(seconds)


class Entry(Struct):
    count: u64
    name: char[L[8]]


class Key(Struct):
    a: u32
    b: u8


class Out(Struct):
    a: i64
    b: i64
    c: i64


out = shared(Out(0, 0, 0))
table = Hash[u32, Entry](max_entries=4)
numbers = Hash[u32, u64](max_entries=4)
by_struct = Hash[Key, u16](max_entries=4)
by_name = Hash[char[L[16]], u64](max_entries=16)


@xdp.program
def hashes(ctx: xdp.Context) -> xdp.Action:
    entry = table.get(1)
    if entry is not None:
        entry.count += 5
        entry.name = "in"
    out.a = 1 if 2 in table else 0
    out.b = 1 if table.insert(3, Entry(9, "made")) else 0
    numbers.increment(7)
    numbers.increment(7, by=3)
    gone = numbers.pop(8, None)
    out.c = -1 if gone is None else i64(gone)
    by_struct[Key(1, 2)] = 77
    by_name[current.comm] = 1
    return xdp.PASS


def test_hashes() -> None:
    with load(hashes) as program:
        table[1] = Entry(10, "out")
        numbers[8] = 88
        program.test(PACKET)
        assert table[1] == Entry(15, "in") and table[3] == Entry(9, "made")
        assert (out.a, out.b, out.c) == (0, 1, 88)
        assert dict(numbers.items()) == {7: 4}
        assert by_struct[Key(1, 2)] == 77
        assert list(by_name) == [open_comm()]
        assert sorted(table) == [1, 3] and len(table) == 2 and 1 in table and 9 not in table
        assert table.pop(1) == Entry(15, "in") and table.pop(1, None) is None
        with pytest.raises(KeyError):
            del table[1]
        with pytest.raises(WrongType):
            table["x"] = Entry(1, "x")  # type: ignore[index]
        with pytest.raises(WrongType):
            table[1] = Entry(1, "much too long")
        frozen = table[3]
        with pytest.raises(WrongType, match="frozen copy"):
            frozen.count = 4


def open_comm() -> str:
    with open("/proc/self/comm") as file:
        return file.read().strip()


@xdp.program
def filling(ctx: xdp.Context) -> xdp.Action:
    for i in range(10):
        numbers[i] = i
    return xdp.PASS


def test_a_full_map_counts_inside_and_raises_outside() -> None:
    with load(filling) as program:
        program.test(PACKET)
        assert len(numbers) == 4 and numbers.lost == 6
        with pytest.raises(MapFull):
            numbers[99] = 1
        assert numbers.insert(99, 1) is False


def test_iteration_survives_deletes() -> None:
    big = Hash[u32, u64](max_entries=4096)

    @xdp.program
    def names(ctx: xdp.Context) -> xdp.Action:
        big.increment(1 << 20)
        return xdp.PASS

    with load(names):
        for i in range(3000):
            big[i] = i
        seen = set()
        for key in big:
            seen.add(key)
            del big[key]
        assert seen == set(range(3000)) and len(big) == 0


lru = LruHash[u32, u64](max_entries=16)
per_cpu = PerCpuHash[u32, Entry](max_entries=8)
per_cpu_array = PerCpuArray[Entry](max_entries=2)


@xdp.program
def per_cpus(ctx: xdp.Context) -> xdp.Action:
    mine = per_cpu.local(1)
    if mine is None:
        per_cpu[1] = Entry(1, "new")
    else:
        mine.count += 1
    first = per_cpu_array.local(0)
    first.count += 2
    lru.increment(u32(now_ns() % 100))
    return xdp.PASS


def test_per_cpu_and_lru() -> None:
    with load(per_cpus) as program:
        for _ in range(50):
            program.test(PACKET)
        assert per_cpu[1].total().count == 50 and len(per_cpu[1]) == os.cpu_count()
        assert per_cpu_array[0].total().count == 100 and per_cpu_array[1].total().count == 0
        assert 0 < len(lru) <= 16 * 2
        with pytest.raises(IndexError):
            per_cpu_array[2]


flags = Array[Entry](max_entries=4)


@xdp.program
def arrays(ctx: xdp.Context) -> xdp.Action:
    entry = flags.get(1)
    if entry is not None:
        entry.count += 1
    if flags.get(4) is not None:
        return xdp.ABORTED
    flags[2] = Entry(7, "two")
    total = 0
    for value in flags.values():
        total += value.count
    out.a = i64(total)
    return xdp.PASS


def test_arrays() -> None:
    with load(arrays) as program:
        flags[1] = Entry(41, "one")
        assert program.test(PACKET).action is xdp.PASS
        assert flags[1].count == 42 and flags[2] == Entry(7, "two") and flags[-1].count == 0
        assert out.a == 49 and len(list(flags)) == 4 and flags.get(9) is None


nets = LpmTrie[IPv4.Address, Entry](max_entries=16)
nets6 = LpmTrie[IPv6.Address, Entry](max_entries=16)


@xdp.program
def tries(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is not None:
        entry = nets.get(ip.source)
        if entry is not None:
            entry.count += 1
    six = ctx.find(IPv6)
    if six is not None:
        entry6 = nets6.get(six.source)
        if entry6 is not None:
            entry6.count += 1
    return xdp.PASS


def test_tries() -> None:
    with load(tries) as program:
        nets["192.0.0.0/16"] = Entry(0, "wide")
        nets["192.0.2.0/24"] = Entry(0, "narrow")
        nets6["2001:db8::/32"] = Entry(0, "six")
        program.test(PACKET)
        program.test(Ethernet() / IPv6(source="2001:db8::9", destination="::1") / UDP())
        assert nets["192.0.2.0/24"].count == 1 and nets["192.0.0.0/16"].count == 0
        assert nets6["2001:db8::/32"].count == 1
        match = nets.match("192.0.9.9")
        assert match is not None and match.name == "wide"
        with pytest.raises(KeyError):
            nets["192.0.2.0/25"]
        assert sorted(map(str, nets)) == ["192.0.0.0/16", "192.0.2.0/24"]
        with pytest.raises(UsageError):
            nets["192.0.2.0/33"] = Entry(0, "")


queue = Queue[u32](max_entries=2)
stack = Stack[Entry](max_entries=4)
bloom = Bloom[u32](max_entries=64)


@xdp.program
def keyless(ctx: xdp.Context) -> xdp.Action:
    first = queue.pop()
    out.a = -1 if first is None else i64(first)
    out.b = 1 if queue.push(5) else 0
    top = stack.peek()
    out.c = -1 if top is None else i64(top.count)
    stack.push(Entry(8, "x"))
    if 7 in bloom and 8 not in bloom:
        return xdp.TX
    bloom.add(9)
    return xdp.PASS


def test_keyless_maps() -> None:
    with load(keyless) as program:
        assert program.test(PACKET).action is xdp.PASS
        assert (out.a, out.b, out.c) == (-1, 1, -1)
        assert queue.pop() == 5 and queue.pop() is None
        assert queue.push(1) and queue.push(2) and not queue.push(3)
        bloom.add(7)
        assert 9 in bloom and 7 in bloom
        assert program.test(PACKET).action is xdp.TX
        assert (out.a, out.c) == (1, 8) and stack.pop() == Entry(8, "x")


class Backend(Struct):
    address: IPv4.Address
    port: u16


services = HashOfMaps[u32, Array[Backend]](max_entries=4, inner=Array[Backend](max_entries=4))
slots = ArrayOfMaps[Hash[u32, u64]](max_entries=2, inner=Hash[u32, u64](max_entries=8))


@xdp.program
def nested(ctx: xdp.Context) -> xdp.Action:
    backends = services.get(80)
    if backends is None:
        return xdp.DROP
    backend = backends.get(1)
    if backend is None:
        return xdp.DROP
    out.a = backend.port
    if backend.address == "10.0.0.1":
        out.b = 1
    counts = slots.get(0)
    if counts is not None:
        counts.increment(5)
    return xdp.PASS


def test_maps_of_maps() -> None:
    with load(nested) as program:
        assert program.test(PACKET).action is xdp.DROP
        backends = Array[Backend](max_entries=4)
        backends[1] = Backend("10.0.0.1", 8080)
        services[80] = backends
        counts = Hash[u32, u64](max_entries=8)
        slots[0] = counts
        assert program.test(PACKET).action is xdp.PASS
        assert (out.a, out.b) == (8080, 1) and counts[5] == 1
        assert services[80] is backends
        del services[80]
        assert program.test(PACKET).action is xdp.DROP


def test_a_forgotten_inner_map_is_not_taken_for_the_next() -> None:
    with load(nested) as session:
        for number in range(50):
            made = Hash[u32, u64](max_entries=8)  # often at the address of the one before
            binding = session._provide(made)
            assert made.handle is binding.handle and len(made) == 0
            made[number] = 1
            del made


stages = ProgArray[xdp.Context](max_entries=4)


@xdp.program
def second(ctx: xdp.Context) -> xdp.Action:
    return xdp.TX


@xdp.program
def first(ctx: xdp.Context) -> xdp.Action:
    stages.tail_call(ctx, 1)
    return xdp.ABORTED


def test_tail_calls() -> None:
    with load(first, second) as session:
        assert session.test_of(first, PACKET).action is xdp.ABORTED
        stages[1] = second
        assert 1 in stages and session.test_of(first, PACKET).action is xdp.TX
        del stages[1]
        assert session.test_of(first, PACKET).action is xdp.ABORTED


devices = DevMap(max_entries=4)
cpus = CpuMap(max_entries=4)


@xdp.program
def redirecting(ctx: xdp.Context) -> xdp.Action:
    if ctx.length > 100:
        return xdp.redirect(cpus, 0)
    return xdp.redirect(devices, 1)


def test_device_and_cpu_maps() -> None:
    with load(redirecting) as program:
        devices[1] = "lo"
        cpus[0] = 64
        assert devices[1] == "lo" and list(devices) == [1] and cpus[0] == 64
        assert program.test(PACKET).action is xdp.Action.REDIRECT


class Mine(Struct):
    calls: u64


per_task = TaskStorage[Mine]()


@raw_tracepoint.program("sys_enter")
def storing(ctx: raw_tracepoint.Context, regs: u64, number: i64) -> None:
    if number == 39:  # getpid
        state = per_task.get_or_create(current.task)
        if state is not None:
            state.calls += 1


@pytest.mark.parametrize("machine", MACHINES[:1], indirect=True)  # attaches; Userspace is fed: tests/userspace
def test_task_storage() -> None:
    with attach(storing):
        fd = os.pidfd_open(os.getpid())
        try:
            assert per_task.of(fd) is None or per_task.of(fd).calls >= 0
            before = per_task.of(fd)
            for _ in range(3):
                os.getpid()
            after = per_task.of(fd)
            assert after is not None and after.calls >= (before.calls if before else 0) + 3
        finally:
            os.close(fd)


class Lease(Struct):
    hits: u64
    timer: Timer[u32, "Lease"] = Timer()


leases = Hash[u32, Lease](max_entries=16)


def expire(key: u32, lease: Lease) -> None:
    out.a = i64(lease.hits) + key
    leases.pop(key, None)


@xdp.program
def leasing(ctx: xdp.Context) -> xdp.Action:
    lease = leases.get(7)
    if lease is None:
        leases[7] = Lease(0)
        return xdp.PASS
    lease.hits += 1
    lease.timer.start(leases, expire, after_ns=1_000_000)
    return xdp.TX


def test_timers() -> None:
    with load(leasing) as program:
        assert program.test(PACKET).action is xdp.PASS
        assert program.test(PACKET).action is xdp.TX
        for _ in range(100):
            if not len(leases):
                break
            let_pass(0.01)
        assert len(leases) == 0 and out.a == 8


class Bucket(Struct):
    tokens: u64
    taken: u32
    lock: SpinLock = SpinLock()


buckets = Hash[u32, Bucket](max_entries=4)
lru_buckets = LruHash[u32, Bucket](max_entries=16)


@xdp.program
def locking(ctx: xdp.Context) -> xdp.Action:
    bucket = buckets.get(1)
    if bucket is None:
        return xdp.ABORTED
    with bucket.lock:
        if bucket.tokens == 0:
            return xdp.DROP
        bucket.tokens -= 1
        bucket.taken *= 2
    return xdp.PASS


@xdp.program
def locking_lru(ctx: xdp.Context) -> xdp.Action:
    bucket = lru_buckets.get(1)
    if bucket is None:
        return xdp.ABORTED
    with bucket.lock:
        if bucket.tokens == 0:
            return xdp.DROP
        bucket.tokens -= 1
    return xdp.PASS


def test_spin_locks() -> None:
    with load(locking) as program:
        buckets[1] = Bucket(2, 1)
        assert [program.test(PACKET).action for _ in range(3)] == [xdp.PASS, xdp.PASS, xdp.DROP]
        assert buckets[1].taken == 4
    with load(locking_lru) as program:
        lru_buckets[1] = Bucket(2, 1)
        assert [program.test(PACKET).action for _ in range(3)] == [xdp.PASS, xdp.PASS, xdp.DROP]


class Totals(Struct):
    passed: Atomic[u64]
    dropped: u64
    small: Atomic[u32]


totals = shared(Totals(5, 0, 0))


@xdp.program
def atomics(ctx: xdp.Context) -> xdp.Action:
    before = totals.passed.fetch_add(3)
    totals.passed += 1
    totals.dropped |= 6
    totals.dropped &= 3
    totals.dropped ^= 1
    out.a = i64(before)
    out.b = i64(totals.small.exchange(9))
    out.c = i64(totals.small.compare_exchange(9, 11))
    return xdp.PASS if totals.passed.value == 9 else xdp.DROP


def test_atomics_and_shared_memory() -> None:
    with load(atomics) as program:
        assert program.test(PACKET).action is xdp.PASS
        assert totals.passed.value == 9 and totals.dropped == 3 and totals.small.value == 11
        assert (out.a, out.b, out.c) == (5, 0, 9)
        totals.passed.exchange(0)
        assert program.test(PACKET).action is xdp.DROP


class Limits(Config):
    most: u64 = 5
    verbose: bool = False
    mark: u16 = 0x1234


limits = Limits()


@xdp.program
def configured(ctx: xdp.Context) -> xdp.Action:
    out.a = i64(limits.most)
    out.b = limits.mark
    return xdp.TX if limits.verbose else xdp.PASS


def test_config() -> None:
    with load(configured) as program:
        assert program.test(PACKET).action is xdp.PASS and (out.a, out.b) == (5, 0x1234)
    with load(configured, config=Limits(most=9, verbose=True)) as program:
        assert program.test(PACKET).action is xdp.TX and out.a == 9
    with pytest.raises(WrongType):
        Limits(most=-1)
    with pytest.raises(WrongType):
        limits.most = 3  # type: ignore[misc]


class Either(CUnion):
    word: u32
    octets: array[u8, L[4]]


@xdp.program
def unions(ctx: xdp.Context) -> xdp.Action:
    either = Either()
    either.word = 0x01020304
    out.a = either.octets[0]
    either.octets[3] = 9
    out.b = either.word
    total = 0
    for octet in either.octets:
        total += octet
    out.c = total
    return xdp.PASS


def test_unions_and_arrays() -> None:
    with load(unions) as program:
        program.test(PACKET)
        assert (out.a, out.b, out.c) == (4, 0x09020304, 4 + 3 + 2 + 9)


perf = PerfEventArray[Entry]()


@xdp.program
def by_perf(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS if perf.emit(ctx, Entry(5, "perf")) else xdp.DROP


def test_perf_event_array() -> None:
    with load(by_perf) as program:
        events = program.events(perf)
        assert program.test(PACKET).action is xdp.PASS
        assert list(events.within(0.05)) == [Entry(5, "perf")] and events.lost == 0


def test_two_sessions_and_none() -> None:
    with pytest.raises(SessionError, match="no session"):
        table[1] = Entry(1, "")
    with load(hashes) as one, load(hashes) as two:
        with pytest.raises(SessionError, match="two sessions"):
            table[1] = Entry(1, "")
        one[table][1] = Entry(1, "one")
        two[table][1] = Entry(2, "two")
        one.test(PACKET)
        assert one[table][1].count == 6 and two[table][1].count == 2
        assert one[out].b == 1 and two[out].b == 0
    with pytest.raises(SessionError):
        table[1] = Entry(1, "")


def test_many_rounds_leak_no_descriptor() -> None:
    with load(hashes):
        pass
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with load(hashes) as program:
            program.test(PACKET)
        with pytest.raises(Exception):  # noqa: B017
            load(failing)
    assert len(os.listdir("/proc/self/fd")) == before


@xdp.program
def failing(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS + undefined  # type: ignore[name-defined, no-any-return]  # noqa: F821


_ = (socket, TCP, task_struct, RingBuf)


class Loan(Struct):
    last: u64
    timer: Timer[u32, "Loan"] = Timer()


loans = Hash[u32, Loan](max_entries=2)
IDLE_NS = 40_000_000


def look_again(key: u32, loan: Loan) -> None:
    idle = now_ns() - loan.last
    if idle < IDLE_NS:
        out.b += 1
        loan.timer.again(after_ns=IDLE_NS - idle)
    else:
        loans.discard(key)


@xdp.program
def lending(ctx: xdp.Context) -> xdp.Action:
    if loans.insert(7, Loan(now_ns()), only_new=True):
        loan = loans.get(7)
        if loan is not None:
            loan.timer.start(loans, look_again, after_ns=IDLE_NS)
        return xdp.PASS
    known = loans.get(7)
    if known is not None:
        known.last = now_ns()
    return xdp.TX


def test_what_is_there_is_not_stored_anew_and_a_timer_looks_again() -> None:
    with load(lending) as program:
        assert program.test(PACKET).action is xdp.PASS
        for _ in range(4):
            let_pass(0.02)
            assert program.test(PACKET).action is xdp.TX
        assert len(loans) == 1 and out.b >= 1
        for _ in range(100):
            if not len(loans):
                break
            let_pass(0.01)
        assert len(loans) == 0
        assert loans.insert(1, Loan(5), only_new=True) and not loans.insert(1, Loan(6), only_new=True)
        assert loans[1].last == 5
