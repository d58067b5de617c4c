"""Whether the file at a path is the one that is mapped, also where maps and stat() number devices apart."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

from bpfwright.symbols import reach
from bpfwright.symbols.mappings import Mapping, read_mappings


def mapped() -> list[Mapping]:
    return [m for m in read_mappings(Path("/proc/self/maps").read_bytes()) if m.of_file and m.executable]


def test_what_is_mapped_is_within_reach() -> None:
    assert mapped() and all(reach.is_ours(mapping) for mapping in mapped())


def test_what_a_file_is_shown_as() -> None:
    """What stands in maps is found by mapping a file, whatever stat() says of its device."""
    for mapping in mapped():
        status = os.stat(mapping.path)
        place = (os.major(status.st_dev), os.minor(status.st_dev)), status.st_ino
        assert reach._as_shown(mapping.path, *place, status.st_ctime_ns) == (mapping.device, mapping.inode)


def test_another_file_at_the_path(tmp_path: Path) -> None:
    mapping = mapped()[0]
    copy = tmp_path / "copy"
    shutil.copy(mapping.path, copy)
    before = set(os.listdir("/proc/self/fd"))
    assert not reach.is_ours(mapping._replace(path=str(copy)))
    assert not reach.is_ours(mapping._replace(path=str(tmp_path / "missing")))
    (tmp_path / "empty").touch()
    assert not reach.is_ours(mapping._replace(path=str(tmp_path / "empty")))
    os.mkfifo(tmp_path / "pipe")
    assert not reach.is_ours(mapping._replace(path=str(tmp_path / "pipe")))
    assert set(os.listdir("/proc/self/fd")) == before
