"""Tools about files and file systems."""
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import NotSupported
from bpfwright.facets.tools import tool
from tests.facets.tools.works import execute, rows, taken, until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]
ME = os.getpid()


@pytest.fixture
def ext4(tmp_path: Path) -> Any:
    """A file system of its own, out of a file."""
    image, top = tmp_path / "image", tmp_path / "top"
    image.write_bytes(b"")
    os.truncate(image, 8 << 20)
    top.mkdir()
    execute("mkfs.ext4", "-q", "-F", str(image))
    assert execute("mount", "-o", "loop", str(image), str(top)).returncode == 0
    yield top
    until(lambda: execute("umount", str(top)).returncode == 0)


def test_statsnoop_of_several_calls(tmp_path: Path) -> None:
    def work() -> None:
        os.stat(tmp_path)
        os.access(tmp_path / "none", os.R_OK)

    found = {row["path"]: (row["fd"], row["err"]) for row in rows("statsnoop", work, pid=ME)}
    assert found[str(tmp_path)] == (0, 0) and found[f"{tmp_path}/none"] == (-1, 2)
    assert {row["path"] for row in rows("statsnoop", work, pid=ME, failed=True, timestamp=True)} == {f"{tmp_path}/none"}


def test_fileslower_by_threshold_and_kind(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "slow").write_bytes(b"x" * 5000)
        os.write(end, b"pipe")

    begin, end = os.pipe()
    try:
        found = rows("fileslower", work, pid=ME, min_ms=0.0)
        assert [(row["d"], row["bytes"]) for row in found if row["filename"] == "slow"] == [("W", 5000)]
        assert not [row for row in found if row["bytes"] == 4]
        assert [row for row in rows("fileslower", work, pid=ME, min_ms=0.0, all_files=True) if row["bytes"] == 4]
        assert not rows("fileslower", work, pid=ME, min_ms=60_000.0)
    finally:
        os.close(begin)
        os.close(end)


def test_filelife_of_a_file_that_was_made_meanwhile(ext4: Path) -> None:
    (ext4 / "before").write_text("")

    def work() -> None:
        (ext4 / "short").write_text("x")
        (ext4 / "short").unlink()
        (ext4 / "before").unlink()

    begin = time.monotonic()
    found = rows("filelife", work, pid=ME)
    assert [row["file"] for row in found] == ["short"] and 0 <= found[0]["age_s"] < time.monotonic() - begin


def test_syncsnoop(tmp_path: Path) -> None:
    def work() -> None:
        with open(tmp_path / "file", "wb") as file:
            os.fsync(file.fileno())
            os.fdatasync(file.fileno())

    assert [row["call"] for row in rows("syncsnoop", work, pid=ME)] == ["fsync", "fdatasync"]


def test_mountsnoop(tmp_path: Path) -> None:
    def work() -> None:
        assert execute("mount", "-t", "tmpfs", "-o", "ro,nosuid,size=1m", "nothing", str(tmp_path)).returncode == 0
        assert execute("umount", str(tmp_path)).returncode == 0

    found = [row["call"] for row in rows("mountsnoop", work) if str(tmp_path) in row["call"]]
    assert found[0] == f'mount("nothing", "{tmp_path}", "tmpfs", MS_RDONLY|MS_NOSUID, "size=1m") = 0'
    assert found[1].startswith(f'umount("{tmp_path}"') and found[1].endswith("= 0")
    failed = rows("mountsnoop", lambda: execute("umount", "-c", "/proc/self/nowhere"))
    assert all("ENOENT" in row["call"] for row in failed if "nowhere" in row["call"])


def test_ext4slower_and_ext4dist_see_that_file_system_only(ext4: Path, tmp_path: Path) -> None:
    def work() -> None:
        with open(ext4 / "data", "wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        with open(ext4 / "data", "rb", buffering=0) as file:
            assert len(file.read(4096)) == 4096
        open("/proc/self/stat").close()

    found = [(row["t"], row["bytes"], row["off_kb"]) for row in rows("ext4slower", work, pid=ME, min_ms=0.0)
             if row["filename"] == "data"]
    assert found == [("O", 0, 0), ("W", 4096, 0), ("S", 0, 4), ("O", 0, 0), ("R", 4096, 0)]
    assert "stat" not in {row["filename"] for row in rows("ext4slower", work, pid=ME, min_ms=0.0)}
    assert not rows("ext4slower", work, pid=ME, min_ms=60_000.0)
    counts = {one.keys["operation"]: sum(count for *_, count in one.buckets) for one in taken("ext4dist", work, pid=ME)}
    assert counts["read"] >= 1 and counts["write"] >= 1 and counts["fsync"] == 1 and counts["open"] >= 2


def dropped(path: Path) -> None:
    """Out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_cachestat_counts_the_pages_of_large_folios(ext4: Path) -> None:
    """Reading ahead takes folios of several pages (ext4: since 6.16); the event says how many."""
    path, pages = ext4 / "large", 1024
    path.write_bytes(os.urandom(pages * 4096))
    for _ in range(20):  # what others read and write meanwhile
        dropped(path)
        with tool("argdist").start(frequency="t:filemap:mm_filemap_add_to_page_cache():u8:args->order",
                                   pid=ME) as running:
            (cold,) = taken("cachestat", path.read_bytes)
            orders = {row["event"]: row["count"] for row in running.take()}
        assert sum(count << order for order, count in orders.items()) >= pages
        if pages - 16 <= cold["misses"] < pages + 64:
            break
    assert pages - 16 <= cold["misses"] < pages + 64, orders


def test_cachestat_tells_hits_from_misses(ext4: Path) -> None:
    path, pages = ext4 / "cached", 256
    path.write_bytes(os.urandom(pages * 4096))

    def again() -> None:
        for _ in range(64):
            path.read_bytes()

    for _ in range(20):  # what others write meanwhile is subtracted
        dropped(path)
        (cold,) = taken("cachestat", path.read_bytes)
        if cold["misses"] >= pages - 6:
            break
    for _ in range(20):  # others read, too, and what they read ahead counts as misses
        (warm,) = taken("cachestat", again)
        if 64 * pages <= warm["hits"] < 68 * pages:
            break
    assert cold["misses"] >= pages - 6 and 64 * pages <= warm["hits"] < 68 * pages
    assert warm["hitratio"] > 80 and warm["cached_mb"] > 0


def test_dcsnoop_runs_or_names_what_is_missing(tmp_path: Path) -> None:
    """Here fentry may be refused; vmtest/cases/tools_files.py runs it."""
    try:
        running = tool("dcsnoop").start(pid=ME)
    except NotSupported as problem:
        assert (problem.exit_code == 4 and "fexit" in str(problem)) or "fentry" in str(problem)
        return
    with running:
        (tmp_path / "nobody-has-looked").exists()
        assert "nobody-has-looked" in {row["file"] for row in running.rows()}
