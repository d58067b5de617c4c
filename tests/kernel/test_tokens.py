"""BPF tokens, really: a user namespace without any privilege outside, and a bpffs that delegates some to it.

The namespace opens the file system (so it belongs to it) and hands the unfinished mount to its privileged parent, which
says what is delegated, as a container's manager does (Documentation/bpf, BPF_TOKEN_CREATE; selftests/bpf token.c).
"""
from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys

import pytest

from bpfwright.kernel import Kernel
from tests.cli.commands import ENVIRONMENT, TOP

pytestmark = [pytest.mark.kernel, pytest.mark.since("6.9")]
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
SET_STRING, CREATE = 1, 6

INSIDE = """
import ctypes, os, socket, sys
from bpfwright import load, u32, u64
from bpfwright.errors import BpfwrightError
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel
from bpfwright.maps import Hash

counts = Hash[u32, u64](max_entries=8)

@xdp.program
def counting(ctx: xdp.Context) -> xdp.Action:
    counts.increment(1)
    return xdp.PASS

libc, channel = ctypes.CDLL(None, use_errno=True), socket.socket(fileno=int(sys.argv[1]))
assert libc.unshare(0x10000000 | 0x20000) == 0  # CLONE_NEWUSER, CLONE_NEWNS
channel.send(b"u")
channel.recv(1)
opened = libc.syscall(430, b"bpf", 0)
assert opened >= 0
socket.send_fds(channel, [b"f"], [opened])
mounted = socket.recv_fds(channel, 1, 1)[1][0]
def said(**options):
    try:
        with Kernel(**options) as kernel, load(counting, machine=kernel):
            counts[2] = 7
            return f"ok {counts[2]}"
    except BpfwrightError as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"

print(said(token=f"/proc/self/fd/{mounted}"))
said()  # what is refused may be the first that wants the compiler
before = sorted(os.listdir("/proc/self/fd"))  # it is there now
print(said())
said(token=f"/proc/self/fd/{mounted}")
print(sorted(os.listdir("/proc/self/fd")) == before)
"""


def call(*words: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(*words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def in_namespace(delegated: dict[str, str], tmp_path: os.PathLike[str]) -> list[str]:
    """The lines that INSIDE prints where these things are delegated."""
    ours, theirs = socket.socketpair()
    script = os.path.join(tmp_path, "inside.py")
    with open(script, "w") as file:
        file.write(INSIDE)
    environment = ENVIRONMENT | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(TOP / "src")}
    with ours, subprocess.Popen([sys.executable, script, str(theirs.fileno())], stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.PIPE, pass_fds=[theirs.fileno()], env=environment) as child:
        theirs.close()
        assert ours.recv(1) == b"u", child.communicate()
        for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
            with open(f"/proc/{child.pid}/{name}", "w") as file:
                file.write(text)
        ours.send(b"m")
        opened = socket.recv_fds(ours, 1, 1)[1][0]
        for option, value in delegated.items():
            call(FSCONFIG, opened, SET_STRING, option.encode(), value.encode(), 0)
        call(FSCONFIG, opened, CREATE, None, None, 0)
        mounted = call(FSMOUNT, opened, 0, 0)
        socket.send_fds(ours, [b"m"], [mounted])
        os.close(opened)
        os.close(mounted)
        shown, complaints = child.communicate(timeout=60)
        assert child.returncode == 0, complaints
    return shown.splitlines()


@pytest.fixture(autouse=True)
def tokens() -> None:
    with Kernel() as kernel:
        if not kernel.features.named("BPF token").works:
            pytest.fail(kernel.features.named("BPF token").why)


def test_what_is_delegated_works(tmp_path: os.PathLike[str]) -> None:
    """All commands, maps, programs: types, a map and a program are made by the token, and refused without it."""
    everything = dict.fromkeys(("delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs"), "any")
    lines = in_namespace(everything, tmp_path)
    assert lines[0] == "ok 7"
    assert lines[1].startswith("PrivilegeError: ") and "user namespace" in lines[1], lines
    assert lines[2] == "True"


def test_what_is_not_delegated_does_not(tmp_path: os.PathLike[str]) -> None:
    """A token for types and maps alone loads no program, and one for nothing is not made."""
    lines = in_namespace({"delegate_cmds": "map_create:btf_load", "delegate_maps": "any"}, tmp_path)
    assert lines[0].startswith("PrivilegeError: program 'counting'") and "token" in lines[0], lines
    assert lines[2] == "True"
    lines = in_namespace({}, tmp_path)
    assert lines[0].startswith("NotSupported: /proc/self/fd/") and "delegate" in lines[0], lines
    assert lines[2] == "True"
