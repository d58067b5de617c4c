"""What dropping a packet costs, by sets of many sizes and a policy of 1,000 rules: ours beside C and four others.

    sudo .venv/bin/python bench/firewall.py [--quick] [--rounds N] [--frames N] [--sizes 10,1000]

Frames go through a pair of veths in a namespace of its own, each from an address of the set by chance; the far end
drops them. A figure is the sending thread's CPU time for a frame less that of the floor, an XDP program that drops
whatever comes: making and sending a frame is in both. Contestants take turns, and each round proves by counters of
their own that every frame was dropped by the set. nftables and iptables get frames that the kernel first makes packets
of the stack of, as they always do; the veth's GRO is on, without which live frames are not taken.

ours: `hash` and `prefix` are the least programs (a header, a look-up, a count), the same as in C by clang beside them,
on the same memory laid out by us; `facet` is the whole firewall facet with one rule. The policy has four shapes of
rules, 250 of each: source and TCP port range; source and destination; destination and UDP port; destination and port
range. nftables has them as four concatenated interval sets, the best that it can be given.
"""
from __future__ import annotations

import argparse
import ipaddress
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bench import measuring
from bpfwright import Struct, attach, load, objfile, u32, u64
from bpfwright._host import thread_cpu_ns
from bpfwright.datapath.configuration import read
from bpfwright.datapath.facet import Scene
from bpfwright.datapath.generation import plan_of
from bpfwright.datapath.places import interface
from bpfwright.datapath.prefixes import Content, PrefixTable
from bpfwright.facets.blast import Blaster, Frames, Options
from bpfwright.facets.firewall.facet import FACET
from bpfwright.headers import UDP, Ethernet, IPv4
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from bpfwright.maps import Array, Hash, PerCpuArray

LEFT, RIGHT = "left", "right"
BASE = 0x0A000000  # 10.0.0.0: every second address is in a set, so that no two of them join into a range
HERE = Path(__file__).parent
MOST_OF_NFT = 100_000  # beyond, a set takes minutes to be filled
MOST_SINGLE = 1000  # elements of xdp-filter, a process each
POOL = 1 << 20  # addresses that are looked up in turn: more than any cache holds
SIZES = (10, 1000, 10_000, 1_000_000)
LOOKUP_BAR, HASH_BAR, PREFIX_BAR, LINEAR_BAR, POLICY_BAR, TIME_BAR = 150.0, 3.0, 2.0, 50.0, 5.0, 1.02


class Count(Struct):
    packets: u64


class Running(NamedTuple):
    """A contestant at the far end: how many packets it dropped (-1: it does not count), its program if it has one."""

    dropped: Callable[[], int]
    program: Any = None


class Turn(Struct):
    number: u64
    hits: u64


class Pair(Struct):
    high: u64
    low: u64


class Way(NamedTuple):
    """A contestant: how it is put at the far end, which gives how many packets it dropped so far."""

    name: str
    at: Callable[[], Any]


# ours


def hash_program(size: int) -> tuple[Any, Any, Any]:
    blocked = Hash[IPv4.Address, u32](max_entries=size)
    dropped = PerCpuArray[Count](max_entries=1)

    @xdp.program
    def dropping(ctx: xdp.Context) -> xdp.Action:
        ip = ctx.find(IPv4)
        if ip is None or ip.source not in blocked:
            return xdp.PASS
        dropped.local(0).packets += 1
        return xdp.DROP

    return dropping, blocked, dropped


def prefix_program(table: PrefixTable) -> tuple[Any, Any]:
    dropped = PerCpuArray[Count](max_entries=1)
    find = table.find4

    @xdp.program
    def dropping(ctx: xdp.Context) -> xdp.Action:
        ip = ctx.find(IPv4)
        if ip is None or find(int(ip.source)) == 0:
            return xdp.PASS
        dropped.local(0).packets += 1
        return xdp.DROP

    return dropping, dropped


@xdp.program
def nothing_but_drop(ctx: xdp.Context) -> xdp.Action:
    return xdp.DROP


def addresses(size: int) -> Any:
    return (BASE + 2 * numpy.arange(size, dtype=numpy.uint64)).astype(numpy.uint64)


def columns(size: int) -> tuple[Any, Any, Any, Any]:
    return (numpy.zeros(size, numpy.uint64), addresses(size) | numpy.uint64(0xFFFF << 32),
            numpy.full(size, 128, numpy.uint8), numpy.ones(size, numpy.uint32))


@contextmanager
def floor() -> Iterator[Running]:
    with attach(nothing_but_drop, xdp.Interface(RIGHT)) as session:
        yield Running(lambda: -1, session.program(nothing_but_drop))


@contextmanager
def our_hash(size: int) -> Iterator[Running]:
    program, blocked, dropped = hash_program(size)
    with attach(program, xdp.Interface(RIGHT)) as session:
        session[blocked].update_columns(addresses(size).astype(">u4"), numpy.ones(size, "<u4"))
        yield Running(lambda: sum(each.packets for each in session[dropped][0]), session.program(program))


@contextmanager
def our_prefix(size: int) -> Iterator[Running]:
    table = PrefixTable(four=size)
    program, dropped = prefix_program(table)
    with attach(program, xdp.Interface(RIGHT)) as session, Content(table, session.__getitem__) as content:
        content.write(*columns(size))
        yield Running(lambda: sum(each.packets for each in session[dropped][0]), session.program(program))


@contextmanager
def facet(text: str) -> Iterator[Running]:
    section = read(text, "bench.yaml").section("firewall")
    assert section is not None
    part = FACET.build(FACET.read(section), Scene({RIGHT: None}, None))
    plan = plan_of({"firewall": part})
    with attach(plan.made[0].program, xdp.Interface(RIGHT)) as session:
        assert part.fill is not None and part.rows is not None
        part.fill(session.__getitem__)
        rows = part.rows
        yield Running(lambda: sum(row["packets"] for row in rows(session.__getitem__) if row.get("action") == "drop"))


@contextmanager
def our_facet(size: int) -> Iterator[Running]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(str(ipaddress.IPv4Address(int(each))) for each in addresses(size)))
        file.flush()
        with facet(f"firewall:\n  sets: {{bad: {{file: {file.name}}}}}\n  rules:\n    - name: bad\n      match: "
                   "{source: '@bad'}\n      action: drop\n") as count:
            yield count


# C


def c_object(*options: str) -> Any:
    from bench.code_quality import FLAGS, compilers
    name, words = next(iter(compilers().items()))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "drop.o")
        subprocess.run([*words, *FLAGS, *options, "-c", str(HERE / "drop.c"), "-o", str(made)], check=True)
        return objfile.read(made.read_bytes(), name)


@contextmanager
def c_program(spec: Any, fill: Callable[[Any], None]) -> Iterator[Running]:
    with Kernel() as kernel:
        loaded = kernel.load(spec)
        try:
            fill(loaded.maps)
            (program,) = loaded.programs.values()
            dropped = loaded.maps["dropped"]
            with kernel.xdp(program, RIGHT):
                yield Running(lambda: sum(numpy.frombuffer(dropped.lookup(bytes(4)) or b"", "<u8").tolist()), program)
        finally:
            loaded.close()


@contextmanager
def c_hash(size: int) -> Iterator[Running]:
    def fill(maps: Any) -> None:
        keys = addresses(size).astype(">u4")
        maps["blocked"].update_batch(keys, numpy.ones(size, "<u4"), size)

    with c_program(c_object("-DBY_HASH", f"-DENTRIES={size}"), fill) as count:
        yield count


def c_prefix_options(table: PrefixTable) -> list[str]:
    return [f"-DBITS={table.bits4}", f"-DLINES={table.maps['lines4'].max_entries}",
            f"-DWIDE={table.maps['wide4'].max_entries}"]


@contextmanager
def c_prefix(size: int) -> Iterator[Running]:
    table = PrefixTable(four=size)

    def fill(maps: Any) -> None:
        names = {id(table.maps[f"{name}4"]): name for name in ("cells", "lines", "wide")}

        class Bound:
            def __init__(self, declared: Any) -> None:
                self.handle = maps[names[id(declared)]]
                self.max_entries = declared.max_entries

        with Content(table, Bound) as content:
            content.write(*columns(size))

    with c_program(c_object(*c_prefix_options(table)), fill) as count:
        yield count


# others


def nft(text: str) -> None:
    done = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"nft: {done.stderr[:300]}")


def nft_count() -> int:
    found = subprocess.run(["nft", "list", "counters"], capture_output=True, text=True).stdout
    return sum(int(line.split()[1]) for line in found.splitlines() if "packets" in line)


@contextmanager
def nft_table(sets: str, rules: str) -> Iterator[Running]:
    nft(f"table netdev bench {{\n counter dropped {{}}\n{sets}\n chain ingress {{ type filter hook ingress "
        f"device {RIGHT} priority 0; policy accept;\n{rules}\n }}\n}}\n")
    try:
        yield Running(nft_count)
    finally:
        nft("delete table netdev bench\n")


@contextmanager
def nft_set(size: int, interval: bool) -> Iterator[Running]:
    flags = "flags interval;" if interval else ""
    elements = ",".join(str(ipaddress.IPv4Address(int(each))) for each in addresses(size))
    with nft_table(f" set bad {{ type ipv4_addr; {flags} elements = {{ {elements} }} }}",
                   "  ip saddr @bad counter name dropped drop") as count:
        yield count


@contextmanager
def iptables_raw(size: int) -> Iterator[Running]:
    rules = "\n".join(f"-A PREROUTING -s {ipaddress.IPv4Address(int(each))} -j DROP" for each in addresses(size))
    subprocess.run(["iptables-legacy-restore"], input=f"*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n{rules}\nCOMMIT\n",
                   text=True, check=True, capture_output=True)

    def count() -> int:
        lines = subprocess.run(["iptables-legacy", "-t", "raw", "-nvxL", "PREROUTING"], capture_output=True,
                               text=True).stdout.splitlines()[2:]
        return sum(int(line.split()[0]) for line in lines)

    try:
        yield Running(count)
    finally:
        subprocess.run(["iptables-legacy", "-t", "raw", "-F"], check=True)


@contextmanager
def xdp_filter(size: int) -> Iterator[Running]:
    subprocess.run(["xdp-filter", "load", "-m", "native", "-p", "allow", "-f", "ipv4", RIGHT], check=True,
                   capture_output=True)
    try:
        for each in addresses(size):
            subprocess.run(["xdp-filter", "ip", "-m", "src", str(ipaddress.IPv4Address(int(each)))], check=True,
                           capture_output=True)

        def count() -> int:
            lines = subprocess.run(["xdp-filter", "status"], capture_output=True, text=True).stdout.splitlines()
            return sum(int(line.split()[1]) for line in lines if line.strip().startswith("XDP_DROP"))

        yield Running(count)
    finally:
        subprocess.run(["xdp-filter", "unload", RIGHT], check=True, capture_output=True)


# the policy


def policy(draw: random.Random) -> dict[str, list[tuple[Any, ...]]]:
    """Four shapes of 250 rules each; in a shape no two overlap, for nftables' sets do not take that."""
    networks = [f"10.{n >> 8}.{n & 255}.0/24" for n in draw.sample(range(0x1000), 750)]
    hosts = [f"10.200.{n >> 8}.{n & 255}" for n in draw.sample(range(0x4000), 250)]
    ranges = [(port, port + draw.choice((0, 5, 40))) for port in (draw.randint(1, 60_000) for _ in range(500))]
    return {
        "a": [(networks[n], *ranges[n]) for n in range(250)],
        "b": [(networks[250 + n], f"10.200.{n // 16}.{n % 16 * 16}/28") for n in range(250)],
        "c": [(hosts[n], draw.randint(1, 65_000)) for n in range(250)],
        "d": [(f"10.201.{n}.0/24", *ranges[250 + n]) for n in range(250)],
    }


def policy_text(rules: dict[str, list[tuple[Any, ...]]]) -> str:
    lines = ["firewall:", "  shadowed: allow", "  rules:"]
    matches = [f"source: {s}, protocol: tcp, destination-port: {low}-{high}" for s, low, high in rules["a"]]
    matches += [f"source: {s}, destination: {d}" for s, d in rules["b"]]
    matches += [f"destination: {d}, protocol: udp, destination-port: {port}" for d, port in rules["c"]]
    matches += [f"destination: {d}, destination-port: {low}-{high}" for d, low, high in rules["d"]]
    lines += [f"    - {{name: r{n}, match: {{{match}}}, action: drop}}" for n, match in enumerate(matches)]
    return "\n".join([*lines, "    - {name: rest, action: drop}", ""])


@contextmanager
def nft_policy(rules: dict[str, list[tuple[Any, ...]]]) -> Iterator[Running]:
    shapes = {"a": "ipv4_addr . inet_service", "b": "ipv4_addr . ipv4_addr", "c": "ipv4_addr . inet_service",
              "d": "ipv4_addr . inet_service"}
    elements = {
        "a": [f"{s} . {low}-{high}" for s, low, high in rules["a"]], "b": [f"{s} . {d}" for s, d in rules["b"]],
        "c": [f"{d} . {port}" for d, port in rules["c"]], "d": [f"{d} . {low}-{high}" for d, low, high in rules["d"]]}
    sets = "\n".join(f" set {name} {{ type {shapes[name]}; {'' if name == 'c' else 'flags interval;'} elements = "
                     f"{{ {', '.join(each)} }} }}" for name, each in elements.items())
    text = """  ip saddr . tcp dport @a counter name dropped drop
  ip saddr . ip daddr @b counter name dropped drop
  ip daddr . udp dport @c counter name dropped drop
  ip daddr . th dport @d counter name dropped drop
  counter name dropped drop"""
    with nft_table(sets, text) as count:
        yield count


POLICY_FRAMES = ("Ethernet() / IPv4(source=random('10.0.0.0/12'), destination=random('10.200.0.0/15')) / "
                 "{}(sport=9, dport=random(range(1, 60001)))")


# measuring


def send(frames: Frames, count: int) -> float:
    with Blaster(frames, Options(LEFT, frames=count)) as blaster:
        report = blaster.finish()
    if report.sent != count:
        raise SystemExit(f"{report.sent} of {count} frames were sent")
    return report.cpu_ns


def measured(ways: list[Way], frames: Frames, rounds: int, count: int) -> dict[str, list[float]]:
    """Each way's ns for a frame above the floor's of the same round."""
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    for turn in range(rounds):
        shift = turn % len(ways)
        costs: dict[str, float] = {}
        for way in ways[shift:] + ways[:shift]:
            with way.at() as running:
                send(frames, 16_384)
                before = running.dropped()
                costs[way.name] = send(frames, count)
                came = running.dropped() - before
                if before >= 0 and came != count:
                    raise SystemExit(f"{way.name}: {came} of {count} frames were dropped by it")
        for name, cost in costs.items():
            found[name].append(cost)
    base = statistics.median(found["floor"])
    return {name: [cost - base for cost in costs] for name, costs in found.items()}


def drop_ways(size: int) -> list[Way]:
    ways = [Way("floor", floor), Way("ours, hash", lambda: our_hash(size)), Way("C, hash", lambda: c_hash(size)),
            Way("ours, prefix", lambda: our_prefix(size)), Way("C, prefix", lambda: c_prefix(size)),
            Way("ours, facet", lambda: our_facet(size))]
    if size <= MOST_OF_NFT:
        ways += [Way("nft, hash set", lambda: nft_set(size, False)),
                 Way("nft, interval set", lambda: nft_set(size, True))]
    if size <= 10_000 and shutil.which("iptables-legacy"):
        ways.append(Way("iptables raw", lambda: iptables_raw(size)))
    if size <= MOST_SINGLE and shutil.which("xdp-filter"):
        ways.append(Way("xdp-filter", lambda: xdp_filter(size)))
    return ways


def drops(size: int, rounds: int, count: int) -> tuple[str, dict[str, float]]:
    text = (f"Ethernet(destination='{interface(RIGHT).mac.hex(':')}') / IPv4(destination='198.19.0.1', "
            f"source=random(range({BASE}, {BASE + 2 * size}, 2))) / UDP(sport=9, dport=9)")
    frames = Frames.of(text, length=60)
    found = measured(drop_ways(size), frames, rounds, count)
    middle = {name: statistics.median(costs) for name, costs in found.items()}
    rows = [(name, min(costs), middle[name], middle[name] / max(middle["ours, prefix"], 0.1))
            for name, costs in found.items()]
    return measuring.table((f"{size:,} entries", "best ns", "median ns", "to ours, prefix"), rows), middle


def writing(size: int) -> str:
    """How long a table takes to be written into fresh maps."""
    table = PrefixTable(four=size + 100)
    program, _ = prefix_program(table)
    with attach(program, xdp.Interface(RIGHT)) as session, Content(table, session.__getitem__) as content:
        given = columns(size)
        began, cpu = time.perf_counter(), time.process_time()
        content.write(*given)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        began = time.perf_counter()
        for number in range(100):
            content.put(f"11.0.{number}.0/24")
        one = (time.perf_counter() - began) / 100
    return (f"{size:,} prefixes written into fresh maps in {took:.2f} s ({cpu:.2f} s of CPU), "
            f"{table.size_bytes / 1e6:.0f} MB of maps; one added in place in {one * 1e3:.1f} ms")


def drawn(size: int, kind: str) -> tuple[Any, Any, Any]:
    """Prefixes by chance, as `Parsed` has addresses: hosts, lengths mixed, or IPv6 networks of /32 to /64."""
    chance = numpy.random.default_rng(size)
    if kind == "IPv6":
        length = chance.choice([32, 40, 44, 48, 48, 48, 56, 64], 2 * size).astype(numpy.uint64)
        high = chance.integers(0x2000 << 48, 0x3000 << 48, 2 * size, dtype=numpy.uint64)
        high = high >> (64 - length) << (64 - length)
        low, wide = numpy.zeros_like(high), length
    else:
        lengths = [32] if kind == "IPv4, hosts" else [16, 18, 20, 22, 24, 24, 24, 24, 25, 26, 27, 28, 29, 30, 32, 32]
        length = chance.choice(lengths, 2 * size).astype(numpy.uint64)
        low = chance.integers(1 << 24, 224 << 24, 2 * size, dtype=numpy.uint64) >> (32 - length) << (32 - length)
        low, high, wide = low | numpy.uint64(0xFFFF << 32), numpy.zeros_like(low), length + 96
    _, first = numpy.unique(numpy.stack([high, low, wide]), axis=1, return_index=True)
    first = first[chance.permutation(len(first))[:size]]
    return high[first], low[first], wide[first].astype(numpy.uint8)


def looked_up(size: int, kind: str, rounds: int) -> tuple[object, ...]:
    """A look-up's ns by test runs, each of another address that a prefix by chance holds; the floor is subtracted."""
    high, low, length = drawn(size, kind)
    table = PrefixTable(six=len(high), hosts=0) if kind == "IPv6" else PrefixTable(four=len(high))
    state, pool = Array[Turn](max_entries=1), Array[Pair](max_entries=POOL, mapped=True)
    find = table.find
    six = kind == "IPv6"

    def looking(ctx: xdp.Context) -> xdp.Action:
        turn = state.get(0)
        if turn is None:
            return xdp.ABORTED
        turn.number = u64(turn.number + 1)
        pair = pool.get(u32(turn.number) % POOL)
        if pair is None:
            return xdp.ABORTED
        if find(pair.high, pair.low) != 0:
            turn.hits = u64(turn.hits + 1)
        return xdp.DROP

    def passing_by(ctx: xdp.Context) -> xdp.Action:
        turn = state.get(0)
        if turn is None:
            return xdp.ABORTED
        turn.number = u64(turn.number + 1)
        pair = pool.get(u32(turn.number) % POOL)
        if pair is None:
            return xdp.ABORTED
        if pair.high + pair.low != 0:
            turn.hits = u64(turn.hits + 1)
        return xdp.DROP

    programs = [xdp.program(looking), xdp.program(passing_by)]
    costs: list[list[float]] = [[], []]
    with load(*programs) as session, Content(table, session.__getitem__) as content:
        content.write(high, low, length, numpy.ones(len(high), numpy.uint32))
        chance = numpy.random.default_rng(7)
        picked = chance.integers(0, len(high), POOL)
        free = 128 - length[picked].astype(numpy.uint64)
        behind = chance.integers(0, 1 << 63, POOL, dtype=numpy.uint64)
        with session[pool].handle.map_values() as values:
            pairs = numpy.frombuffer(values.view, numpy.uint64).reshape(-1, 2)
            if six:
                pairs[:, 0] = high[picked] | (behind & ((numpy.uint64(1) << (free - 64)) - numpy.uint64(1)))
                pairs[:, 1] = behind
            else:
                pairs[:, 1] = low[picked] | (behind & ((numpy.uint64(1) << free) - numpy.uint64(1)))
            del pairs
        for _ in range(rounds):
            for number, program in enumerate(programs):
                before = session[state][0].hits
                loaded: Any = session.program(program)
                began = thread_cpu_ns()
                loaded.test_run(bytes(64), repeat=POOL)
                costs[number].append((thread_cpu_ns() - began) / POOL)
                if session[state][0].hits - before != POOL:
                    raise SystemExit(f"{kind}: {session[state][0].hits - before} of {POOL} addresses were found")
    base = statistics.median(costs[1])
    return (f"{len(high):,}, {kind}", min(costs[0]) - base, statistics.median(costs[0]) - base,
            f"{table.size_bytes / 1e6:.1f} MB")


def beside_c(size: int, rounds: int) -> tuple[str, int]:
    """Ours and C alone, by test runs of one packet whose source is in the set: the floor subtracted, by turns."""
    source = str(ipaddress.IPv4Address(BASE + 2 * (size // 2)))
    packet = bytes(Ethernet() / IPv4(source=source) / UDP()).ljust(60, b"\0")
    ways: dict[str, Callable[[int], Any]] = {"floor": lambda _: floor(), "ours, hash": our_hash, "C, hash": c_hash,
                                             "ours, prefix": our_prefix, "C, prefix": c_prefix}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            with way(size) as running:
                program = running.program
                program.test_run(packet, repeat=10_000)
                began = thread_cpu_ns()
                program.test_run(packet, repeat=1_000_000)
                costs[name].append((thread_cpu_ns() - began) / 1e6)
    base = statistics.median(costs["floor"])
    rows, misses = [], 0
    for kind in ("hash", "prefix"):
        ours, theirs = costs[f"ours, {kind}"], costs[f"C, {kind}"]
        ratio = (statistics.median(ours) - base) / (statistics.median(theirs) - base)
        misses += ratio > TIME_BAR
        rows.append((kind, min(ours) - base, statistics.median(ours) - base, min(theirs) - base,
                     statistics.median(theirs) - base, ratio, measuring.verdict(ratio <= TIME_BAR)))
    return measuring.table((f"alone, {size:,} entries", "ours, best ns", "median", "C, best ns", "median", "ours to C",
                            f"bar {TIME_BAR}"), rows), misses


def counted() -> list[tuple[str, int, int]]:
    """(program, our instructions, those of C)."""
    from bench.code_quality import instructions as instructions_of
    from bpfwright.lang.compile import compile_programs
    from bpfwright.session import target_of
    rows = []
    with Kernel() as kernel:
        table = PrefixTable(four=10_000)
        for name, program, spec in (("hash", hash_program(10_000)[0], c_object("-DBY_HASH", "-DENTRIES=10000")),
                                    ("prefix", prefix_program(table)[0], c_object(*c_prefix_options(table)))):
            made = objfile.read(compile_programs([program], target_of(kernel)._replace(cpu="v3")).elf, "ours")
            rows.append((name, instructions_of(made), instructions_of(spec)))
    return rows


def instructions() -> tuple[str, int]:
    rows = [(name, ours, theirs, ours / theirs, "met" if ours <= theirs else "missed")
            for name, ours, theirs in counted()]
    return (measuring.table(("instructions", "ours", "C", "ours to C", "bar 1.00"), rows),
            sum(row[-1] == "missed" for row in rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--sizes", default="")
    chosen = parser.parse_args()
    rounds, count = chosen.rounds or (3 if chosen.quick else 7), chosen.frames or (65_536 if chosen.quick else 262_144)
    sizes = [int(size) for size in chosen.sizes.split(",") if size] or list(SIZES[:2] if chosen.quick else SIZES)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"{measuring.machine()}; {rounds} rounds of {count:,} frames, above the floor\n")
    text, smaller_missed = instructions()
    print(text + "\n")
    with NetworkNamespace.create() as space, space.entered(), ExitStack() as stack:
        link = stack.enter_context(Netlink())
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")  # or frames of its own come in between
        link.create_veth(LEFT, RIGHT)
        subprocess.run(["ethtool", "-K", RIGHT, "gro", "on"], check=True, capture_output=True)
        link.set_up(LEFT)
        link.set_up(RIGHT)
        text, misses = beside_c(10_000, 3 * rounds)
        misses += smaller_missed
        print(text + "\n")
        print(writing(max(sizes)) + "\n")
        rows = [looked_up(size, kind, rounds) for size in sizes for kind in ("IPv4, hosts", "IPv4, mixed", "IPv6")
                if size >= 1000]
        print(measuring.table(("look-ups, prefixes", "best ns", "median ns", "maps"), rows) + "\n", flush=True)
        for row in rows:
            if str(row[0]).startswith("1,000,000, IPv4"):
                met = float(str(row[2])) <= LOOKUP_BAR
                print(f"{row[0]}: {row[2]:.0f} ns (bar {LOOKUP_BAR:.0f}: {measuring.verdict(met)})\n")
                misses += not met
        for size in sizes:
            text, middle = drops(size, rounds, count)
            print(text + "\n", flush=True)
            misses += judged(size, middle)
        rules = policy(random.Random(3))
        ways = [Way("floor", floor), Way("ours", lambda: facet(policy_text(rules))),
                Way("nftables", lambda: nft_policy(rules))]
        for protocol in ("TCP", "UDP"):
            found = measured(ways, Frames.of(POLICY_FRAMES.format(protocol), length=60), rounds, count)
            middle = {name: statistics.median(costs) for name, costs in found.items()}
            ratio = middle["nftables"] / max(middle["ours"], 0.1)
            table = [(name, min(costs), middle[name]) for name, costs in found.items()]
            print(measuring.table((f"1,000 rules, {protocol}", "best ns", "median ns"), table))
            print(f"nftables to ours: {ratio:.1f} (bar {POLICY_BAR}: {measuring.verdict(ratio >= POLICY_BAR)})\n")
            misses += ratio < POLICY_BAR
    return 1 if misses else 0


def judged(size: int, middle: dict[str, float]) -> int:
    """The bars that a size has, printed; how many were missed."""
    bars: list[tuple[str, float, float, bool]] = []
    if size == 10_000:
        for name, ours, bar in (("nft, hash set", "ours, hash", HASH_BAR),
                                ("nft, interval set", "ours, prefix", PREFIX_BAR),
                                ("iptables raw", "ours, hash", LINEAR_BAR)):
            if name in middle:
                ratio = middle[name] / max(middle[ours], 0.1)
                bars.append((f"{name} to {ours}", ratio, bar, ratio >= bar))
    for name, value, bar, met in bars:
        print(f"{name}: {value:.2f} (bar {bar:g}: {measuring.verdict(met)})")
    print()
    return sum(not met for *_, met in bars)


if __name__ == "__main__":
    sys.exit(main())
