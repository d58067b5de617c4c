"""Portable objects of fifteen Python files: our loader and bpftool load them, or say what the kernel lacks."""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HOOK = ""  # no row of its own
SINCE = "5.10"

# Object -> (the oldest of the lab's kernels that takes it, what is said of older ones).
NEEDS = {"leases": ((6, 1), "since Linux 5.13"), "walk": ((6, 1), "since Linux 5.13")}
PINS = "/sys/fs/bpf/objects"


def build() -> dict[str, bytes]:
    from vmtest.lab import TOP
    from vmtest.python_programs import compiled_file
    return {path.stem: compiled_file(path) for path in sorted(Path(TOP, "vmtest/programs/portable").glob("[a-z]*.py"))}


def check(files: dict[str, bytes]) -> None:
    here = tuple(int(part) for part in os.uname().release.split(".")[:2])
    wrong = []
    for name, data in files.items():
        since, lacks = NEEDS.get(name, ((5, 10), ""))
        said = ours(data)
        if (not said) != (here >= since) or (said and lacks not in said):
            wrong.append(f"{name}: we say {said or 'nothing'!r}")
        theirs = bpftool(name, data)
        if (not theirs) != (here >= since):
            wrong.append(f"{name}: bpftool says {theirs or 'nothing'!r}")
    assert not wrong, "\n".join(wrong)


def ours(data: bytes) -> str:
    """What our loader says against an object; nothing when it loads."""
    from bpfwright import objfile
    from bpfwright.errors import BpfwrightError
    from bpfwright.kernel import Kernel
    try:
        with Kernel() as kernel, kernel.load(objfile.read(data)):
            return ""
    except BpfwrightError as problem:
        return str(problem)


def bpftool(name: str, data: bytes) -> str:
    """The same of bpftool."""
    path = Path(f"/tmp/{name}.bpf.o")
    path.write_bytes(data)
    try:
        done = subprocess.run(["bpftool", "prog", "loadall", str(path), f"{PINS}_{name}"], capture_output=True,
                              text=True, check=False, timeout=60)
        return (done.stderr or "failed") if done.returncode else ""
    finally:
        path.unlink()
        shutil.rmtree(f"{PINS}_{name}", ignore_errors=True)
