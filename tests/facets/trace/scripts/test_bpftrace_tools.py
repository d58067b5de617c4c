"""The scripts of Debian's bpftrace package that need no kprobe, unchanged: each sees what the test does.

The scripts are read where the package has them. The others run in the VM lab: vmtest/cases/trace_tools.py.
"""
from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bpfwright.errors import CompileError
from bpfwright.kernel import Kernel
from tests.facets.trace.probes.tracing import Said, traced
from tests.facets.trace.scripts.dropping import dropped_segment
from tests.facets.trace.scripts.workloads import WORKS

pytestmark = pytest.mark.kernel
FOLDER = Path("/usr/sbin")
CLOCK = r"\d\d:\d\d:\d\d"
EXPECTED = {
    "bashreadline": rf"^{CLOCK}  \d+ +echo typed-by-a-test$",
    "bitesize": r"^\[(4|8|16|32|64)K, \d+K\) +\d+ \|@+ *\|$",
    "cpuwalk": r"^\[\d+, \d+\) +\d+ \|@+ *\|$",
    "execsnoop": r"^\d+ +\d+ +/bin/echo seen by execsnoop$",
    "gethostlatency": rf"^{CLOCK}  \d+ +python3 +\d+ localhost$",
    "killsnoop": rf"^{CLOCK}  {os.getpid()} +\S+ +15 +\d+ +0$",
    "naptime": rf"^{CLOCK} {os.getppid()} +\S+ +{os.getpid()} +\S+ +0\.012$",
    "opensnoop": rf"^{os.getpid()} +\S+ +-1 +2 /etc/no-such-file-of-a-test$",
    "pidpersec": rf"^{CLOCK} PIDs/sec: @: \d+$",
    "runqlat": r"^\[\d+K?, \d+K?\) +\d+ \|@+ *\|$",
    "setuids": rf"^{CLOCK} \d+ +python3 +0 +setresuid ruid=65534 euid=65534 suid=65534 \(0\)$",
    "ssllatency": r"^@stat\[SSL_write\]: count [1-9]\d*, average \d+, total \d+$",
    "sslsnoop": r"^\d+ +\d+ +openssl +\d+ +1024 SSL_read$",
    "statsnoop": rf"^{os.getpid()} +\S+ +2 /no-such-file-of-a-test$",
    "syncsnoop": rf"^{CLOCK}  {os.getpid()} +\S+ +tracepoint:syscalls:sys_enter_fdatasync$",
    "syscount": r"^@process\[\S+\]: \d{4,}$",
    "writeback": rf"^{CLOCK}  \d+:\d+ +\d+ +sync +\d+\.\d\d\d$",
}


def tool(name: str) -> str:
    return (FOLDER / f"{name}.bt").read_text()


def shows(said: Said, pattern: str) -> None:
    assert re.search(pattern, said.out, re.M), f"{pattern}\n{said.out}\n{said.errors}"
    assert said.code == 0


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some scripts name the functions of several versions of a library, of which one is there."""
    monkeypatch.setenv("BPFTRACE_MISSING_PROBES", "warn")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_tool(machine: Kernel, name: str) -> None:
    shows(traced(machine, tool(name), work=WORKS[name]), EXPECTED[name])


def test_pidpersec_counts_every_process(machine: Kernel) -> None:
    said = traced(machine, tool("pidpersec"), work=WORKS["pidpersec"])
    assert sum(map(int, re.findall(r"@: (\d+)", said.out))) >= 8  # a busy machine's take more than a second


def test_all_calls_of_syscount_are_named(machine: Kernel) -> None:
    said = traced(machine, tool("syscount"), work=WORKS["syscount"])
    assert said.out.count("@syscall[") <= 10 and said.out.count("@process[") <= 10


def test_tcpdrop(machine: Kernel) -> None:
    with dropped_segment() as (port, send):
        said = traced(machine, tool("tcpdrop"), work=send)
    shows(said, rf"^{CLOCK} \d+ +\S+ +127\.0\.0\.1:\d+ +127\.0\.0\.1:{port} +ESTABLISHED *$")
    shows(said, r"^ +\S+\+\d+$")  # the stack


def test_threadsnoop_where_threads_are_the_c_librarys(machine: Kernel) -> None:
    """Since glibc 2.34 there is no libpthread: that is said, and the script with libc's name does it."""
    libc = tool("threadsnoop").replace("libpthread", "libc")
    shows(traced(machine, libc, work=WORKS["threadsnoop"]), r"^\d+ +\d+ +python3 +\S+$")


def test_threadsnoop_as_it_is(machine: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFTRACE_MISSING_PROBES", "error")
    with pytest.raises(CompileError, match=r"has no function `pthread_create`") as caught:
        traced(machine, tool("threadsnoop"), work=lambda: None)
    assert "libc.so.6" in str(caught.value)


@pytest.mark.parametrize(("name", "what"), [("loads", "avenrun"), ("runqlen", "nr_running")])
def test_tools_that_this_kernel_may_lack_something_for(machine: Kernel, name: str, what: str) -> None:
    """They run here, or what is missing is named; they are checked in the VM lab."""
    try:
        said = traced(machine, tool(name), work=WORKS["pidpersec"])
    except CompileError as refused:
        assert what in str(refused)
        if name == "runqlen":  # since 6.15
            assert "On this kernel it is `nr_queued`" in str(refused)
    else:
        assert said.code == 0 and said.out
