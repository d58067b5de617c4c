"""Every map type on the running kernel, in bytes: elements, batches, deletion under a walk, freezing, pinning."""
from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright._abi import bpf as B
from bpfwright.errors import KernelError, MapFull, PrivilegeError, UsageError, WrongType
from bpfwright.formats.btf import Btf, BtfBuilder
from bpfwright.kernel import Kernel, mounts
from bpfwright.kernel.cpus import parse_cpu_list, possible_cpus
from bpfwright.kernel.features import Features
from bpfwright.kernel.map import KernelMap, descriptor_value
from bpfwright.spec.objects import MapSpec, ObjectSpec
from tests.kernel.programs import constant

pytestmark = pytest.mark.kernel


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def u64(value: int) -> bytes:
    return struct.pack("=Q", value)


@pytest.fixture
def machine() -> Iterator[Kernel]:
    with Kernel() as kernel:
        yield kernel


def make(machine: Kernel, kind: int, key: int = 4, value: int = 8, entries: int = 64, flags: int = 0) -> KernelMap:
    return machine.create_map(MapSpec("tested", kind, key, value, entries, flags))


@pytest.mark.parametrize("kind", [B.BPF_MAP_TYPE_HASH, B.BPF_MAP_TYPE_LRU_HASH])
def test_hashes(machine: Kernel, kind: int) -> None:
    with make(machine, kind) as table:
        assert table.lookup(u32(1)) is None
        table.update(u32(1), u64(10))
        assert table.lookup(u32(1)) == u64(10)
        assert table.pop(u32(1)) == u64(10)
        assert table.pop(u32(1)) is None
        assert not table.delete(u32(1))
        table.update(u32(2), u64(20))
        with pytest.raises(KernelError, match="has that key already"):
            table.update(u32(2), u64(21), B.BPF_NOEXIST)
        assert table.delete(u32(2))
        assert table.next_key(None) is None


def test_a_full_hash_says_so(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_HASH, entries=2) as table:
        table.update(u32(1), u64(1))
        table.update(u32(2), u64(2))
        with pytest.raises(MapFull, match="it holds 2 entries"):
            table.update(u32(3), u64(3))


def test_arrays(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_ARRAY, entries=3) as table:
        table.update(u32(2), u64(7))
        assert [value for _, value in table.items()] == [u64(0), u64(0), u64(7)]
        with pytest.raises(UsageError, match="no such index"):
            table.update(u32(3), u64(1))
        with pytest.raises(WrongType, match="has 4 bytes, not 3"):
            table.lookup(b"abc")
        with pytest.raises(WrongType, match="has 8 bytes, not 1"):
            table.update(u32(0), b"x")


def test_a_mapped_array_is_its_memory(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_ARRAY, entries=3, flags=B.BPF_F_MMAPABLE) as table:
        with table.map_values() as values:
            values.view[values.stride:values.stride + 8] = u64(99)
            assert table.lookup(u32(1)) == u64(99)
            table.update(u32(0), u64(5))
            assert bytes(values.view[:8]) == u64(5)


@pytest.mark.parametrize("kind", [B.BPF_MAP_TYPE_PERCPU_HASH, B.BPF_MAP_TYPE_PERCPU_ARRAY,
                                  B.BPF_MAP_TYPE_LRU_PERCPU_HASH])
def test_per_cpu_maps_hold_a_value_for_each_cpu(machine: Kernel, kind: int) -> None:
    with make(machine, kind, value=4) as table:
        assert table.value_size == 8 * possible_cpus()
        values = b"".join(u32(cpu + 1) + bytes(4) for cpu in range(possible_cpus()))
        table.update(u32(1), values)
        assert table.lookup(u32(1)) == values
        assert dict(table.items())[u32(1)] == values


def test_lpm_trie(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_LPM_TRIE, key=8, flags=B.BPF_F_NO_PREALLOC) as trie:
        trie.update(u32(24) + bytes([192, 0, 2, 0]), u64(1))
        trie.update(u32(32) + bytes([192, 0, 2, 7]), u64(2))
        assert trie.lookup(u32(32) + bytes([192, 0, 2, 9])) == u64(1)
        assert trie.lookup(u32(32) + bytes([192, 0, 2, 7])) == u64(2)
        assert trie.lookup(u32(32) + bytes([10, 0, 0, 1])) is None
        assert len(list(trie.keys())) == 2 and len(list(trie.items())) == 2


@pytest.mark.parametrize(("kind", "order"), [(B.BPF_MAP_TYPE_QUEUE, [1, 2, 3]), (B.BPF_MAP_TYPE_STACK, [3, 2, 1])])
def test_queues_and_stacks(machine: Kernel, kind: int, order: list[int]) -> None:
    with make(machine, kind, key=0, entries=3) as queue:
        for number in (1, 2, 3):
            queue.update(b"", u64(number))
        with pytest.raises(MapFull):
            queue.update(b"", u64(4))
        assert queue.lookup(b"") == u64(order[0])
        assert [queue.pop(b"") for _ in range(4)] == [*map(u64, order), None]


def test_bloom_filter(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_BLOOM_FILTER, key=0, entries=1000) as bloom:
        bloom.update(b"", u64(5))
        assert bloom.contains(u64(5))
        assert sum(bloom.contains(u64(number)) for number in range(1000, 1100)) < 20


@pytest.mark.parametrize("kind", [B.BPF_MAP_TYPE_ARRAY_OF_MAPS, B.BPF_MAP_TYPE_HASH_OF_MAPS])
def test_maps_of_maps(machine: Kernel, kind: int) -> None:
    inner = MapSpec("inner", B.BPF_MAP_TYPE_ARRAY, 4, 8, 4)
    with machine.create_map(MapSpec("outer", kind, 4, 4, 8, inner=inner)) as outer:
        with machine.create_map(inner) as one:
            outer.update(u32(3), descriptor_value(one.fd))
            assert outer.lookup(u32(3)) == u32(one.id)
            assert outer.delete(u32(3))
        with machine.create_map(inner._replace(value_size=16)) as other, pytest.raises(KernelError):
            outer.update(u32(3), descriptor_value(other.fd))


def test_program_arrays(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_PROG_ARRAY, value=4, entries=2) as jumps:
        with machine.load(constant(2, B.BPF_PROG_TYPE_XDP, B.BPF_XDP)) as loaded:
            jumps.update(u32(1), descriptor_value(loaded.programs["main"].fd))
            assert jumps.lookup(u32(1)) == u32(loaded.programs["main"].id)
            assert jumps.delete(u32(1))


def test_device_and_cpu_maps(machine: Kernel) -> None:
    for kind in (B.BPF_MAP_TYPE_DEVMAP, B.BPF_MAP_TYPE_DEVMAP_HASH):
        with make(machine, kind, value=8) as devices:
            devices.update(u32(1), struct.pack("=Ii", 1, -1))
            assert (devices.lookup(u32(1)) or b"")[:4] == u32(1)
    with make(machine, B.BPF_MAP_TYPE_CPUMAP, entries=possible_cpus()) as cpus:
        cpus.update(u32(0), struct.pack("=Ii", 192, -1))
        assert (cpus.lookup(u32(0)) or b"")[:4] == u32(192)


@pytest.mark.parametrize("kind", [
    B.BPF_MAP_TYPE_RINGBUF, B.BPF_MAP_TYPE_USER_RINGBUF, B.BPF_MAP_TYPE_PERF_EVENT_ARRAY, B.BPF_MAP_TYPE_STACK_TRACE,
    B.BPF_MAP_TYPE_SOCKMAP, B.BPF_MAP_TYPE_SOCKHASH, B.BPF_MAP_TYPE_XSKMAP, B.BPF_MAP_TYPE_CGROUP_ARRAY,
    B.BPF_MAP_TYPE_TASK_STORAGE, B.BPF_MAP_TYPE_SK_STORAGE, B.BPF_MAP_TYPE_INODE_STORAGE, B.BPF_MAP_TYPE_CGRP_STORAGE])
def test_the_other_types_are_made(kind: int) -> None:
    kernel = Btf.open("/sys/kernel/btf/vmlinux")
    known = {item.value for item in kernel.enumerators(kernel.find("bpf_map_type"))}
    assert Features().map_type(kind).works is (kind in known)


def test_task_storage_by_pidfd(machine: Kernel) -> None:
    if not Features().map_type(B.BPF_MAP_TYPE_TASK_STORAGE).works:
        return
    types = BtfBuilder()
    number, value = types.add_int("int", 4, signed=True), types.add_int("u64", 8)
    spec = MapSpec("storage", B.BPF_MAP_TYPE_TASK_STORAGE, 4, 8, 0, B.BPF_F_NO_PREALLOC, number, value)
    with machine.load(ObjectSpec((), (), (spec,), btf=types.build())) as loaded:
        fd = os.pidfd_open(os.getpid())
        try:
            storage = loaded.maps["storage"]
            assert storage.lookup(u32(fd)) is None
            storage.update(u32(fd), u64(4))
            assert storage.lookup(u32(fd)) == u64(4)
            assert storage.delete(u32(fd))
        finally:
            os.close(fd)


def test_batches(machine: Kernel) -> None:
    count = 5000
    with make(machine, B.BPF_MAP_TYPE_HASH, entries=count) as table:
        keys = b"".join(map(u32, range(count)))
        values = bytearray(b"".join(map(u64, range(count))))
        assert table.update_batch(keys, memoryview(values), count) == count
        assert dict(table.items(batch=100)) == {u32(number): u64(number) for number in range(count)}
        assert table.delete_batch(keys[:4000]) == 1000
        assert len(list(table.keys())) == count - 1000
        taken = sum(number for _, _, number in table.lookup_batches(512, delete=True))
        assert taken == count - 1000 and table.next_key(None) is None
        with pytest.raises(WrongType, match="columns"):
            table.update_batch(keys, values, count - 1)
        assert table.delete_batch(u32(7)) == 0


def test_columns_that_are_read_only_or_have_gaps(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_HASH) as table:
        keys = memoryview(b"".join(map(u32, range(8)))).cast("I")
        values = memoryview(bytearray(b"".join(map(u64, range(16))))).cast("Q")[::2]
        assert table.update_batch(keys, values, 8) == 8
        assert table.lookup(u32(3)) == u64(6)
        assert table.delete_batch(keys) == 8


def test_iteration_survives_deletion(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_HASH, entries=2000) as table:
        table.update_batch(b"".join(map(u32, range(2000))), bytes(16000), 2000)
        seen = []
        for key in table.keys():        # noqa: SIM118
            seen.append(key)
            table.delete(key)           # the walk's own place vanishes under it
        assert len(seen) == len(set(seen)) == 2000
        table.update_batch(b"".join(map(u32, range(2000))), bytes(16000), 2000)
        half = [key for key, _ in table.items(batch=64) if table.delete(key)]
        assert len(half) == len(set(half)) == 2000


def test_frozen_maps_are_told_apart(machine: Kernel) -> None:
    with make(machine, B.BPF_MAP_TYPE_ARRAY) as table:
        table.freeze()
        with pytest.raises(KernelError, match="cannot be changed") as caught:
            table.update(u32(0), u64(1))
        assert "frozen" in caught.value.why and not isinstance(caught.value, PrivilegeError)


def test_pinning_and_adopting(machine: Kernel) -> None:
    path = f"{mounts.bpffs()}/bpfwright-map-{os.getpid()}"
    with make(machine, B.BPF_MAP_TYPE_HASH) as table:
        table.update(u32(1), u64(1))
        table.pin(path)
    try:
        with KernelMap.pinned(path) as adopted:
            assert adopted.lookup(u32(1)) == u64(1)
            assert (adopted.spec.type, adopted.spec.max_entries) == (B.BPF_MAP_TYPE_HASH, 64)
    finally:
        Path(path).unlink()


def test_maps_pinned_by_name_only_where_the_caller_says(machine: Kernel) -> None:
    spec = constant(2, B.BPF_PROG_TYPE_XDP, B.BPF_XDP)
    spec = spec._replace(maps=(MapSpec("kept", B.BPF_MAP_TYPE_HASH, 4, 8, 16, pin_by_name=True),))
    folder = Path(mounts.bpffs()) / f"bpfwright-{os.getpid()}"
    folder.mkdir()
    try:
        with machine.load(spec) as loaded:
            assert not list(folder.iterdir())
        with machine.load(spec, pins=str(folder)) as loaded:
            loaded.maps["kept"].update(u32(1), u64(8))
        with machine.load(spec, pins=str(folder)) as again:
            assert again.maps["kept"].lookup(u32(1)) == u64(8)
    finally:
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()


def test_a_million_entries_from_columns(machine: Kernel) -> None:
    np = pytest.importorskip("numpy")
    count = 1_000_000
    keys, values = np.arange(count, dtype="u4"), np.arange(count, dtype="u8")
    with make(machine, B.BPF_MAP_TYPE_HASH, entries=count) as table:
        start = time.perf_counter()
        table.update_batch(memoryview(keys), memoryview(values), count)
        took = time.perf_counter() - start
        assert table.lookup(u32(count - 1)) == u64(count - 1)
        assert took < 60, f"{count / took:.0f} entries a second, where 1,600,000 are usual"     # the lab emulates


def test_cpu_lists() -> None:
    assert parse_cpu_list("0-3,8\n") == [0, 1, 2, 3, 8]
