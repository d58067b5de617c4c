"""What the tests do for the tools to see: programs, files, connections, block I/O, by this process or its children."""
from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bpfwright.facets.tools import tool
from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open once it is asked

TRUE = "/bin/true"
NAME = f"bpfw-{os.getpid()}"  # of a program of ours, so that no other's is meant


def rows(name: str, work: Callable[[], object], /, **options: Any) -> list[dict[str, Any]]:
    """A tool's rows of a piece of work; at least what arrives within a moment."""
    with tool(name).start(**options) as running:
        work()
        return gathered(running)


def gathered(running: Any, patience_s: float = 0.05) -> list[dict[str, Any]]:
    """Rows until none has come for a moment; of a busy machine's, those of one second."""
    found: list[dict[str, Any]] = []
    end = time.monotonic() + 1.0
    while True:
        more = running.rows()
        found += more
        if not more:
            running.wait(patience_s)
            if not running.events.pending_bytes:
                return found
        if time.monotonic() > end:
            return found


def taken(name: str, work: Callable[[], object], /, **options: Any) -> list[Any]:
    """What a histogram or table gathered of a piece of work."""
    with tool(name).start(**options) as running:
        work()
        found: list[Any] = running.take()
        return found


def execute(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words or (TRUE,), capture_output=True, text=True, timeout=30, check=False, **more)


def python(code: str) -> subprocess.CompletedProcess[str]:
    """A small program in a process of its own."""
    return execute(sys.executable, "-S", "-c", code)


def named(code: str) -> subprocess.CompletedProcess[str]:
    """The same, which calls itself NAME."""
    return python(f"open('/proc/self/comm', 'w').write({NAME!r})\n{code}")


def until(reached: Callable[[], object], patience_s: float = 30) -> None:
    """Wait for what comes a little later, on a busy machine much later."""
    end = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.02)


def removed(group: Path) -> None:
    """A cgroup is empty a little after its last process was waited for."""
    def gone() -> bool:
        try:
            group.rmdir()
        except OSError as problem:
            if problem.errno != errno.EBUSY:
                raise
            return False
        return True

    until(gone)


@contextlib.contextmanager
def listening(family: int = socket.AF_INET) -> Iterator[tuple[str, int]]:
    """A server on this machine's own address that sends three bytes to each who connects."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(b"abc")
                    while connection.recv(4096):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield host, server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def connect(address: tuple[str, int], sent: bytes = b"x" * 2048) -> int:
    """Connect, receive, send, close, and the other side has closed, too; the local port."""
    with socket.create_connection(address, timeout=30) as link:
        port: int = link.getsockname()[1]
        assert link.recv(3) == b"abc"
        link.sendall(sent)
        link.shutdown(socket.SHUT_WR)
        assert link.recv(1) == b""
    return port


def write_through(path: Path, size: int = 65_536) -> None:
    """Bytes that reach the disk."""
    with open(path, "wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())
