"""Tools that need fentry: dcsnoop sees names that were not cached, filelife files of any file system."""
from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from vmtest.own_cache import own_cache

from bpfwright.vmlinux import nameidata as _nameidata  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "5.10"


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache(), tempfile.TemporaryDirectory() as top:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top], check=True)
        try:
            names(Path(top))
            lives(Path(top))
        finally:
            subprocess.run(["umount", top], check=True)


def names(folder: Path) -> None:
    from bpfwright.facets.tools import tool
    (folder / "known").write_text("")
    with tool("dcsnoop").start(pid=os.getpid(), references=True) as running:
        (folder / "never-looked-for").exists()
        (folder / "known").exists()
        found = {row["file"]: row["t"] for row in running.rows()}
    assert found["never-looked-for"] == "M" and found["known"] == "R", found


def lives(folder: Path) -> None:
    from bpfwright.facets.tools import tool
    with tool("filelife").start(pid=os.getpid()) as running:
        (folder / "short").write_text("x")
        (folder / "short").unlink()
        found = [row["file"] for row in running.rows()]
    assert found == ["short"], found
