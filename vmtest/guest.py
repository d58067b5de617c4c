"""Runs in the guest: the checks of the named cases, one JSON line before and one after each.

    python -m vmtest.guest FOLDER TIMEOUT CASE...

A line before each test, so that a guest that dies shows which test took it down.
"""
from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bpfwright.errors import NotSupported, PrivilegeError
from vmtest.protocol import Result, case

__all__ = ["main", "stop", "timed"]


MOST_FILES = 5000  # that the guest knows before it lets go of them


class TooLong(BaseException):
    """Not an Exception: no test may swallow it."""


def stop(number: int, frame: object) -> None:
    """The handler of the alarm clock."""
    raise TooLong


def _descriptors() -> set[str]:
    """Open descriptors by number and what they are, but for the one that lists them."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue
    return found


def _check(name: str, folder: Path) -> tuple[str, str]:
    """(verdict, detail) of one case."""
    files = {path.name: path.read_bytes() for path in (folder / name).iterdir()}
    module = case(name).module  # what an import keeps open is not the check's
    before = _descriptors()
    try:
        module.check(files)
    except (NotSupported, PrivilegeError) as refusal:  # tests run as root: a lack of privilege is a locked kernel
        return "refused", f"{type(refusal).__name__}: {' '.join(str(refusal).split())}"
    except TooLong:
        return "failed", "ran out of time\n" + traceback.format_exc()
    except Exception:
        return "failed", traceback.format_exc()
    left = _descriptors() - before
    return ("failed", f"left open: {sorted(left)}") if left else ("ok", "")


def forget_files() -> None:
    """Let go of files that were looked at: the host's file server holds each open, and may hold 20,000."""
    with open("/proc/slabinfo") as slabs:
        held = next((int(line.split()[1]) for line in slabs if line.startswith("fuse_inode ")), MOST_FILES)
    if held >= MOST_FILES:
        with open("/proc/sys/vm/drop_caches", "w") as caches:
            caches.write("3")  # files whose pages are cached are held: those pages go first


def timed(name: str, folder: Path, timeout_s: float) -> Result:
    """Check one case, at most `timeout_s` long; `stop` must be the handler of SIGALRM."""
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    started = time.monotonic()
    try:
        verdict, detail = _check(name, folder)
    except TooLong:  # between the test and its end
        verdict, detail = "failed", "ran out of time"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Result(name, verdict, round(time.monotonic() - started, 3), detail)


def main(folder: str, timeout: str, *names: str) -> None:
    signal.signal(signal.SIGALRM, stop)
    # A cache of the guest's own: the host's may have more files than its file server can hold open (20,000).
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir="/run")
    for name in names:
        print(json.dumps({"start": name}), flush=True)
        forget_files()
        print(timed(name, Path(folder), float(timeout)).line(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
