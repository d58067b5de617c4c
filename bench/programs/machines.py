"""Programs for bench/machines.py: the same bytecode in the kernel's JIT and in ours, one thing exercised each."""
from __future__ import annotations

from bpfwright import L, Struct, array, char, u16, u32, u64
from bpfwright.headers import TCP, UDP, IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Array, Hash, LpmTrie


class Cells(Struct):
    cells: array[u64, L[64]]


class Counter(Struct):
    packets: u64
    octets: u64


class Flow(Struct):
    source: u32
    destination: u32
    ports: u32


class Name(Struct):
    text: char[L[32]]


class Words(Struct):
    words: array[u16, L[256]]


words = Array[Words](max_entries=1)
cells = Array[Cells](max_entries=1)
flows = Hash[Flow, Counter](max_entries=10_000)
networks = LpmTrie[IPv4.Address, Counter](max_entries=10_000)
counters = Array[Counter](max_entries=256)
names = Array[Name](max_entries=2)


@xdp.program
def arithmetic(ctx: xdp.Context) -> xdp.Action:
    """A chain of multiplications, shifts and additions, each needing the one before."""
    state: u64 = ctx.length
    for i in range(400):
        state = (state ^ (state >> 13)) * 0x9E3779B97F4A7C15 + i
    return xdp.DROP if state == 12345 else xdp.PASS


@xdp.program
def memory(ctx: xdp.Context) -> xdp.Action:
    """64 words of a map, four times over: loads, additions, stores."""
    place = cells.get(0)
    if place is None:
        return xdp.ABORTED
    for _ in range(4):
        for i in range(63):
            place.cells[i + 1] = place.cells[i + 1] + place.cells[i]
    return xdp.PASS


@xdp.program
def parser(ctx: xdp.Context) -> xdp.Action:
    """Ethernet, tags, IPv4 or IPv6 with its extensions, TCP or UDP; a port decides."""
    segment = ctx.find(TCP, UDP)
    if segment is None:
        return xdp.PASS
    match segment:
        case TCP():
            return xdp.DROP if segment.dport == 8081 else xdp.PASS
        case UDP():
            return xdp.DROP if segment.dport == 5354 else xdp.PASS


@xdp.program
def hashed(ctx: xdp.Context) -> xdp.Action:
    """A flow's entry in a hash, counted."""
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    flow = flows.get(Flow(int(ip.source), int(ip.destination), ip.protocol))
    if flow is None:
        return xdp.DROP
    flow.packets += 1
    flow.octets += ctx.length
    return xdp.PASS


@xdp.program
def longest(ctx: xdp.Context) -> xdp.Action:
    """The longest prefix of a source address."""
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    entry = networks.get(ip.source)
    return xdp.DROP if entry is None else xdp.PASS


@xdp.program
def checksum(ctx: xdp.Context) -> xdp.Action:
    """The internet checksum of 512 bytes."""
    place = words.get(0)
    if place is None:
        return xdp.ABORTED
    total: u32 = 0
    for i in range(256):
        total += place.words[i]
    total = (total & 0xFFFF) + (total >> 16)
    return xdp.DROP if total == 1 else xdp.PASS


@xdp.program
def compare(ctx: xdp.Context) -> xdp.Action:
    """Two texts of 32 bytes, byte by byte."""
    first, second = names.get(0), names.get(1)
    if first is None or second is None:
        return xdp.ABORTED
    return xdp.DROP if first.text == second.text else xdp.PASS


@xdp.program
def counted(ctx: xdp.Context) -> xdp.Action:
    """Sixteen counters of an array, chosen by the packet's length."""
    for i in range(16):
        entry = counters.get((ctx.length + i) & 0xFF)
        if entry is None:
            return xdp.ABORTED
        entry.packets += 1
        entry.octets += ctx.length
    return xdp.PASS


@xdp.program
def empty(ctx: xdp.Context) -> xdp.Action:
    """The floor."""
    return xdp.PASS


PROGRAMS = (arithmetic, memory, parser, hashed, longest, checksum, compare, counted)
__all__ = ["PROGRAMS", "empty"]
