"""Hash.update in batches: as dict.update, whatever the form of its argument."""
from __future__ import annotations

import pytest

from bpfwright import Struct, load, u16, u64
from bpfwright.errors import MapFull, UsageError, WrongType
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash, LruHash

pytestmark = pytest.mark.kernel


class Seen(Struct):
    packets: u64
    port: u16


hosts = Hash[IPv4.Address, Seen](max_entries=70_000)
few = Hash[u64, u64](max_entries=8)
recent = LruHash[u64, u64](max_entries=8)


@xdp.program
def looking(ctx: xdp.Context) -> xdp.Action:
    if ctx.length in few or ctx.length in recent:
        return xdp.DROP
    ip = ctx.find(IPv4)
    return xdp.PASS if ip is None or ip.source not in hosts else xdp.DROP


def test_more_than_one_batch_of_text() -> None:
    entries = {f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}": Seen(n, n & 0xFFFF) for n in range(66_000)}
    with load(looking):
        hosts.update(entries)  # type: ignore[arg-type]
        assert len(hosts) == 66_000
        for number in (0, 65_535, 65_536, 65_999):
            found = hosts[IPv4.Address(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")]
            assert (found.packets, found.port) == (number, number & 0xFFFF)


def test_pairs_nothing_and_replacement() -> None:
    with load(looking):
        few.update([(1, 10), (2, 20)])
        few.update({})
        few.update({2: 21, 3: 30})
        assert dict(few.items()) == {1: 10, 2: 21, 3: 30}
        assert few.discard(1) is True and few.discard(1) is False
        assert dict(few.items()) == {2: 21, 3: 30}


def test_bad_entries_change_nothing() -> None:
    with load(looking):
        with pytest.raises(WrongType):
            few.update({1: 1, 2: -1})
        with pytest.raises(UsageError):
            hosts.update({"10.0.0.1": Seen(1, 1), "10.0.0.256": Seen(1, 1)})  # type: ignore[dict-item]
        assert not few and len(hosts) == 0


def test_full_maps() -> None:
    with load(looking):
        with pytest.raises(MapFull):
            few.update({n: n for n in range(9)})
        recent.update({n: n for n in range(100)})
        assert 0 < len(recent) <= 100
