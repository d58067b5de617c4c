"""What this kernel calls otherwise is named, and only what it has."""
from __future__ import annotations

import pytest

from bpfwright.errors import CompileError
from bpfwright.facets.trace.renames import field_now, function_now
from bpfwright.kernel import Kernel
from tests.facets.trace.probes.tracing import traced


@pytest.mark.parametrize(("struct", "name", "members", "now"), [
    ("struct cfs_rq", "nr_running", ("load", "nr_queued"), "nr_queued"),
    ("struct cfs_rq", "nr_queued", ("load", "nr_running"), "nr_running"),
    ("struct cfs_rq", "nr_running", ("load",), ""), ("struct rq", "nr_running", ("nr_queued",), ""),
    ("struct bio", "bi_disk", ("bi_bdev",), "bi_bdev.bd_disk"), ("struct task_struct", "state", ("__state",), "__state"),
    ("struct inode", "i_ctime", ("__i_ctime",), "__i_ctime"), ("struct inode", "i_ctime", ("i_ctime_sec",), "i_ctime_sec"),
])
def test_fields(struct: str, name: str, members: tuple[str, ...], now: str) -> None:
    assert field_now(struct, name, members) == now


def test_functions() -> None:
    assert function_now("swap_readpage", {"swap_read_folio"}) == "swap_read_folio"
    assert function_now("swap_readpage", {"vfs_read"}) == function_now("vfs_read", {"vfs_reed"}) == ""


@pytest.mark.kernel
@pytest.mark.parametrize(("script", "said"), [
    ("kprobe:_do_fork { }", "It is called `kernel_clone` here."),
    ("begin { print(curtask.state); }", "On this kernel it is `__state`."),
    ("begin { print(offsetof(struct task_struct, state)); }", "On this kernel it is `__state`."),
    ("begin { print(curtask.pidd); }", "Did you mean `pid`?"),
])
def test_what_a_script_is_told(script: str, said: str) -> None:
    with Kernel() as machine, pytest.raises(CompileError) as caught:
        traced(machine, script, work=lambda: None)
    assert said in str(caught.value)
