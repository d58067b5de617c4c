"""The host's dangers behind one function each: clocks, processes, its C++ runtime; and what the host is."""
from __future__ import annotations

import os
import sys
import time

from bpfwright._typing import Callable, NoReturn

__all__ = ["Process", "Suspended", "boot_ns", "boot_to_wall_ns", "cxa_demangle", "native_code_runs", "now_ns",
           "output_of", "processor", "shell_output", "sleep_s", "tai_offset_ns", "thread_cpu_ns", "wall_ns"]


def now_ns() -> int:
    """Nanoseconds of the clock that bpf_ktime_get_ns reads (CLOCK_MONOTONIC)."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) if hasattr(time, "clock_gettime_ns") else time.monotonic_ns()


def wall_ns() -> int:
    """Nanoseconds since 1970, as this machine's clock says."""
    return time.time_ns()


def thread_cpu_ns() -> int:
    """CPU time of the calling thread, in it and in the kernel."""
    return time.thread_time_ns()


def boot_ns() -> int:
    """CLOCK_BOOTTIME, as bpf_ktime_get_boot_ns gives it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def tai_offset_ns() -> int:
    """What to add to CLOCK_BOOTTIME for CLOCK_TAI."""
    return time.clock_gettime_ns(time.CLOCK_TAI) - boot_ns()


def boot_to_wall_ns() -> int:
    """What to add to bpf_ktime_get_boot_ns (CLOCK_BOOTTIME) for nanoseconds since 1970."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return time.time_ns() - now_ns()
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


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


def shell_output(command: bytes) -> bytes:
    """What a shell command prints on stdout, whatever its end; its stderr is ours. Blocks until it has ended."""
    import subprocess
    done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
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


class Suspended:
    """A command that a child of ours is about to become: it waits for `go()`, so that all of it can be watched.

    Closing this ends it if it still runs. `code` is its exit code, or 128 and the signal that ended it.
    """

    __slots__ = ("_pipe", "code", "pid")

    def __init__(self, *command: str) -> None:
        reading, self._pipe = os.pipe()
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(command, reading, self._pipe)
        os.close(reading)

    def go(self) -> None:
        """Let it begin."""
        if self._pipe >= 0:
            os.write(self._pipe, b"!")
            os.close(self._pipe)
            self._pipe = -1

    def ended(self) -> bool:
        """Whether it is over."""
        return self._wait(os.WNOHANG)

    def _wait(self, flags: int) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, flags)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code
        return self.code is not None

    def close(self) -> None:
        """End it, kindly first, and wait for it."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        import signal
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.ended():
                return
            os.kill(self.pid, number)
            for _ in range(100):
                if self.ended():
                    return
                time.sleep(0.02)


def _become(command: tuple[str, ...], reading: int, writing: int) -> NoReturn:
    """The child's half: wait, then be the command. Without a word through the pipe it goes."""
    code = 126
    try:
        os.close(writing)
        if os.read(reading, 1) == b"!":
            os.close(reading)
            os.execvp(command[0], command)
    except OSError as problem:
        code = 127
        os.write(2, f"{command[0]}: {problem.strerror}\n".encode())
    finally:
        os._exit(code)
