"""What the examples' tests share: starting one, and a wire between two namespaces for it to work on."""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from tests.cli.commands import ENVIRONMENT, TOP

__all__ = ["EXAMPLES", "LEFT", "RIGHT", "Wire", "running", "script", "wired"]

EXAMPLES = TOP / "examples"
LEFT, RIGHT = "10.8.0.1", "10.8.0.2"


class Running:
    """An example at work: its lines as they come; `stop` is Ctrl-C."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.heard = ""  # all that it said on stdout, as far as it was read
        self.stdout, self.stderr = process.stdout, process.stderr

    def line(self) -> str:
        """The next line of stdout."""
        assert self.stdout is not None and self.stderr is not None
        line = self.stdout.readline()
        assert line, self.stderr.read()
        self.heard += line
        return line.rstrip("\n")

    def said(self) -> str:
        """The next line of stderr."""
        assert self.stderr is not None
        return self.stderr.readline().rstrip("\n")

    def until(self, *words: str) -> str:
        """The next line that has all of these words."""
        while True:
            line = self.line()
            if set(words) <= set(line.split()):
                return line

    def stop(self) -> str:
        """What it still says on stdout after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.rest()

    def rest(self) -> str:
        """What it still says on stdout until it ends by itself."""
        return self.ended(0)

    def ended(self, *codes: int) -> str:
        """The same, with one of these exit codes. What readline() has read ahead belongs to it, so communicate() is no
        help."""
        assert self.stdout is not None and self.stderr is not None
        stderr, err = self.stderr, []
        reading = threading.Thread(target=lambda: err.append(stderr.read()))
        reading.start()
        out = self.stdout.read()
        self.heard += out
        reading.join(30)
        assert self.process.wait(30) in codes, err
        return out


@contextlib.contextmanager
def running(*command: str) -> Iterator[Running]:
    """Start a command; whatever happens, it is gone afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()


def script(name: str, *words: str) -> contextlib.AbstractContextManager[Running]:
    """An example as a script of its own."""
    return running(sys.executable, str(EXAMPLES / f"{name}.py"), *words)


def declared(name: str) -> contextlib.AbstractContextManager[Running]:
    """An example that only declares programs, by `bpfwright run`."""
    return running(sys.executable, "-m", "bpfwright.cli", "run", str(EXAMPLES / f"{name}.py"))


class Wire:
    """Two namespaces and the cable between them."""

    def __init__(self, left: NetworkNamespace, right: NetworkNamespace) -> None:
        self.left, self.right = left, right

    def datagrams(self, count: int, port: int = 9000) -> int:
        """Send from right to left; how many arrived."""
        with self.left.entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with self.right.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind((LEFT, port))
            receiver.settimeout(0.2)
            for number in range(count):
                sender.sendto(f"datagram {number}".encode(), (LEFT, port))
            arrived = 0
            with contextlib.suppress(TimeoutError):
                while receiver.recv(100):
                    arrived += 1
            return arrived

    def transfer(self, size: int) -> tuple[int, int]:
        """Send so many bytes by TCP from right to left; the ports, right and left."""
        with self.left.entered():
            server = socket.create_server((LEFT, 0))
        port = server.getsockname()[1]
        with server:
            taking = threading.Thread(target=_take, args=(server, size))
            taking.start()
            with self.right.entered():
                client = socket.create_connection((LEFT, port), timeout=30)
            with client:
                own = client.getsockname()[1]
                client.sendall(bytes(size))
                client.shutdown(socket.SHUT_WR)
                client.recv(1)
            taking.join(30)
        return own, port


def _take(server: socket.socket, size: int) -> None:
    connection, _ = server.accept()
    with connection:
        while size > 0:
            size -= len(connection.recv(1 << 16))


@contextlib.contextmanager
def wired() -> Iterator[Wire]:
    """10.8.0.1 on `left` and 10.8.0.2 on `right`; with the namespaces everything in them goes."""
    with NetworkNamespace.create() as one, NetworkNamespace.create() as two:
        with one.entered(), Netlink() as link:
            link.create_veth("left", "right")
            link.move("right", two.fd)
            link.add_address("left", LEFT, 24)
            link.set_up("left")
        with two.entered(), Netlink() as link:
            link.add_address("right", RIGHT, 24)
            link.set_up("right")
        wire = Wire(one, two)
        # The kernel notices the carrier when it has time to; until then it drops what is sent.
        assert any(wire.datagrams(1) for _ in range(50)), "the wire does not come up"
        yield wire


def cpu_seconds(pid: int) -> float:
    """What a process has had of the processors until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mapped_library(name: str) -> str:
    """The file of a library that this very process has mapped."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.partition("/")[2]
        if os.path.basename(path).startswith(name):
            return f"/{path}"
    raise AssertionError(f"{name} is not mapped")
