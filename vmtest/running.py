"""What the checks share in the guest: load an object, attach it, read what it saw."""
from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator

from bpfwright import objfile
from bpfwright.kernel import Kernel
from bpfwright.spec.machine import LoadedMap, LoadedObject, LoadedProgram

__all__ = ["Seen", "inside_cgroup", "interface_pair", "loaded", "run", "until"]

CELL = struct.Struct("<Q")
INDEX = struct.Struct("<I")


class Seen:
    """The cells of the map `seen`."""

    def __init__(self, cells: LoadedMap) -> None:
        self._cells = cells

    def __getitem__(self, index: int) -> int:
        value = self._cells.lookup(INDEX.pack(index))
        assert value is not None
        number: int = CELL.unpack(value)[0]
        return number

    def __setitem__(self, index: int, value: int) -> None:
        self._cells.update(INDEX.pack(index), CELL.pack(value))


class Loaded:
    """A machine, the object's only program (or the named one), and what it saw."""

    def __init__(self, kernel: Kernel, content: LoadedObject) -> None:
        self.kernel = kernel
        self.object = content
        self.program: LoadedProgram = next(iter(content.programs.values()))
        self.seen = Seen(content.maps["seen"])
        self.seen[1] = os.getpid()


@contextlib.contextmanager
def loaded(files: dict[str, bytes]) -> Iterator[Loaded]:
    """Load what `compile_c` made."""
    with contextlib.closing(Kernel()) as kernel, contextlib.closing(kernel.load(objfile.read(files["object"]))) as held:
        yield Loaded(kernel, held)


def until(reached: Callable[[], bool], *, seconds: float = 5.0) -> bool:
    """Whether `reached` comes true in time: emulated CPUs are slow, and the network stack takes its own."""
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")


@contextlib.contextmanager
def interface_pair() -> Iterator[tuple[str, str]]:
    """Two ends of a veth, up, with addresses that never meet a real network; gone afterwards."""
    left, right = "bpfw-left", "bpfw-right"
    run("ip", "link", "add", left, "type", "veth", "peer", "name", right)
    try:
        for name in (left, right):
            run("ip", "link", "set", name, "up")
        yield left, right
    finally:
        run("ip", "link", "delete", left)


@contextlib.contextmanager
def inside_cgroup() -> Iterator[str]:
    """Moves this process into a fresh cgroup (version 2) and back."""
    with open("/proc/mounts") as mounts:
        top = next(fields[1] for fields in map(str.split, mounts) if fields[2] == "cgroup2")
    with open("/proc/self/cgroup") as lines:
        home = top + next(line.rstrip("\n")[3:] for line in lines if line.startswith("0::"))
    path = f"{top}/bpfwright-{os.getpid()}"
    os.mkdir(path)
    try:
        _move(path)
        yield path
    finally:
        _move(home)
        os.rmdir(path)


def _move(path: str) -> None:
    with open(f"{path}/cgroup.procs", "w") as processes:
        processes.write(str(os.getpid()))
