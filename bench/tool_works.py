"""What bench/tools.py has to see: files, processes, connections, block I/O, memory, TLS. Made in a guest, as root."""
from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import pty
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

MARK = "bench-of-tools"
PORT = 7171
DISK, IMAGE = Path(f"/run/{MARK}.ext4"), Path(f"/run/{MARK}.img")
CERTIFICATE = Path(f"/run/{MARK}.pem")


def said(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


# files

def opens() -> None:
    for number in range(5):
        Path(f"/nowhere/{MARK}-{number}").exists()
        with contextlib.suppress(OSError), open(f"/nowhere/{MARK}-{number}"):
            pass


def file_systems() -> None:
    """What bcc's statsnoop sees too: not the stat() of a newer C library."""
    for number in range(3):
        with contextlib.suppress(OSError):
            os.statvfs(f"/nowhere/{MARK}-{number}")


def missing_names() -> None:
    for number in range(3):
        Path(f"/run/{MARK}-missing-{number}").exists()


def short_files() -> None:
    for number in range(3):
        path = Path(f"/run/{MARK}-{number}")
        path.write_text("x")
        time.sleep(0.1)
        path.unlink()


def ext4_files() -> None:
    """Written, flushed and read: on ext4."""
    for number in range(3):
        path = DISK / f"{MARK}-{number}"
        with open(path, "wb", buffering=0) as file:
            file.write(os.urandom(65_536))
            os.fsync(file.fileno())
        path.read_bytes()


def rounds_of_reading() -> None:
    """For two seconds, so that an interval of one second holds some."""
    path = DISK / f"{MARK}-read"
    path.write_bytes(os.urandom(1 << 20))
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        path.read_bytes()
    path.unlink()


def reads_of_a_length() -> None:
    with open("/dev/zero", "rb", buffering=0) as file:
        for _ in range(20):
            file.read(4242)


def files_of_the_host() -> None:
    """Which come through a device of the guest."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    for path in sorted(Path("/usr/share/doc").glob("*/copyright"))[:40]:
        path.read_bytes()


def mounts() -> None:
    os.makedirs(f"/run/{MARK}", exist_ok=True)
    for _ in range(2):
        subprocess.run(["mount", "-t", "tmpfs", MARK, f"/run/{MARK}"], check=True)
        subprocess.run(["umount", f"/run/{MARK}"], check=True)


def ownerships() -> None:
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(3):
            os.chown(file.name, 4242, 4242)


def syncs() -> None:
    os.sync()
    os.sync()


# block I/O: a loop device over a file in memory

@functools.cache
def disk() -> str:
    """A disk of 64 MiB, as /dev/loopN."""
    said("modprobe", "loop")
    with open(IMAGE, "wb") as file:
        file.truncate(64 << 20)
    return said("losetup", "--find", "--show", str(IMAGE))


def block_writes() -> None:
    """Past the page cache, so that each is a request of its own."""
    handle = os.open(disk(), os.O_RDWR | os.O_DIRECT)
    try:
        memory = memoryview(_aligned(8192))
        for number in range(4):
            os.pwritev(handle, [memory], number << 20)
    finally:
        os.close(handle)


def rounds_of_block_writes() -> None:
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        block_writes()


def _aligned(size: int) -> memoryview:
    import mmap
    return memoryview(mmap.mmap(-1, size))


@functools.cache
def ext4() -> None:
    """The same with a file system."""
    said("modprobe", "ext4")
    said("mkfs.ext4", "-q", "-F", disk())
    DISK.mkdir(exist_ok=True)
    said("mount", disk(), str(DISK))


# processes

def executions() -> None:
    for number in range(3):
        subprocess.run(["/bin/echo", f"{MARK}-{number}"], stdout=subprocess.DEVNULL, check=True)


def exits() -> None:
    for code in (3, 4, 5):
        subprocess.run(["/bin/bash", "-c", f"exit {code}"], check=False)


def signals() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def threads() -> None:
    for _ in range(3):
        one = threading.Thread(target=time.sleep, args=(0.01,))
        one.start()
        one.join()


def sleeps() -> None:
    for _ in range(50):
        time.sleep(0.005)


def contention() -> None:
    """More that run than processors."""
    code = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    some = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(5)]
    for one in some:
        one.wait()


def commands() -> None:
    """Typed into bash, at a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "-i"])
    for number in range(3):
        time.sleep(0.5)
        os.write(terminal, f"echo {MARK}-{number}\n".encode())
    time.sleep(0.5)
    os.write(terminal, b"exit\n")
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass
    os.waitpid(pid, 0)
    os.close(terminal)


# memory

def allocations() -> None:
    """Kept for as long as tools take to show them."""
    c = ctypes.CDLL(None)
    c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    kept = [c.malloc(123_456) for _ in range(5)]
    time.sleep(7.0)
    for each in kept:
        c.free(each)


def out_of_memory() -> None:
    """In a cgroup of its own."""
    group = Path(f"/sys/fs/cgroup/{MARK}")
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    (group / "memory.max").write_text(str(48 << 20))
    code = f"open('{group}/cgroup.procs', 'w').write('0')\nx = []\nwhile True: x.append(bytearray(1 << 20))"
    subprocess.run([sys.executable, "-S", "-c", code], check=False)
    time.sleep(0.2)
    group.rmdir()


@functools.cache
def nothing() -> str:
    """A disk of 8 GiB that holds nothing: what is read from it fills the page cache."""
    said("modprobe", "null_blk", "gb=8", "nr_devices=1")
    return "/dev/nullb0"


def reclaims() -> None:
    """Huge pages, where cached files have all the memory: who asks for them has to wait for reclaim."""
    pages = Path("/proc/sys/vm/nr_hugepages")
    try:
        pages.write_text(str(max(_free() - (400 << 20), 0) >> 21))  # so that little is left to fill
        with open(nothing(), "rb", buffering=0) as file:
            while _free() > 96 << 20 and file.read(1 << 22):
                pass
        held = int(pages.read_text())
        subprocess.run(["sh", "-c", f"echo {held + (_free() >> 21) + 48} > {pages}"], check=True)
    finally:
        pages.write_text("0")


def _free() -> int:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemFree"].split()[0]) << 10


# network

def connections() -> None:
    with socket.create_server(("127.0.0.1", PORT)) as server:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", PORT)) as one:
                other, _address = server.accept()
                one.sendall(b"x" * 4096)
                other.close()


def rounds_of_sending() -> None:
    """One connection, for two seconds and more."""
    with socket.create_server(("127.0.0.1", PORT)) as server:
        with socket.create_connection(("127.0.0.1", PORT)) as one:
            other, _address = server.accept()
            with other:
                end = time.monotonic() + 2.5
                while time.monotonic() < end:
                    one.sendall(b"x" * 4096)
                    other.recv(4096)
                    time.sleep(0.01)


def refusals() -> None:
    for _ in range(3):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 1))


def retransmissions() -> None:
    """While the network is down."""
    with socket.create_server(("127.0.0.1", PORT)) as server:
        with socket.create_connection(("127.0.0.1", PORT)) as one:
            other, _address = server.accept()
            with other:
                one.sendall(b"x")  # a first round trip, so that the timer is short
                other.recv(1)
                said("ip", "link", "set", "lo", "down")
                try:
                    one.send(b"y")
                    time.sleep(1.5)
                finally:
                    said("ip", "link", "set", "lo", "up")


def look_ups() -> None:
    for number in range(2):
        with contextlib.suppress(OSError):
            socket.getaddrinfo(f"{MARK}-{number}.invalid", 80)


@functools.cache
def certificate() -> None:
    said("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         "2", "-subj", "/CN=localhost", "-keyout", str(CERTIFICATE), "-out", f"{CERTIFICATE}.crt")


def secrets() -> None:
    """Through TLS, both ends in this process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{CERTIFICATE}.crt", str(CERTIFICATE))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    ends = socket.socketpair()

    def serve() -> None:
        with context.wrap_socket(ends[0], server_side=True) as inner:
            for _ in range(3):
                inner.recv(4096)
                inner.sendall(b"heard")

    server = threading.Thread(target=serve)
    server.start()
    with client.wrap_socket(ends[1]) as outer:
        for number in range(3):
            outer.sendall(f"{MARK}-{number}".encode())
            outer.recv(4096)
    server.join()
