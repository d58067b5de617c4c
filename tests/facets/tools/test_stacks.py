"""Names of kernel functions in stacks: found in passes over the kernel's list, or in a table for who asks again."""
from __future__ import annotations

import sys

import pytest

from bpfwright.facets.tools._stacks import Symbols
from bpfwright.symbols import KernelSymbols
from tests.facets.tools.works import execute

pytestmark = pytest.mark.kernel
NAMES = ("vfs_read", "vfs_write", "do_sys_openat2", "schedule", "vfs_fsync", "tcp_sendmsg", "udp_sendmsg")


def test_names_are_the_same_however_often_they_are_asked_for() -> None:
    table, symbols = KernelSymbols(), Symbols()
    addresses = {name: table.address(name) + 1 for name in NAMES}
    for _ in range(2):
        assert {name: symbols.kernel(address) for name, address in addresses.items()} == {name: name for name in NAMES}
    assert symbols.kernel(16) == "0x10"
    at_once = Symbols()
    assert at_once.kernel_stack(list(addresses.values())) == list(NAMES)


def test_kernel_stacks_are_shown_without_numpy() -> None:
    code = ("import os, sys, time; from bpfwright.facets.tools import tool\n"
            "with tool('offcputime').start(pid=os.getpid(), kernel_stacks_only=True) as running:\n"
            "    time.sleep(0.05)\n"
            "    print(any('nanosleep' in row['kernel'] for row in running.take()), 'numpy' in sys.modules)")
    done = execute(sys.executable, "-c", code)
    assert done.stdout.split() == ["True", "False"], done.stdout + done.stderr
