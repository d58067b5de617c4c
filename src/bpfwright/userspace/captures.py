"""Captures through programs: the file is walked and the packets are run inside compiled code."""
from __future__ import annotations

from struct import pack_into, unpack_from

from bpfwright._typing import TYPE_CHECKING, Any, Iterator
from bpfwright.errors import FormatError, NotSupported
from bpfwright.formats.pcap import read_capture
from bpfwright.hooks.running import traffic
from bpfwright.spec.memory import load32
from bpfwright.spec.page import CHECKED

if TYPE_CHECKING:
    from bpfwright.userspace.program import UserProgram

__all__ = ["Driven", "drive"]

_CHUNK = 1 << 16
_SLACK = 512  # bytes that a program may put in front of and behind a packet
_HEAD = 24
_SWAPPED = (b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d")


class Driven:
    """What a capture's packets came to: `actions` one signed number a packet, `short` whether it was too short to run,
    `ns` that the runs took in all, `packets` as the programs left them, when they were asked for."""

    __slots__ = ("_results", "ns", "packets", "short")

    def __init__(self) -> None:
        self._results = bytearray()
        self.packets: list[bytes] = []
        self.short = bytearray()
        self.ns = 0

    @property
    def actions(self) -> memoryview:
        """The programs' values, in the order of the packets."""
        return memoryview(self._results).cast("i")

    def counts(self) -> dict[int, int]:
        """How often each value was given."""
        found: dict[int, int] = {}
        for value in self.actions:
            found[value] = found.get(value, 0) + 1
        return found


def drive(program: UserProgram, data: bytes, *, keep: bool = False) -> Driven:
    """Run a program on every packet of a capture file's bytes; with `keep`, the packets afterwards are kept.

    Map contents, clock and randomness go on from packet to packet, as they would in a kernel. Raises Fault and
    FormatError.
    """
    kind = traffic.KINDS.get(program.spec.type)
    if kind is None:
        raise NotSupported(f"programs of type {program.spec.type} (bpf_prog_type) take no packets")
    machine = program.machine
    arena = machine.arena
    arena.bind()
    done = Driven()
    stage = machine.stage_for(program.spec.type, bytes(traffic.LONGEST + _SLACK), b"")
    stage.enter()
    pack_into("<I", arena.memory, CHECKED, not program.verified)
    held: list[int] = []
    try:
        held = [arena.borrow(size) for size in (len(data), 32, 8 * _CHUNK, 4 * _CHUNK)]
        at, state, table, results = held
        arena.memory[at:at + len(data)] = data
        blocks = data[:4] == b"\x0a\x0d\x0d\x0a"
        if not blocks and data[:4] not in (*_SWAPPED, b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
            _refuse(data)
        swapped = data[8:12] == b"\x1a\x2b\x3c\x4d" if blocks else data[:4] in _SWAPPED
        pack_into("<QQII", arena.memory, state, at + (0 if blocks else _HEAD), at + len(data), swapped, blocks)
        while (count := program.walk(state, table, _CHUNK)):
            if not unpack_from("<Q", arena.memory, state)[0]:
                break
            _chunk(program, stage, kind, table, count, results, done, keep)
        if unpack_from("<Q", arena.memory, state)[0] != at + len(data):
            _refuse(data)
    finally:
        pack_into("<I", arena.memory, CHECKED, 1)
        stage.close()
        for each in held:
            arena.release(each)
    program.runs += len(done.actions)
    program.run_time_ns += done.ns
    return done


def _refuse(data: bytes) -> None:
    """Say what is wrong with a capture."""
    for number, packet in enumerate(read_capture(data)):
        if len(packet) > traffic.LONGEST:
            raise FormatError(f"packet {number} of the capture has {len(packet):,} bytes",
                              why=f"programs are run on up to {traffic.LONGEST:,}")


def _chunk(program: UserProgram, stage: Any, kind: str, table: int, count: int, results: int, done: Driven,
           keep: bool) -> None:
    arena = program.machine.arena
    out = 0
    sizes = memoryview(arena.memory[table:table + 8 * count]).cast("I")[1::2]
    done.short += bytes(size == 0 for size in sizes) if 0 in sizes else bytes(count)
    if keep:
        out = arena.borrow(sum(sizes) + (_SLACK + 4) * count)
    try:
        done.ns += program.drive(stage, kind, table, count, results, out)
        done._results += arena.memory[results:results + 4 * count]
        if keep:
            done.packets += _packets(arena.memory, out, count)
    finally:
        if out:
            arena.release(out)


def _packets(memory: Any, at: int, count: int) -> Iterator[bytes]:
    for _ in range(count):
        size = load32(at)
        yield bytes(memory[at + 4:at + 4 + size])
        at += 4 + size
