"""Raw tracepoints: where they stand."""
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
