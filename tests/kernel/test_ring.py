"""Rings and perf buffers in memory: what a program writes stands at the addresses that the events package reads."""
from __future__ import annotations

import os
import select
import struct
from collections.abc import Iterator

import pytest

from bpfwright._abi import bpf as B
from bpfwright._abi.helpers import HELPERS
from bpfwright._native import memory_at
from bpfwright.errors import UsageError
from bpfwright.formats.isa import Instruction, encode
from bpfwright.kernel import Kernel
from bpfwright.kernel.ring import MappedRing, open_perf_buffers
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec, Relocation

pytestmark = pytest.mark.kernel

PACKET = bytes(64)
STORE = (Instruction(0x18, dst=3, imm=0x55667788, high=0x11223344), Instruction(0x7B, dst=10, src=3, offset=-8))


@pytest.fixture
def machine() -> Iterator[Kernel]:
    with Kernel() as kernel:
        yield kernel


def sender(*code: Instruction, kind: int, entries: int, index: int) -> ObjectSpec:
    out = MapSpec("out", kind, 0 if kind == B.BPF_MAP_TYPE_RINGBUF else 4, 0 if kind == B.BPF_MAP_TYPE_RINGBUF else 4,
                  entries)
    main = Function("main", encode((*STORE, *code, Instruction(0xB7), Instruction(0x95))),
                    (Relocation(index, "map", "out"),))
    return ObjectSpec((ProgramSpec("main", "main", "xdp", B.BPF_PROG_TYPE_XDP, B.BPF_XDP),), (main,), (out,))


def test_a_ring_shows_what_was_sent(machine: Kernel) -> None:
    code = (Instruction(0x18, dst=1), Instruction(0xBF, dst=2, src=10), Instruction(0x07, dst=2, imm=-8),
            Instruction(0xB7, dst=3, imm=8), Instruction(0xB7, dst=4), Instruction(0x85, imm=HELPERS["ringbuf_output"]))
    before = len(os.listdir("/proc/self/fd"))
    with machine.load(sender(*code, kind=B.BPF_MAP_TYPE_RINGBUF, entries=4096, index=3)) as loaded:
        with MappedRing(loaded.maps["out"]) as ring:
            poll = select.epoll()
            with poll:
                poll.register(ring.fd, select.EPOLLIN)
                assert not poll.poll(0)
                loaded.programs["main"].test_run(PACKET)
                assert poll.poll(1)
            producer, consumer = memory_at(ring.producer_address, 8), memory_at(ring.consumer_address, 8)
            data = memory_at(ring.data_address, 2 * ring.size_bytes)
            assert struct.unpack("=Q", producer)[0] == 16
            assert struct.unpack_from("=IIQ", data) == (8, struct.unpack_from("=I", data, 4)[0], 0x1122334455667788)
            assert bytes(data[:16]) == bytes(data[ring.size_bytes:ring.size_bytes + 16])
            consumer[:8] = struct.pack("=Q", 16)
            for view in (producer, consumer, data):
                view.release()
    assert len(os.listdir("/proc/self/fd")) == before


def test_perf_buffers_show_what_was_sent(machine: Kernel) -> None:
    code = (Instruction(0x18, dst=2), Instruction(0x18, dst=3, imm=-1), Instruction(0xBF, dst=4, src=10),
            Instruction(0x07, dst=4, imm=-8), Instruction(0xB7, dst=5, imm=8),
            Instruction(0x85, imm=HELPERS["perf_event_output"]))
    before = len(os.listdir("/proc/self/fd"))
    with machine.load(sender(*code, kind=B.BPF_MAP_TYPE_PERF_EVENT_ARRAY, entries=0, index=3)) as loaded:
        buffers = open_perf_buffers(loaded.maps["out"], pages=1)
        try:
            loaded.programs["main"].test_run(PACKET)
            heads = []
            for buffer in buffers:
                head, data = memory_at(buffer.address + 1024, 8), memory_at(buffer.data_address, buffer.size_bytes)
                heads.append(struct.unpack("=Q", head)[0])
                if heads[-1]:
                    kind, _, size = struct.unpack_from("=IHH", data)
                    assert (kind, size) == (9, heads[-1])
                    assert struct.unpack_from("=Q", data, 12)[0] == 0x1122334455667788
                head.release()
                data.release()
            assert sum(1 for head in heads if head) == 1
        finally:
            for buffer in buffers:
                buffer.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_wrong_maps_are_refused(machine: Kernel) -> None:
    with machine.create_map(MapSpec("hash", B.BPF_MAP_TYPE_HASH, 4, 4, 1)) as table:
        with pytest.raises(UsageError, match="no ring buffer"):
            MappedRing(table)
        with pytest.raises(UsageError, match="no perf event array"):
            open_perf_buffers(table)
    with machine.create_map(MapSpec("perf", B.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 0)) as events:
        with pytest.raises(UsageError, match="power of two"):
            open_perf_buffers(events, pages=3)
