"""What surrounds programs in the userspace machine, and what of theirs lies outside of it: routes, time, records."""
from __future__ import annotations

import struct
from typing import Any

import pytest

import bpfwright
from bpfwright import Struct, Userspace, i64, shared, u32, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import current, now_ns, random_u32
from bpfwright.hooks import xdp
from bpfwright.maps import DevMap, Hash, LruHash, PerfEventArray, Timer
from bpfwright.spec.objects import MapSpec
from bpfwright.userspace.routing import Fib, Route
from bpfwright.userspace.world import Redirect
from tests.userspace.machines import TC, XDP, everywhere, program, run
from tests.userspace.test_helpers import FOUR, SIX, call, words

pytestmark = pytest.mark.userspace


@pytest.fixture(params=["interpreter", "jit"])
def machine(request: pytest.FixtureRequest) -> Any:
    with Userspace(engine=request.param) as found:
        yield found


def load(*programs: Any, **options: Any) -> Any:
    return bpfwright.load(*programs, **options)


def answer(machine: Userspace, kind: int, body: str, packet: bytes = FOUR, **options: Any) -> tuple[int, bytes]:
    """(what the helper gave, the 56 bytes behind it)."""
    seen = run(machine, program(kind, body, value="0", **options), packet, b"")
    return struct.unpack_from("<q", seen.out)[0], seen.out[8:]


FIB = Fib([Route("0.0.0.0/0", 2, via="192.0.2.1"), Route("10.0.0.0/8", 3), Route("10.9.0.0/16", kind="blackhole"),
           Route("2001:db8::/32", 5, via="fe80::1"), Route("172.16.0.0/12", 7)],
          neighbours={"192.0.2.1": "02:00:00:00:00:01", "10.1.2.3": "02:00:00:00:00:02",
                      "fe80::1": "02:00:00:00:00:03"},
          interfaces={2: "02:00:00:00:01:02", 3: "02:00:00:00:01:03"}, mtus={3: 9000})


@pytest.mark.parametrize("target,length,result,ifindex,mac", [
    ("198.51.100.9", 100, 0, 2, "020000000001"), ("10.1.2.3", 8000, 0, 3, "020000000002"), ("10.1.2.4", 1, 7, 3, ""),
    ("10.9.1.1", 1, 1, 0, ""), ("198.51.100.9", 1501, 8, 0, ""), ("172.16.0.1", 1, 7, 7, "")])
def test_fib_lookup(machine: Any, target: str, length: int, result: int, ifindex: int, mac: str) -> None:
    machine.fib = FIB
    wanted = IPv4.Address(target).packed
    params = bytearray(64)
    params[0], params[6:8], params[32:36] = 2, length.to_bytes(2, "little"), wanted
    puts = words(*struct.unpack("<8Q", params), at=-136)
    body = puts + "\n" + call(69, "fp-136", 64, 0) + "\n" + "\n".join(
        f"ldxdw %r1, [%r10-{136 - at}]\nstxdw [%r10-{56 - i * 8}], %r1" for i, at in enumerate((8, 48, 56, 32)))
    found, out = answer(machine, XDP, body)
    assert found == result
    if result in (0, 7):
        assert int.from_bytes(out[:4], "little") == ifindex
    if mac:
        assert out[18:24].hex() == mac
    machine.fib = None
    assert answer(machine, XDP, body)[0] == 4  # nothing is forwarded


def test_check_mtu(machine: Any) -> None:
    machine.fib = FIB
    body = "stw [%r10-56], 0\n"
    assert answer(machine, XDP, body + call(163, 2, "fp-56", 0, 0)) == (0, (1500).to_bytes(4, "little") + bytes(52))
    assert answer(machine, XDP, body + call(163, 2, "fp-56", 1500, 0))[0] == 1
    assert answer(machine, XDP, body + call(163, 3, "fp-56", 1500, 0))[0] == 0
    assert answer(machine, XDP, body + call(163, 2, "fp-56", 0, 4))[0] == -22


devices = DevMap(max_entries=4)


@xdp.program
def sending(ctx: xdp.Context) -> xdp.Action:
    return xdp.redirect(devices, 1)


def test_redirects_are_kept(machine: Any) -> None:
    with load(sending, machine=machine) as session:
        assert session.test(FOUR).action is xdp.ABORTED and not machine.redirects
        devices.handle.update((1).to_bytes(4, "little"), (7).to_bytes(4, "little"))
        assert session.test(FOUR).action is xdp.Action.REDIRECT
        assert list(machine.redirects) == [Redirect("redirect_map", 1, 0, "devices")]
    machine.redirects.clear()
    run(machine, program(TC, call(23, 5, 1, first=""), value="%r7"), FOUR, b"")
    run(machine, program(TC, call(13, 6, 0), value="0"), FOUR, b"")
    run(machine, program(TC, call(23, 5, 1, first=""), value="0"), FOUR, b"")  # which does not return it
    assert list(machine.redirects) == [Redirect("redirect", 5, 1), Redirect("clone_redirect", 6, 0, "", FOUR)]


def test_effects_outside_are_kept(machine: Any) -> None:
    assert answer(machine, 26, call(109, 9, first=""))[0] == 0
    assert answer(machine, 26, call(117, 10, first=""))[0] == 0
    assert answer(machine, 26, call(109, 65, first=""))[0] == -22
    assert list(machine.signals) == [(9, True), (10, False)]
    assert answer(machine, 2, call(58, -13))[0] == 0
    assert list(machine.overridden) == [-13]
    sockaddr = words(2 | 0x5000 << 16 | 0x0100007F << 32, 0)
    assert answer(machine, 18, sockaddr + "\n" + call(64, "fp-56", 16))[0] == 0
    assert [each[:8].hex() for each in machine.bound] == ["020000507f000001"]
    assert answer(machine, 18, words(5) + "\n" + call(49, 1, 2, "fp-56", 4))[0] == 0
    assert answer(machine, 18, call(57, 1, 2, "fp-56", 4)) == (0, b"\5" + bytes(55))
    assert answer(machine, 18, words(-1) + "\n" + call(57, 1, 9, "fp-56", 8)) == (-22, bytes(56))


def test_printed(machine: Any) -> None:
    form = words(int.from_bytes(b"port %d\0", "little"))
    answer(machine, XDP, form + "\n" + call(6, 8, 443, first="mov %r1, %r10\nadd %r1, -56"))
    assert list(machine.printed) == ["port 443"]


def test_who_runs(machine: Any) -> None:
    machine.become(pid=100, tid=101, uid=1000, gid=50, comm="a long name of a task", cgroup_id=9,
                   ancestors=(1, 4))
    assert answer(machine, XDP, call(14, first=""))[0] == 100 << 32 | 101
    assert answer(machine, XDP, call(15, first=""))[0] == 50 << 32 | 1000
    assert answer(machine, XDP, call(16, 16, first="mov %r1, %r10\nadd %r1, -56"))[1][:16] == b"a long name of \0"
    assert [answer(machine, XDP, call(123, level, first=""))[0] for level in range(4)] == [1, 4, 9, 0]
    assert answer(machine, XDP, call(80, first=""))[0] == 9
    groups = (MapSpec("groups", 8, 4, 4, 2),)
    asking = "MAP %r1, groups\nmov %r2, 0\ncall 37"

    def put(number: int) -> int:
        spec = program(XDP, asking, value="0", maps=groups)
        seen = run(machine, spec, FOUR, b"", lambda loaded: loaded.maps["groups"].update(
            bytes(4), number.to_bytes(4, "little")))
        return int(struct.unpack_from("<q", seen.out)[0])

    assert (put(9), put(4), put(5)) == (1, 1, 0)


class Out(Struct):
    a: u64
    b: u64
    c: i64


out = shared(Out(0, 0, 0))


class Lease(Struct):
    hits: u64
    timer: Timer[u32, "Lease"] = Timer()


leases = Hash[u32, Lease](max_entries=16)


def expire(key: u32, lease: Lease) -> None:
    out.a = out.a * 10 + key
    out.b = now_ns()
    lease.hits += 10


@xdp.program
def leasing(ctx: xdp.Context) -> xdp.Action:
    lease = leases.get(ctx.rx_queue)
    if lease is None:
        return xdp.DROP
    lease.timer.start(leases, expire, after_ns=lease.hits * 1_000_000)
    return xdp.PASS


def start(session: Any, key: int) -> None:
    context = struct.pack("<6I", 0, len(FOUR), 0, 1, key, 0)
    session.loaded.programs["leasing"].test_run(FOUR, context=context)


def test_timers_fire_in_their_order(machine: Any) -> None:
    with load(leasing, machine=machine) as session:
        for key, hits in ((3, 1), (1, 2), (2, 1), (4, 1)):
            leases[key] = Lease(hits)
            start(session, key)
        assert machine.advance(500_000) == 0
        del leases[2]
        leases[4] = Lease(1)  # its timer is gone: what is written anew has none
        began = machine.now_ns
        assert machine.advance(600_000) == 1 and out.a == 3
        assert began <= out.b <= began + 600_000
        start(session, 1)  # starting again moves the time
        assert machine.advance(1_900_000) == 0 and machine.advance(200_000) == 1 and out.a == 31
        assert leases[1].hits == 12 and machine.advance(1 << 40) == 0
        assert bytes(leases.handle.lookup((1).to_bytes(4, "little"))[8:24]) == bytes(16)


class Record(Struct):
    number: u64


perf = PerfEventArray[Record](pages=1)


@xdp.program
def counting(ctx: xdp.Context) -> xdp.Action:
    out.a += 1
    return xdp.PASS if perf.emit(ctx, Record(out.a)) else xdp.DROP


def test_perf_buffers_count_what_is_lost(machine: Any) -> None:
    with load(counting, machine=machine) as session:
        assert session.test(FOUR).action is xdp.DROP  # nobody reads
        events = session.events(perf)
        for _ in range(400):
            session.test(FOUR)
        first = [event.number for event in events]
        assert first == list(range(2, 2 + len(first))) and 100 < len(first) < 400
        session.test(FOUR)
        assert [event.number for event in events] == [402] and events.lost == 400 - len(first)
        for _ in range(1000):  # round and round the buffer
            session.test(FOUR)
            assert len(list(events)) == 1


def test_packets_in_perf_records(machine: Any) -> None:
    from bpfwright.events import PerfReader
    for kind in (XDP, TC):
        body = words(7) + f"\nmov %r1, %r6\nMAP %r2, perf\nlddw %r3, {20 << 32 | 0xFFFFFFFF}\nmov %r4, %r10\n" \
               "add %r4, -56\nmov %r5, 8\ncall 25"
        loaded = machine.load(program(kind, body, value="1", maps=(MapSpec("perf", 4, 4, 4, 0),)))
        reader = PerfReader(loaded.maps["perf"].perf_buffers(1), 28)
        assert loaded.programs["main"].test_run(FOUR).value == 1
        assert [record[:28] for record in reader.records()] == [(7).to_bytes(8, "little") + FOUR[:20]]
        reader.close()
        loaded.close()


seen = LruHash[u32, u64](max_entries=8)


@xdp.program
def drawing(ctx: xdp.Context) -> xdp.Action:
    for _ in range(20):
        seen.increment(random_u32() & 63)
    out.a = now_ns()
    out.b = random_u32()
    out.c = current.tid
    return xdp.PASS


def test_runs_are_reproducible() -> None:
    found = []
    for engine, seed in (("interpreter", 5), ("jit", 5), ("interpreter", 5), ("interpreter", 6)):
        with Userspace(engine=engine, seed=seed) as machine, load(drawing, machine=machine) as session:
            session.test(FOUR)
            session.test(FOUR)
            found.append((out.a, out.b, dict(seen.items())))
    assert found[0] == found[1] == found[2] != found[3]




FLOW = "ldxdw %r7, [%r6+144]\n" + "\n".join(
    f"ldx{size} %r1, [%r7+{at}]\nstx{size} [%r10-{56 - at}], %r1" for at, size in
    ((0, "h"), (2, "h"), (4, "h"), (6, "b"), (10, "h"), (12, "h"), (48, "w"))) + """
sth [%r7+2], 9999
sth [%r7+0], 20
stb [%r7+9], 6
mov %r0, 0
"""


@pytest.mark.kernel
@pytest.mark.parametrize("packet", [FOUR, SIX])
def test_flow_dissectors(packet: bytes) -> None:
    body = FLOW.replace("%r7", "%r9")
    found = everywhere(program(22, body, value="0"), packet)
    assert found["interpreter"] == found["kernel"] and found["jit"] == found["kernel"]



