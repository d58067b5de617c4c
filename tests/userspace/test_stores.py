"""Stores: as Python and as native code they leave the same bytes, and the kernel's maps answer alike."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfwright import Kernel, Userspace
from bpfwright.errors import KernelError, MapFull, UsageError
from bpfwright.maps.stores import FILES
from bpfwright.spec.objects import MapSpec
from bpfwright.userspace.stores import OPERATIONS, store_of

pytestmark = pytest.mark.userspace
SMALL = 1 << 20

KEYED = {
    "hash": MapSpec("m", 1, 4, 12, 8), "long keys": MapSpec("m", 1, 19, 5, 8), "keys of 8": MapSpec("m", 1, 8, 8, 5),
    "array": MapSpec("m", 2, 4, 12, 5), "percpu_hash": MapSpec("m", 5, 4, 12, 6),
    "percpu_array": MapSpec("m", 6, 4, 5, 4), "lru_hash": MapSpec("m", 9, 4, 8, 6),
    "lru_percpu_hash": MapSpec("m", 10, 6, 8, 6), "lpm": MapSpec("m", 11, 8, 4, 12, 1),
    "lpm6": MapSpec("m", 11, 20, 4, 12, 1), "lpm of 3 bytes": MapSpec("m", 11, 7, 4, 12, 1),
}
KEYLESS = {"queue": MapSpec("m", 22, 0, 12, 4), "stack": MapSpec("m", 23, 0, 8, 4),
           "bloom": MapSpec("m", 30, 0, 8, 16, map_extra=3)}
NEAR = st.integers(0, 11)


def key_for(spec: MapSpec, number: int) -> bytes:
    """A key out of a few: of tries, prefixes that lie within one another."""
    if spec.type == 11:
        bits = (spec.key_size - 4) * 8
        length = min(bits, (0, 1, 7, 8, 9, 15, 16, 23, 24, 25, bits - 1, bits)[number % 12])
        address = (bytes((10, 1, 2, 200)) + bytes(12) if number % 5 else bytes((10, 129, 2, 3)) + b"\xff" * 12)
        return length.to_bytes(4, "little") + address[:spec.key_size - 4]
    return number.to_bytes(4, "little").ljust(spec.key_size, b"\7")[:spec.key_size]


def steps() -> Any:
    one = st.tuples(st.sampled_from(("update", "update", "delete", "lookup", "next")), NEAR, st.integers(0, 255),
                    st.integers(0, 3))
    return st.lists(one, max_size=60)


def outcome(run: Any) -> Any:
    """What a call gave, or how it failed."""
    try:
        return run()
    except MapFull:
        return "full"
    except (KernelError, UsageError) as error:
        return getattr(error, "errno", None) or type(error).__name__


def play(map_: Any, spec: MapSpec, given_steps: Any) -> list[Any]:
    seen: list[Any] = []
    for what, number, byte, flags in given_steps:
        key = key_for(spec, number)
        if what == "update":
            value = bytes(byte + i & 255 for i in range(spec.value_size)).ljust(map_.value_stride, b"\0")
            whole = value * (map_.value_size // map_.value_stride)
            seen.append(outcome(lambda whole=whole, key=key, flags=flags: map_.update(key, whole, flags)))
        elif what == "delete":
            seen.append(outcome(lambda key=key: map_.delete(key)))
        elif what == "lookup":
            seen.append(outcome(lambda key=key: map_.lookup(key)))
    return seen


def memory_of(machine: Userspace) -> bytes:
    return bytes(machine.arena.memory)


def native(map_: Any) -> None:
    """From now on the map's operations are native code."""
    map_._busy = 1 << 30


@pytest.mark.parametrize("name", KEYED)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps())
def test_python_and_native_leave_the_same_bytes(name: str, steps: Any) -> None:
    spec = KEYED[name]
    with Userspace(memory_bytes=SMALL) as one, Userspace(memory_bytes=SMALL) as two:
        plain, compiled = one.create_map(spec), two.create_map(spec)
        native(compiled)
        assert play(plain, spec, steps) == play(compiled, spec, steps)
        assert list(plain.keys()) == list(compiled.keys())
        plain.lookup(bytes(spec.key_size))
        compiled.lookup(bytes(spec.key_size))
        assert memory_of(one) == memory_of(two)


@pytest.mark.kernel
@pytest.mark.parametrize("name", KEYED)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps())
def test_the_kernels_maps_answer_alike(name: str, steps: Any, kernel: Kernel) -> None:
    spec = KEYED[name]
    with Userspace(memory_bytes=SMALL, cpus=cpus()) as machine:
        mine, theirs = machine.create_map(spec), kernel.create_map(spec)
        with theirs:
            if spec.type in (9, 10):  # which entry goes is theirs to choose, when is not
                steps = [step for step in steps if step[1] < 6]
            assert play(mine, spec, steps) == play(theirs, spec, steps)
            if spec.type in (9, 10):
                return
            assert sorted(mine.items()) == sorted(theirs.items())
            for number in range(12):
                key = key_for(spec, number)
                assert mine.lookup(key) == theirs.lookup(key)


def cpus() -> int:
    from bpfwright.kernel.cpus import possible_cpus
    return possible_cpus()


@pytest.fixture(scope="module")
def kernel() -> Any:
    with Kernel() as found:
        yield found


def play_keyless(map_: Any, spec: MapSpec, given_steps: Any) -> list[Any]:
    seen: list[Any] = []
    for what, number, _, flags in given_steps:
        value = number.to_bytes(spec.value_size, "little")
        if what in ("update", "next"):
            seen.append(outcome(lambda value=value, flags=flags: map_.update(b"", value, flags)))
        elif spec.type == 30:
            seen.append((value, map_.contains(value)))
        elif what == "delete":
            seen.append(outcome(lambda: map_.pop(b"")))
        else:
            seen.append(outcome(lambda: map_.lookup(b"")))
    return seen


@pytest.mark.parametrize("name", KEYLESS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps())
def test_keyless_python_and_native(name: str, steps: Any) -> None:
    spec = KEYLESS[name]
    with Userspace(memory_bytes=SMALL) as one, Userspace(memory_bytes=SMALL) as two:
        plain, compiled = one.create_map(spec), two.create_map(spec)
        native(compiled)
        assert play_keyless(plain, spec, steps) == play_keyless(compiled, spec, steps)
        assert memory_of(one) == memory_of(two)


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["queue", "stack"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps())
def test_keyless_in_the_kernel(name: str, steps: Any, kernel: Kernel) -> None:
    spec = KEYLESS[name]
    with Userspace(memory_bytes=SMALL) as machine, kernel.create_map(spec) as theirs:
        assert play_keyless(machine.create_map(spec), spec, steps) == play_keyless(theirs, spec, steps)


@settings(max_examples=30)
@given(st.lists(NEAR, max_size=20), NEAR)
def test_a_bloom_filter_never_denies(added: list[int], asked: int) -> None:
    with Userspace(memory_bytes=SMALL) as machine:
        bloom = machine.create_map(KEYLESS["bloom"])
        for number in added:
            bloom.update(b"", number.to_bytes(8, "little"))
        assert bloom.contains(asked.to_bytes(8, "little")) or asked not in added


def test_lru_drops_what_was_not_used() -> None:
    with Userspace(memory_bytes=SMALL) as machine:
        lru = machine.create_map(MapSpec("m", 9, 4, 8, 4))
        store = store_of(9)
        for number in range(4):
            lru.update(number.to_bytes(4, "little"), bytes(8))
        for number in (0, 2):  # a program's looks count, those from outside do not
            assert store.lookup(lru.address, lru._key(number.to_bytes(4, "little")))
        lru.lookup((1).to_bytes(4, "little"))
        lru.update((9).to_bytes(4, "little"), bytes(8))
        lru.update((10).to_bytes(4, "little"), bytes(8))
        assert sorted(int.from_bytes(key, "little") for key in lru.keys()) == [0, 2, 9, 10]  # noqa: SIM118


def test_values_stay_where_they_are() -> None:
    with Userspace(memory_bytes=1 << 22) as machine:
        for kind in (1, 5, 9, 11):
            size = 8 if kind == 11 else 4
            spec = MapSpec("m", kind, size, 8, 64, 1 if kind == 11 else 0)
            map_ = machine.create_map(spec)
            store = store_of(kind)

            keys = [(32).to_bytes(4, "little") * (kind == 11) + number.to_bytes(4, "big") for number in range(40)]
            map_.update(keys[0], bytes(map_.value_size))
            place = store.lookup(map_.address, map_._key(keys[0]))
            for key in keys:
                map_.update(key, bytes(map_.value_size))
            assert store.lookup(map_.address, map_._key(keys[0])) == place
            assert machine.arena.may(place, 8, write=True)
            assert not machine.arena.may(place + 8 * map_.value_size // map_.value_stride, 8, write=True)


def test_a_full_map_says_so() -> None:
    with Userspace(memory_bytes=SMALL) as machine:
        for kind, size in ((1, 4), (5, 4), (11, 8), (25, 4)):
            map_ = machine.create_map(MapSpec("m", kind, size, 4, 2, int(kind == 11)))
            for number in range(2):
                map_.update((bytes((32, 0, 0, 0)) if size == 8 else b"") + bytes((1, 2, 3, number)),
                            bytes((1,) + (0,) * (map_.value_size - 1)))
            with pytest.raises(MapFull):
                map_.update((bytes((32, 0, 0, 0)) if size == 8 else b"") + bytes((1, 2, 3, 9)),
                            bytes((1,) + (0,) * (map_.value_size - 1)))


def test_maps_of_maps_hold_what_is_in_them() -> None:
    with Userspace(memory_bytes=SMALL) as machine:
        inner = MapSpec("inner", 1, 4, 8, 4)
        outer = machine.create_map(MapSpec("outer", 13, 4, 4, 2, inner=inner))
        held = machine.create_map(inner)
        outer.update(b"aaaa", held.fd.to_bytes(4, "little"))
        with pytest.raises(KernelError):
            other = machine.create_map(MapSpec("other", 1, 8, 8, 4))
            outer.update(b"bbbb", other.fd.to_bytes(4, "little"))
        address = store_of(13).lookup(outer.address, outer._key(b"aaaa"))
        assert address == held.address
        held.update(b"kkkk", b"12345678")
        held.close()
        again = machine.create_map(inner)
        assert again.address != address  # its memory stays as long as the outer map names it
        assert outer.delete(b"aaaa")
        assert machine.create_map(inner).address == address


def test_a_busy_map_goes_on_as_native_code() -> None:
    with Userspace(memory_bytes=1 << 24) as machine:
        map_ = machine.create_map(MapSpec("m", 1, 4, 8, 5000))
        for number in range(2500):
            map_.update(number.to_bytes(4, "little"), number.to_bytes(8, "little"))
        assert dict(map_.items()) == {n.to_bytes(4, "little"): n.to_bytes(8, "little") for n in range(2500)}
        keys = b"".join(n.to_bytes(4, "little") for n in range(5000))
        values = b"".join((n + 1).to_bytes(8, "little") for n in range(5000))
        assert map_.update_batch(keys, values, 5000) == 5000
        assert map_.lookup((4999).to_bytes(4, "little")) == (5000).to_bytes(8, "little")
        with pytest.raises(MapFull):
            map_.update_batch(b"".join(n.to_bytes(4, "little") for n in range(9000, 12000)), values[:24000], 3000)


def test_every_store_has_what_its_type_needs() -> None:
    for kind in FILES:
        store = store_of(kind)
        assert store.__doc__ and {"create", "room"} <= set(dir(store))
        keyed = {"lookup", "update", "delete", "next_key"} <= set(dir(store))
        assert keyed or {"push", "pop", "peek"} <= set(dir(store)) or kind == 30, kind
        for name in store.__all__:
            assert name.isupper() or callable(getattr(store, name))
    assert len(set(OPERATIONS)) == len(OPERATIONS)
