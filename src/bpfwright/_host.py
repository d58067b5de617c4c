"""The host's dangers behind one function each: clocks, processes, its C++ runtime; and what the host is."""
from __future__ import annotations

import os
import sys
import time

from bpfwright._typing import Callable

__all__ = ["Process", "cxa_demangle", "native_code_runs", "now_ns", "output_of", "processor", "sleep_s"]


def now_ns() -> int:
    """Nanoseconds of the clock that bpf_ktime_get_ns reads (CLOCK_MONOTONIC)."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) if hasattr(time, "clock_gettime_ns") else time.monotonic_ns()


def processor() -> str:
    """What uname calls it: `x86_64`, `aarch64`."""
    if hasattr(os, "uname"):
        return os.uname().machine
    import platform
    return {"AMD64": "x86_64", "ARM64": "aarch64"}.get(platform.machine(), platform.machine())


def native_code_runs() -> bool:
    """Whether our native code runs in this process: x86-64 code that follows the System V ABI."""
    return sys.platform != "win32" and processor() == "x86_64"


def cxa_demangle(name: str) -> str:
    """What the C++ runtime reads a mangled name as; empty when it cannot, or when this machine has none.

    llvmlite needs libstdc++ too, so that in practice it is there. It has no bound on what a name may mean: ask only for
    names that refer to themselves a few times.
    """
    if not _cxx:
        _cxx.append(_find_cxx())
    return _cxx[0](name)


_cxx: list[Callable[[str], str]] = []


def _find_cxx() -> Callable[[str], str]:
    import ctypes
    process = ctypes.CDLL(None)
    process.free.argtypes = [ctypes.c_void_p]
    process.free.restype = None
    runtime = None
    for library in ("libstdc++.so.6", "libc++abi.so.1", "libc++.so.1", "libc++.1.dylib"):
        try:
            runtime = ctypes.CDLL(library).__cxa_demangle
            break
        except (OSError, AttributeError):
            continue
    if runtime is None:
        return lambda _: ""
    runtime.restype = ctypes.c_void_p
    runtime.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]

    def read(name: str) -> str:
        made = runtime(name.encode("utf-8", "replace"), None, None, None)
        if not made:
            return ""
        try:
            return ctypes.string_at(made).decode("utf-8", "replace")
        finally:
            process.free(made)
    return read


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


class Process:
    """A process that this one started, in the caller's network namespace; closing it ends it.

    Its stdin ends with this process, however that ends: a child that reads it knows when to go.
    """

    __slots__ = ("_child",)

    def __init__(self, *command: str) -> None:
        import subprocess
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._child.pid

    def ended(self) -> bool:
        """Whether it is over."""
        return self._child.poll() is not None

    def close(self) -> None:
        """End it, kindly first, and wait for it."""
        import subprocess
        if self._child.stdin is not None:
            self._child.stdin.close()
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(3)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
