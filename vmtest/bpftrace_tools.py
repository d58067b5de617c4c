"""Works for the scripts of Debian's bpftrace package, in the guest, and what the scripts print of them."""
from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vmtest.cgroups import removed

from bpfwright.errors import BpfwrightError, CompileError, NotSupported

if TYPE_CHECKING:
    from vmtest.traced import Scripts

__all__ = ["BLOCKS", "DISKS", "FILES", "NETWORK", "read", "run"]

CLOCK = r"\d\d:\d\d:\d\d"
FOLDER = Path("/usr/sbin")


Expected = dict[str, tuple[Callable[[], None], str]]


def connection() -> None:
    """A connection to this machine, accepted, with data both ways."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"x" * 5000)
                accepted.sendall(b"y" * 3000)
                client.recv(4096)
    time.sleep(0.1)


def retransmission() -> None:
    """A segment that is dropped, and sent again."""
    from tests.facets.trace.scripts.dropping import lost_segment
    with lost_segment() as send:
        send()


def files() -> None:
    """Files opened, written, looked for."""
    path = Path("/dev/shm/of-a-test")
    for _ in range(5):
        path.write_bytes(b"some bytes")
        path.read_bytes()
    with path.open("wb") as file:
        os.fsync(file.fileno())
    path.unlink()
    with contextlib.suppress(FileNotFoundError):
        os.stat("/etc/never-looked-for-before")


def owner() -> None:
    """A file given away: it takes a capability."""
    path = Path("/dev/shm/given")
    path.write_text("")
    os.chown(path, 1, 1)
    path.unlink()


def packet() -> None:
    """Bytes through a pair of unix sockets."""
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"through a pair")
        other.recv(64)


@contextlib.contextmanager
def limited(size: int) -> Iterator[str]:
    """A cgroup with so much memory; Python that enters it."""
    from bpfwright.kernel.mounts import cgroup2
    root = Path(cgroup2())
    (root / "cgroup.subtree_control").write_text("+memory")
    home = root / "limited"
    home.mkdir()
    try:
        (home / "memory.max").write_text(str(size))
        yield f"import os; open('{home}/cgroup.procs', 'w').write(str(os.getpid()))"
    finally:
        removed(home)


def memory() -> None:
    """A process that outgrows its cgroup."""
    with limited(16 << 20) as join:
        subprocess.run(["/usr/bin/python3", "-c", f"{join}; x = bytearray(1 << 28)"], check=False)


def second() -> None:
    time.sleep(1.3)


@contextlib.contextmanager
def looped(name: str, size: int) -> Iterator[str]:
    """A loop device on a file in memory."""
    image = Path("/dev/shm") / name
    image.write_bytes(b"")
    os.truncate(image, size)
    subprocess.run(["modprobe", "loop"], check=False)
    device = subprocess.run(["losetup", "--show", "-f", str(image)], check=True, capture_output=True,
                            text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
        image.unlink()


def blocks() -> None:
    """Direct writes to a loop device."""
    with looped("image", 1 << 20) as device:
        for _ in range(4):
            subprocess.run(["dd", "if=/dev/zero", f"of={device}", "bs=16k", "count=4", "oflag=direct"], check=True,
                           capture_output=True)


def mirrored() -> None:
    """A flush of a mirror of two loop devices, put together by hand: without metadata it needs no tool."""
    with looped("one", 8 << 20) as one, looped("other", 8 << 20) as other:
        Path("/sys/module/md_mod/parameters/new_array").write_text("md127")
        array = Path("/sys/block/md127/md")
        try:
            for name, value in (("metadata_version", "none"), ("level", "raid1"), ("raid_disks", "2"),
                                ("component_size", "4096")):
                (array / name).write_text(value)
            for slot, device in enumerate((one, other)):
                name = os.path.basename(device)
                (array / "new_dev").write_text(Path(f"/sys/class/block/{name}/dev").read_text())
                (array / f"dev-{name}" / "slot").write_text(str(slot))
            (array / "array_state").write_text("active")
            subprocess.run(["dd", "if=/dev/zero", "of=/dev/md127", "bs=4k", "count=4", "conv=fsync"], check=True,
                           capture_output=True)
        finally:
            (array / "array_state").write_text("clear")


def swapped() -> None:
    """A process with more memory than its cgroup may have: pages go to swap and come again."""
    with looped("swap", 64 << 20) as device, limited(16 << 20) as join:
        subprocess.run(["mkswap", device], check=True, capture_output=True)
        subprocess.run(["swapon", device], check=True)
        try:
            twice = "x = bytearray(24 << 20)\nfor _ in (0, 1):\n for at in range(0, len(x), 4096): x[at] = 1"
            subprocess.run(["/usr/bin/python3", "-S", "-c", f"{join}\n{twice}"], check=True)
        finally:
            subprocess.run(["swapoff", device], check=True)
    time.sleep(1.3)


def on_xfs() -> None:
    """A file of an XFS made for it: opened, written, flushed, read."""
    with looped("xfs", 300 << 20) as device, tempfile.TemporaryDirectory(dir="/dev/shm") as top:
        subprocess.run(["mkfs.xfs", "-q", device], check=True)
        subprocess.run(["mount", "-t", "xfs", device, top], check=True)
        try:
            path = Path(top) / "file"
            with path.open("wb") as file:
                file.write(b"x" * 100_000)
                file.flush()
                os.fsync(file.fileno())
            path.read_bytes()
        finally:
            subprocess.run(["umount", top], check=True)


def seconds_of_files() -> None:
    files()
    second()


NETWORK: Expected = {
    "tcpaccept": (connection, rf"^{CLOCK} %d +\S+ +127\.0\.0\.1 +\d+ +127\.0\.0\.1 +\d+ +0/\d+"),
    "tcpconnect": (connection, rf"^{CLOCK} +%d +\S+ +127\.0\.0\.1 +\d+ +127\.0\.0\.1 +\d+"),
    "tcplife": (connection, r"^%d +\S+ +127\.0\.0\.1 +\d+ +127\.0\.0\.1 +\d+ +\d+ +\d+ +\d+"),
    "tcpretrans": (retransmission, rf"^{CLOCK} +\d+ +127\.0\.0\.1:\d+ +127\.0\.0\.1:\d+ +ESTABLISHED"),
    "tcpsynbl": (connection, r"^\[0\] +1 \|@+"),
    "undump": (packet, rf"^{CLOCK} +\S+ +%d +14 +through a pair"),
}
FILES: Expected = {
    "capable": (owner, rf"^{CLOCK} +0 +%d +\S+ +0 +CAP_CHOWN +\d$"),
    "dcsnoop": (files, r"^\d+ +%d +\S+ +M never-looked-for-before$"),
    "vfscount": (files, r"^@\[vfs_write\]: [5-9]"),
    "vfsstat": (seconds_of_files, r"^@\[vfs_write\]: \d+"),
    "loads": (second, rf"^{CLOCK} load averages: \d+\.\d+ \d+\.\d+ \d+\.\d+$"),
    "oomkill": (memory, rf"^{CLOCK} Triggered by PID \d+ .*OOM kill of PID \d+ \(\"python3\"\)"),
    "runqlen": (second, r"^\[\d+, \d+\) +\d+ \|@+ *\|$"),
}
DISKS: Expected = {
    "mdflush": (mirrored, rf"^{CLOCK} +\d+ +\S+ +md127$"),
    "swapin": (swapped, r"^@\[python3, \d+\]: [1-9]\d*$"),
    "xfsdist": (on_xfs, r"^@us\[xfs_file_fsync\]:\s*\n(\[.*\) +\d+ \|@* *\|\n)+"),
}
RENAMED = {
    "runqlen": "On this kernel it is `nr_queued`",
    "mdflush": "On this kernel it is `bi_disk`",
    "swapin": "It is called `swap_read_folio` here",
}
"""What is said where a script names something that this kernel calls otherwise."""
BLOCKS: Expected = {
    "biolatency": (blocks, r"^\[\d+K?, \d+K?\) +\d+ \|@+ *\|$"),
    "biosnoop": (blocks, r"^\d+ +loop0 +dd +\d+ +\d+$"),
    "biostacks": (blocks, r"^\[\d+K?, \d+K?\) +\d+ \|@+ *\|$"),
}


def read(expected: Expected) -> dict[str, bytes]:
    """The scripts, as the package has them."""
    return {name: (FOLDER / f"{name}.bt").read_bytes() for name in expected}


def _refused(here: Scripts, name: str, script: str) -> list[str]:
    """Newer kernels have inlined what the script names: then it says so, and what to trace."""
    os.environ["BPFTRACE_MISSING_PROBES"] = "error"
    try:
        here.run(script)
    except BpfwrightError as refusal:
        return [] if "`tracepoint:block:block_" in str(refusal) else [f"{name}: {refusal}"]
    finally:
        os.environ["BPFTRACE_MISSING_PROBES"] = "warn"
    return [f"{name}: attached after all"]


def run(expected: Expected, scripts_of: dict[str, bytes]) -> None:
    """Run each with its work; AssertionError with everything that was not as it should be."""
    from vmtest.traced import scripts
    os.environ["BPFTRACE_MISSING_PROBES"] = "warn"
    wrong = []
    with scripts() as here:
        for name, (work, pattern) in expected.items():
            try:
                said = here.run(scripts_of[name].decode(), work)
                if RENAMED.get(name, "\0") in said.errors:
                    continue
                if expected is BLOCKS and "function" in said.errors:
                    wrong += _refused(here, name, scripts_of[name].decode())
                    continue
            except CompileError as problem:
                if RENAMED.get(name, "\0") in str(problem):
                    continue  # the script is as it is, and what it should name now is said
                if "has no field" not in str(problem):
                    raise
                raise NotSupported(f"{name} wants a newer kernel's structs", why=str(problem)) from None
            except Exception as problem:
                wrong.append(f"{name}: {type(problem).__name__}: {problem}")
                continue
            if not re.search(pattern.replace("%d", str(os.getpid())), said.out, re.M):
                wrong.append(f"{name}: {pattern}\n{said.out[-1500:]}\n{said.errors[-1500:]}")
    assert not wrong, "\n".join(wrong)
