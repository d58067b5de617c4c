"""Runs in the guest: the checks of the named cases, one JSON line before and one after each.

    python -m vmtest.guest FOLDER TIMEOUT CASE...

A line before each test, so that a guest that dies shows which test took it down.
"""
from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from bpfwright.errors import NotSupported, PrivilegeError
from vmtest.protocol import Result, case

__all__ = ["main"]


class TooLong(BaseException):
    """Not an Exception: no test may swallow it."""


def _alarm(number: int, frame: object) -> None:
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
    before = _descriptors()
    try:
        case(name).module.check(files)
    except (NotSupported, PrivilegeError) as refusal:  # tests run as root: a lack of privilege is a locked kernel
        return "refused", f"{type(refusal).__name__}: {' '.join(str(refusal).split())}"
    except TooLong:
        return "failed", "ran out of time\n" + traceback.format_exc()
    except Exception:
        return "failed", traceback.format_exc()
    left = _descriptors() - before
    return ("failed", f"left open: {sorted(left)}") if left else ("ok", "")


def _timed(name: str, folder: Path, timeout_s: int) -> Result:
    signal.alarm(timeout_s)
    started = time.monotonic()
    try:
        verdict, detail = _check(name, folder)
    except TooLong:  # between the test and its end
        verdict, detail = "failed", "ran out of time"
    finally:
        signal.alarm(0)
    return Result(name, verdict, round(time.monotonic() - started, 3), detail)


def main(folder: str, timeout: str, *names: str) -> None:
    signal.signal(signal.SIGALRM, _alarm)
    for name in names:
        print(json.dumps({"start": name}), flush=True)
        print(_timed(name, Path(folder), int(timeout)).line(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
