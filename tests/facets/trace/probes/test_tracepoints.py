"""Tracepoints, raw and not: where they stand, and what they are called."""
from __future__ import annotations

import pytest

from bpfwright.errors import CompileError
from bpfwright.kernel import Kernel
from tests.facets.trace.probes.tracing import traced

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("module", ["", "vmlinux:", "vmlinu*:"])
def test_modules_that_have_it(machine: Kernel, module: str) -> None:
    said = traced(machine, f"rawtracepoint:{module}sched_process_exit {{ @ = 1; }}", command="true")
    assert said.lines == ["@: 1"]


@pytest.mark.parametrize("module", ["nothing", "no*", "vmlinuz"])
def test_modules_that_do_not(machine: Kernel, module: str) -> None:
    with pytest.raises(CompileError, match=r"`sched_process_exit` is not in `.*`\n(.*\n)*  It is in `vmlinux`"):
        traced(machine, f"rawtracepoint:{module}:sched_process_exit {{ }}")


def test_names_of_single_places_and_of_patterns_share_a_map(machine: Kernel) -> None:
    script = """tracepoint:sched:sched_process_exit, tracepoint:syscalls:sys_enter_*map* / comm == "true" / {
        @[probe] = count(); }
        begin { @[probe] = count(); @more[probe, 1] = 2; }
        end { if (has_key(@, probe)) { @[probe] = count(); } delete(@more, (probe, 1)); }"""
    said = traced(machine, script, command="true")
    names = {line.partition("]")[0] for line in said.lines}
    assert {"@[begin", "@[tracepoint:sched:sched_process_exit", "@[tracepoint:syscalls:sys_enter_mmap",
            "@more[begin, 1"} <= names
    assert "@[end" not in names
