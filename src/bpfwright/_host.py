"""The host's two dangers behind one function each: clocks and processes."""
from __future__ import annotations

import time

__all__ = ["now_ns", "output_of", "sleep_s"]


def now_ns() -> int:
    """Nanoseconds of the clock that bpf_ktime_get_ns reads (CLOCK_MONOTONIC)."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def sleep_s(seconds: float) -> None:
    """Wait; a signal handler that raises ends the wait."""
    time.sleep(seconds)


def output_of(*command: str, timeout_s: float = 10.0) -> str:
    """What `command` prints on stdout; OSError when it cannot start, fails or takes too long."""
    import subprocess  # 12 ms: only the few callers pay for it
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=timeout_s, check=True)
    except subprocess.SubprocessError as problem:
        raise OSError(f"{command[0]}: {problem}") from problem
    return done.stdout
