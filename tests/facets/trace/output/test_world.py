"""What numbers mean outside: asked of this machine, and of files made here."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright import _host
from bpfwright.facets.trace.output.cgroups import Cgroups
from bpfwright.facets.trace.output.symbolizing import Symbolizer
from bpfwright.facets.trace.output.world import World, clock_text
from bpfwright.facets.trace.types import Stack
from tests.facets.trace.output.worlds import Kept, words


@pytest.fixture
def asleep() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        yield child
        child.kill()


def read(world: World, kind: str, *numbers: int) -> bytes:
    return world.reader(kind)(b"\xcc" * 8 + words(*numbers), 8)


def test_users() -> None:
    assert read(World(), "username", 0) == b"root"
    assert read(World(), "username", 4_000_000_123) == b"4000000123"


@pytest.mark.parametrize("kind,number,expected", [
    ("strerror", 7, "Argument list too long"), ("strerror", 1, "Operation not permitted"),
    ("signal_name", 15, "SIGTERM"), ("signal_name", 10, "SIGUSR1"), ("signal_name", 6, "SIGABRT"),
    ("signal_name", 29, "SIGIO"), ("signal_name", 0, "0"),
    ("syscall_name", 100_000, "100000")])
def test_tables(kind: str, number: int, expected: str) -> None:
    assert read(World(), kind, number).decode() == expected


def test_system_calls() -> None:
    from bpfwright._abi.syscalls import NUMBERS
    table = NUMBERS[_host.processor()]
    world = World()
    assert all(read(world, "syscall_name", number).decode() in table for number in table.values())
    assert read(world, "syscall_name", table["openat"]) == b"openat"


def test_probes_and_functions() -> None:
    world = World(probes=(("kprobe:a", "a"), ("uprobe:/x:b", "b")))
    assert [read(world, "probe", 1), read(world, "func", 0)] == [b"uprobe:/x:b", b"a"]


def test_times_since_boot() -> None:
    world = World(("%Y-%m-%d %H:%M:%S.%f %%f", "plain"))
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    told = read(world, "strftime", boot, 0).decode()
    seconds = time.mktime(time.strptime(told[:19], "%Y-%m-%d %H:%M:%S"))
    assert abs(seconds - time.time()) < 2
    assert told[19] == "." and told[20:26].isdigit() and told[26:] == " %f"
    assert read(world, "strftime", boot, 1) == b"plain"
    assert read(world, "ctime", boot).decode().endswith(time.strftime("%Y"))


def test_microseconds() -> None:
    """The reference's runtime tests strftime_microsecond_extension and its rollover."""
    world = World(("1%f",))
    world.boot_to_wall_ns = 0
    assert [int(read(world, "strftime", ns, 0)) for ns in (1_000_123_000, 1_000_000_123_000, 0)] == [
        1_000_123, 1_000_123, 1_000_000]
    assert clock_text(1_500_000_999_999, "%f") == b"000999"


def test_settings() -> None:
    assert World().trailer == b".."
    assert World(settings={"str_trunc_trailer": "é"}).trailer == "é".encode()


# ------------------------------------------------------------------------------------------------------------ cgroups


def hierarchies(tmp_path: Path) -> Cgroups:
    for name in ("v2/a/b", "cpu/a", "memory", "with space"):
        (tmp_path / name).mkdir(parents=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\ncgroup {tmp_path}/memory cgroup rw 0 0\n"
                      f"cgroup2 {tmp_path}/v2 cgroup2 rw 0 0\ncgroup {tmp_path}/cpu cgroup rw 0 0\n"
                      f"cgroup {tmp_path}/with\\040space cgroup rw 0 0\n")
    return Cgroups(str(mounts))


def test_cgroups(tmp_path: Path) -> None:
    cgroups = hierarchies(tmp_path)

    def number(path: str) -> int:
        return os.stat(tmp_path / path).st_ino

    assert cgroups.path(number("v2/a/b"), "") == b"unified:/a/b"
    assert cgroups.path(number("cpu"), "") == b"cpu:/"
    assert cgroups.path(number("with space"), "with*") == b"with space:/"
    assert cgroups.path(number("cpu/a"), "uni*") == b""
    assert cgroups.path(number("cpu/a"), "c?u") == b"cpu:/a"
    assert cgroups.path(1 << 50, "") == b""
    where = number("v2/a/b")
    os.rename(tmp_path / "v2/a/b", tmp_path / "v2/c")
    assert cgroups.path(where, "") == b"unified:/c"


def test_our_own_cgroup() -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((line[1] for line in mounts if line[2].startswith("cgroup")), None)
    if root is None:
        return
    told = World(("",)).reader("cgroup_path")(words(os.stat(root).st_ino, 0), 0)
    assert b":/" in told


# ------------------------------------------------------------------------------------------------------------- stacks


NOBODY = 1 << 22  # above pid_max


def stacks(**stack: int) -> World:
    frames = words(*stack.values()).ljust(127 * 8, b"\0")
    return World(stacks=Kept({(1).to_bytes(4, "little"): frames}))


@pytest.mark.parametrize("mode,expected", [
    ("raw", "\n1000\n2000\n"), ("bpftrace", "\n        0x1000\n        0x2000\n"),
    ("perf", "\n\t1000 0x1000 ([unknown])\n\t2000 0x2000 ([unknown])\n"),
    ("build_id", "\n        0x1000\n        0x2000\n")])
def test_frames_without_names(mode: str, expected: str) -> None:
    """Shapes as bpftrace 0.17's."""
    world = stacks(a=0x1000, b=0x2000)
    assert world.stack(Stack("user", mode, 127), 1, NOBODY, 8).decode() == expected


def test_depth_and_what_is_missing() -> None:
    world = stacks(a=1, b=2, c=3)
    assert world.stack(Stack("user", "raw", 2), 1, NOBODY, 0) == b"\n1\n2\n"
    assert world.stack(Stack("user", "raw", 2), 9, NOBODY, 0) == b""
    assert world.lost_stacks == 1
    assert world.stack(Stack("user", "raw", 2), (1 << 32) - 14, NOBODY, 0) == b""
    assert World().stack(Stack("user", "raw", 2), 1, NOBODY, 0) == b""
    assert world.lost_stacks == 1


def libc_place(pid: int) -> tuple[int, str]:
    """An address inside of the C library's code, and the library's path."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split()
        if "r-x" in words[1] and "/libc" in words[-1]:
            start = int(words[0].partition("-")[0], 16)
            return start + 0x40000, words[-1]
    raise AssertionError("no C library")


def test_users_symbols(asleep: subprocess.Popen[bytes]) -> None:
    address, path = libc_place(asleep.pid)
    symbols = Symbolizer()
    text = symbols.frames([address], asleep.pid, True)[0].decode()
    name, _, rest = text.partition("+")
    assert name and rest.endswith(f" ({path})") and int(rest.split()[0]) >= 0
    assert symbols.user(address, asleep.pid).decode() == name
    assert symbols.frames([address, 5], asleep.pid, False) == [text.split()[0].encode(), b"0x5"]


def test_processes_that_ended_are_remembered(asleep: subprocess.Popen[bytes]) -> None:
    address, _ = libc_place(asleep.pid)
    world = World()
    world.remember(asleep.pid)
    asleep.kill()
    asleep.wait()
    told = read(world, "usym", address, asleep.pid).decode()
    assert told and not told.startswith("0x")
    assert read(World(), "usym", address, asleep.pid).decode() == f"{address:#x}"


@pytest.mark.parametrize("cache", ["PER_PID", "PER_PROGRAM", "NONE"])
def test_caching(asleep: subprocess.Popen[bytes], cache: str) -> None:
    address, _ = libc_place(asleep.pid)
    symbols = Symbolizer(cache)
    name = symbols.user(address, asleep.pid)
    assert not name.startswith(b"0x")
    assert symbols.user(address, asleep.pid) == name
    asleep.kill()
    asleep.wait()
    assert symbols.user(address, asleep.pid) == (b"0x%x" % address if cache == "NONE" else name)


def test_build_ids(asleep: subprocess.Popen[bytes]) -> None:
    from bpfwright.formats.elf.program import FileBytes, Program
    address, path = libc_place(asleep.pid)
    with FileBytes(path) as file:
        number = Program(file).build_id.hex()
    told = Symbolizer().build_ids([address, 5], asleep.pid)
    assert told[0].decode().split()[0] == number
    assert told[1] == b"0x5"


@pytest.mark.kernel
def test_kernel_symbols() -> None:
    place = next(line.split() for line in Path("/proc/kallsyms").read_text().splitlines()
                 if line.split()[2] == "vfs_read")
    address = int(place[0], 16)
    world = World()
    assert read(world, "ksym", address + 3) == b"vfs_read"
    assert world.symbols.frames([address + 3], None, False) == [b"vfs_read+3"]
    assert world.symbols.frames([address + 3], None, True) == [b"vfs_read+3"]
    assert read(world, "ksym", 16) == b"0x10"
