"""The cache: what goes in comes out; what another user could have written does not."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfwright import _cache
from bpfwright._cache import Cache, key_of
from bpfwright.errors import CacheError

KEY = key_of(b"program")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_round_trip_and_modes(tmp_path: Path, no_leaks: None) -> None:
    cache = Cache(str(tmp_path / "a" / "bpfwright"))
    assert cache.get(KEY) is None
    cache.put(KEY, b"data" * 1000)
    assert Cache(cache.folder).get(KEY) == b"data" * 1000
    cache.put(KEY, b"")
    assert cache.get(KEY) == b""
    assert os.stat(cache.folder).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(cache.folder, KEY)).st_mode & 0o777 == 0o600
    assert os.listdir(cache.folder) == [KEY]


def test_keys_keep_parts_apart() -> None:
    assert key_of(b"ab", b"c") != key_of(b"a", b"bc")
    assert key_of(b"x") == key_of(b"x") and len(key_of()) == 64


@pytest.mark.parametrize("key", ["", "../" + "a" * 61, "A" * 64, "a" * 63])
def test_only_its_own_keys(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError):
        Cache(str(tmp_path / "c")).put(key, b"")


@pytest.mark.parametrize("harm", [lambda b: b[:-1], lambda b: b[:10], lambda b: b"", lambda b: b[:-1] + b"?",
                                  lambda b: b + b"x"])
def test_damage_counts_as_absent(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    cache = Cache(str(tmp_path / "c"))
    cache.put(KEY, b"0123456789")
    file = Path(cache.folder, KEY)
    file.write_bytes(harm(file.read_bytes()))
    assert cache.get(KEY) is None
    cache.put(KEY, b"again")
    assert cache.get(KEY) == b"again"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
def test_a_folder_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    cache = Cache(str(tmp_path / "c"))
    cache.put(KEY, b"x")
    os.chmod(cache.folder, mode)
    with pytest.raises(CacheError, match="written by others"):
        Cache(cache.folder).get(KEY)
    with pytest.raises(CacheError, match="written by others"):
        Cache(cache.folder).put(KEY, b"y")


def test_a_parent_others_can_write_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "open"
    parent.mkdir()
    cache = Cache(str(parent / "c"))
    cache.put(KEY, b"x")
    parent.chmod(0o777)
    with pytest.raises(CacheError):
        Cache(cache.folder).get(KEY)


def test_a_file_others_can_write_is_refused(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "c"))
    cache.put(KEY, b"x")
    os.chmod(os.path.join(cache.folder, KEY), 0o666)
    with pytest.raises(CacheError):
        cache.get(KEY)


@root_only
@pytest.mark.parametrize("what", ["folder", "file", "parent"])
def test_foreign_owners_are_refused(tmp_path: Path, what: str) -> None:
    cache = Cache(str(tmp_path / "p" / "c"))
    cache.put(KEY, b"x")
    os.chown({"folder": cache.folder, "file": os.path.join(cache.folder, KEY), "parent": str(tmp_path / "p")}[what],
             12345, 12345)
    with pytest.raises(CacheError, match="another user"):
        Cache(cache.folder).get(KEY)


def test_links_and_folders_are_refused(tmp_path: Path, no_leaks: None) -> None:
    cache = Cache(str(tmp_path / "c"))
    cache.put(KEY, b"x")
    path = Path(cache.folder, KEY)
    target = tmp_path / "t"
    path.rename(target)
    path.symlink_to(target)
    with pytest.raises(CacheError):
        cache.get(KEY)
    path.unlink()
    path.mkdir()
    with pytest.raises(CacheError):
        cache.get(KEY)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(CacheError):
        cache.get(KEY)
    link = tmp_path / "link"
    link.symlink_to(cache.folder)
    with pytest.raises(CacheError):
        Cache(str(link)).get(KEY)


def test_the_oldest_go_first(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "c"), limit_bytes=100_000, look_every=1)
    keys = [key_of(bytes([i])) for i in range(12)]
    for i, key in enumerate(keys):
        cache.put(key, bytes(10_000))
        if os.path.exists(os.path.join(cache.folder, key)):
            os.utime(os.path.join(cache.folder, key), (i, i))
        if i >= 2:
            assert cache.get(keys[0]) is not None  # used, so it stays
            os.utime(os.path.join(cache.folder, keys[0]), (1000 + i, 1000 + i))
    assert cache.get(keys[0]) is not None and cache.get(keys[11]) is not None and cache.get(keys[1]) is None
    assert sum(os.path.getsize(os.path.join(cache.folder, f)) for f in os.listdir(cache.folder)) <= 100_000


def test_no_room_is_no_error() -> None:
    cache = Cache("/proc/none/bpfwright")
    cache.put(KEY, b"x")
    assert cache.get(KEY) is None


def test_default_follows_the_effective_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _cache.default().folder == str(tmp_path / "bpfwright")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _cache.default().folder == str(tmp_path / ".cache" / "bpfwright")


@root_only
def test_default_under_sudo_is_roots_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "user"
    home.mkdir()
    os.chown(home, 12345, 12345)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    import pwd
    assert _cache.default().folder == os.path.join(pwd.getpwuid(0).pw_dir, ".cache", "bpfwright")
