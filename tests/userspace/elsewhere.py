"""A child process that takes itself for another system: everything of the userspace machine, without Linux.

    python -m tests.userspace.elsewhere SYSTEM SOURCES

What is Linux's alone cannot be imported, opened or called here, and sys.platform says SYSTEM (darwin, win32). Python's
own library is imported before that, as it stands. Prints one line a thing that works; anything else is a traceback.
"""
from __future__ import annotations

import contextlib
import importlib
import multiprocessing  # noqa: F401
import os
import pkgutil
import platform
import signal
import socket
import subprocess  # noqa: F401
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import coverage  # noqa: F401
import hypothesis.strategies  # noqa: F401
import numpy  # noqa: F401
import pytest  # noqa: F401

POSIX = ("fcntl", "resource", "termios", "pwd", "grp", "syslog", "tty", "pty", "readline")
LINUX_CALLS = ("sched_setaffinity", "sched_getaffinity", "memfd_create", "pidfd_open", "eventfd", "epoll", "setns",
               "unshare", "splice", "copy_file_range", "getrandom", "posix_fadvise", "sched_yield")
POSIX_CALLS = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "getuid", "geteuid", "getgid", "getegid", "uname",
               "register_at_fork", "sysconf", "pread", "pwrite", "mkfifo", "mknod", "chown", "getpgid", "WNOHANG",
               "WIFEXITED", "wait4", "wait3", "waitid", "getloadavg", "statvfs", "confstr", "O_CLOEXEC", "O_NOFOLLOW",
               "O_NONBLOCK", "O_DIRECTORY", "getpgrp", "killpg", "setsid", "nice", "fchmod", "fchown", "mkfifo")
WINDOWS_LACKS_OF_MMAP = ("MAP_ANONYMOUS", "MAP_ANON", "MAP_PRIVATE", "MAP_SHARED", "PROT_READ", "PROT_WRITE",
                         "PROT_EXEC")
# The parts of bpfwright that are about a kernel; `session` reaches them for attach() and must not need them for load().
DOOR = "bpfwright.kernel"
ROOMS = ("errors", "types", "formats", "vmlinux", "spec", "headers", "maps", "helpers", "hooks", "tracepoints", "lang",
         "objfile", "userspace", "testing", "session", "events")


class Missing(MetaPathFinder):
    """Refuses modules by name."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if any(name == one or name.startswith(f"{one}.") for one in self.names):
            raise ModuleNotFoundError(f"not on this system: {name}", name=name)


def _no_linux_files(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: /proc and /sys are not there. What Python's ctypes and llvmlite's loader open is not asked."""
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes):
        name = os.fsdecode(arguments[0])
        if name.startswith(("/proc", "/sys/", "/dev/shm")) or name == "/sys":
            raise FileNotFoundError(2, "no such file on this system", name)
    if event == "socket.__new__" and arguments[1] in (16, 17):
        raise OSError(97, "no such address family on this system")


def _lose(module: Any, names: Iterable[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def become(system: str) -> None:
    """Lose what the other system lacks."""
    import mmap
    import select
    _lose(os, LINUX_CALLS)
    _lose(select, ("epoll", "EPOLLIN"))
    _lose(socket, ("AF_PACKET", "AF_NETLINK"))
    missing = [DOOR]
    if system == "win32":
        missing += POSIX
        _lose(os, POSIX_CALLS)
        _lose(mmap, WINDOWS_LACKS_OF_MMAP)
        _lose(signal, ("SIGALRM", "SIGHUP"))
        _lose(select, ("poll",))
        _lose(time, ("clock_gettime", "clock_gettime_ns", "CLOCK_MONOTONIC"))
    else:
        missing += ["spwd"]
    for name in missing:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Missing(*missing))
    sys.platform = system
    platform.system = lambda: {"darwin": "Darwin", "win32": "Windows"}[system]
    if system == "darwin":
        os.uname = _uname(os.uname())
    sys.addaudithook(_no_linux_files)


def _uname(real: Any) -> Any:
    return lambda: os.uname_result(("Darwin", "host", "25.0.0", "Darwin Kernel Version 25.0.0", real.machine))


def say(what: str) -> None:
    print(what, flush=True)


def every_module() -> None:
    """Import all of them."""
    import bpfwright
    seen = 0
    for room in ROOMS:
        module = importlib.import_module(f"bpfwright.{room}")
        seen += 1
        for one in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
            importlib.import_module(one.name)
            seen += 1
    assert bpfwright.Userspace is not None
    say(f"imported {seen}")


def machine_kinds(system: str) -> tuple[str, ...]:
    return ("interpreter", "auto") if system == "win32" else ("interpreter", "auto", "jit")


def run_programs(system: str, objects: Path) -> None:
    """Compiled programs (by this very process, or handed in as files) on packets, by each engine."""
    from bpfwright import Userspace
    from bpfwright.formats.pcap import write_capture
    from bpfwright.headers import Ethernet, IPv4
    from bpfwright.objfile import read
    packets = [bytes(Ethernet() / IPv4(source=f"192.0.2.{n}", ttl=3)) + bytes(40) for n in range(1, 6)]
    spec = read(objects.read_bytes())
    name = spec.programs[0].name
    found = []
    for engine in machine_kinds(system):
        with Userspace(engine=engine, memory_bytes=1 << 22) as machine, machine.load(spec) as loaded:
            program = loaded.programs[name]
            values = [program.test_run(packet).value for packet in packets]
            from bpfwright.userspace.captures import drive
            driven = drive(program, write_capture([(at, packet) for at, packet in enumerate(packets)]), keep=True)
            found.append((values, list(driven.actions), sorted(loaded.maps["seen"].items())))
    assert all(one == found[0] for one in found), found
    assert len(found[0][0]) == 5 and found[0][2]
    say(f"ran by {' '.join(machine_kinds(system))}")


def verify_and_debug(objects: Path) -> None:
    """Verdicts for every recorded kernel, and a walk to the end and back."""
    from bpfwright import Userspace
    from bpfwright.headers import Ethernet, IPv4
    from bpfwright.objfile import read
    from bpfwright.userspace.debugger import Debugger
    from bpfwright.userspace.verifier import Profile, verify
    spec = read(objects.read_bytes())
    name = spec.programs[0].name
    for profile in ("linux_6_1", "linux_6_12", "linux_6_18", "linux_7_3"):
        verdict = verify(spec, name, profile=Profile(profile))
        assert verdict.accepted, verdict
    say("verified")
    with Userspace(memory_bytes=1 << 22) as machine, machine.load(spec) as loaded:
        with Debugger(loaded.programs[name], bytes(Ethernet() / IPv4(ttl=2)) + bytes(40)) as debugger:
            end = debugger.run()
            assert end.ended and end.fault is None
            debugger.back()
            assert debugger.position.count == end.count - 1
    say("debugged")


def compile_and_load() -> None:
    """From a Python function to a result, as a test does."""
    from tests.userspace.elsewhere_programs import counted, seen
    from bpfwright import Userspace, load
    from bpfwright.headers import Ethernet, IPv4
    from bpfwright.hooks import xdp
    with load(counted, machine=Userspace(memory_bytes=1 << 22)) as program:
        result = program.test(Ethernet() / IPv4(ttl=4))
        assert result.action == xdp.DROP
        assert seen[4] == 1
    say("compiled and loaded")


def refuse_the_kernel() -> None:
    """What needs a kernel says so."""
    from bpfwright import attach
    from bpfwright.errors import BpfwrightError
    from bpfwright.hooks import xdp
    from tests.userspace.elsewhere_programs import counted
    try:
        with attach(counted, xdp.Interface("eth0")):
            raise AssertionError("attached without a kernel")
    except BpfwrightError as refused:
        say(f"refused: {refused.what}")


def main(system: str, objects: str) -> None:
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        become(system)
        every_module()
        run_programs(system, Path(objects))
        verify_and_debug(Path(objects))
        compile_and_load()
        refuse_the_kernel()
        with contextlib.suppress(Exception):
            from bpfwright import _llvm
            _llvm.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
