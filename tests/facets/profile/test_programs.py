"""The profile's programs as verifiers see them: what they need of the stack, on kernels old and new, and the steps."""
from __future__ import annotations

from typing import Any

import pytest

from bpfwright import Kernel
from bpfwright.facets.profile import kernel
from bpfwright.hooks import perf_event
from bpfwright.kernel.listing import programs as listed
from bpfwright.lang import compile as compiling
from bpfwright.lang import frames
from bpfwright.lang.capture import Captures
from bpfwright.lang.target import Target
from bpfwright.session import attach, prepare

STACK = 512
KERNELS = {"5.10": set[str](), "6.1": {"bpf_loop", "current_task_btf", "task_registers", "atomics"},
           "6.12": {"iter_num", "may_goto", "bpf_loop", "current_task_btf", "task_registers", "atomics"}}


def programs() -> list[Any]:
    sampled = kernel.sampled.on(perf_event.Sampling(hz=99))
    found: list[Any] = [sampled, kernel.switched, kernel.executed, kernel.exited, kernel.forked]
    with Kernel() as machine:
        prepare(found, machine)
    return found


@pytest.mark.kernel
@pytest.mark.parametrize("series", KERNELS)
def test_calls_fit_the_stack(series: str) -> None:
    """Older kernels round each function's stack up to 32 bytes, and 512 are all there is."""
    chosen = programs()
    target = Target("v3" if series != "5.10" else "v2", frozenset(KERNELS[series]))
    unit, names = compiling._lower(chosen, target, Captures([program.function for program in chosen]))
    sizes = frames._frames(compiling._assemble(unit.text(), target))
    calls = {name: frames._calls(function) for name, function in unit.module.functions.items()}
    for name in names.values():
        chain = frames._deepest(name, calls, sizes)
        assert sum(-(-max(sizes[step], 1) // 32) * 32 for step in chain) <= STACK - 64, chain
        assert len(chain) <= 8, chain


@pytest.mark.kernel
def test_verifiers_are_done_soon() -> None:
    """Each way through a step of the walk once, and not once for each frame and each way that led there."""
    with attach(*programs()[1:]) as session:
        numbers = {session.program(one).id for one in programs()[1:]}
        walked = [found.verified_instructions for found in listed() if found.id in numbers]
    assert len(walked) == 4 and max(walked) < 20_000, walked
