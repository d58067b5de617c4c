"""What bpftrace's tools are to see: short works, each bounded and cleaned up, done while a script runs."""
from __future__ import annotations

import contextlib
import ctypes
import os
import pty
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

__all__ = ["WORKS"]

PYTHON = "/usr/bin/python3"
_NANOSLEEP = {"x86_64": 35, "aarch64": 101}


def bash() -> None:
    """A line typed into a shell."""
    control, terminal = pty.openpty()
    try:
        with subprocess.Popen(["/bin/bash", "--norc", "-i"], stdin=terminal, stdout=terminal, stderr=terminal,
                              start_new_session=True) as shell:
            os.write(control, b"echo typed-by-a-test\nexit\n")
            shell.wait(30)
    finally:
        os.close(terminal)
        os.close(control)


def writes() -> None:
    """Blocks written to the disk."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        for _ in range(16):
            file.write(os.urandom(1 << 14))
            file.flush()
            os.fsync(file.fileno())
        file.write(os.urandom(1 << 14))
        file.flush()
        os.sync()


def spin() -> None:
    """Half a second of computing."""
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass


def program() -> None:
    """A program with arguments."""
    subprocess.run(["/bin/echo", "seen", "by", "execsnoop"], check=True, stdout=subprocess.DEVNULL)


def lookup() -> None:
    """A host's name, by the C library of Debian's Python."""
    subprocess.run([PYTHON, "-c", "import socket; n = 'localhost'; socket.getaddrinfo(n, 80)"], check=True)


def signals() -> None:
    """A signal to a child."""
    with subprocess.Popen(["/bin/sleep", "10"]) as child:
        child.send_signal(signal.SIGTERM)


def nap() -> None:
    """nanosleep(2) itself: the C library's uses another."""
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = (ctypes.c_long * 2)(0, 12_000_000)
    libc.syscall(_NANOSLEEP[os.uname().machine], wanted, None)


def opened() -> None:
    """A file that is there and one that is not."""
    Path("/etc/hostname").read_bytes()
    with contextlib.suppress(FileNotFoundError):
        Path("/etc/no-such-file-of-a-test").read_bytes()


def processes() -> None:
    """Processes, and a second to count them in."""
    for _ in range(8):
        subprocess.run(["/bin/true"], check=True)
    time.sleep(1.3)


def setuid() -> None:
    """A process that becomes someone else."""
    subprocess.run([PYTHON, "-c", "import os; os.setresuid(65534, 65534, 65534)"], check=True)


def statted() -> None:
    """statfs(2), of which the path is read already."""
    os.statvfs("/tmp")
    subprocess.run([PYTHON, "-c", "import os; p = '/proc'; os.statvfs(p); os.stat(p)"], check=True)
    libc = ctypes.CDLL(None)
    libc.statfs(b"/no-such-file-of-a-test", ctypes.create_string_buffer(512))


def synced() -> None:
    """sync(2) and fsync(2)."""
    os.sync()
    with tempfile.TemporaryFile() as file:
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())


def calls() -> None:
    """Many system calls of one kind."""
    for _ in range(500):
        os.getppid()
        os.getpgid(0)


def threads() -> None:
    """Threads of a program of C."""
    subprocess.run([PYTHON, "-c", "import threading; t = threading.Thread(target=print); t.start(); t.join()"],
                   check=True, stdout=subprocess.DEVNULL)


def tls() -> None:
    """A handshake and a few bytes, by the openssl program on both sides."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test",
                        "-keyout", f"{folder}/key", "-out", f"{folder}/cert"], check=True, capture_output=True)
        with subprocess.Popen(["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", "-naccept", "1",
                               "-key", f"{folder}/key", "-cert", f"{folder}/cert", "-www"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            _listening(port)
            subprocess.run(["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}"],
                           input=b"GET / HTTP/1.0\r\n\r\n", check=False, capture_output=True, timeout=30)
            server.wait(30)


def _listening(port: int) -> None:
    """Wait until someone listens, without connecting: the server takes one client."""
    wanted = f":{port:04X} 00000000:0000 0A"
    for _ in range(1500):
        if wanted in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.02)
    raise TimeoutError(port)


def runnable() -> None:
    """More threads than processors, so that some wait."""
    workers = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spin()


WORKS = {
    "bashreadline": bash, "bitesize": writes, "cpuwalk": spin, "execsnoop": program, "gethostlatency": lookup,
    "killsnoop": signals, "naptime": nap, "opensnoop": opened, "pidpersec": processes, "runqlat": runnable,
    "setuids": setuid, "ssllatency": tls, "sslsnoop": tls, "statsnoop": statted, "syncsnoop": synced,
    "syscount": calls, "threadsnoop": threads, "writeback": writes,
}
