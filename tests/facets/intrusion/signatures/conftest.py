"""Machines for beds: both, or the kernel alone."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bpfwright.userspace import Userspace

from .bed import Bed


@pytest.fixture(params=[pytest.param(False, marks=pytest.mark.userspace), pytest.param(True, marks=pytest.mark.kernel)],
                ids=["userspace", "kernel"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param:
        from bpfwright.kernel import Kernel
        with Kernel() as kernel:
            yield kernel
    else:
        yield Userspace()


@pytest.fixture
def bed(machine: Any) -> Iterator[Callable[..., Bed]]:
    made: list[Bed] = []

    def make(rules: str, *given: Any, **more: Any) -> Bed:
        made.append(Bed(machine, rules, *given, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def in_kernel() -> Iterator[Callable[..., Bed]]:
    """Beds on the kernel alone."""
    from bpfwright.kernel import Kernel
    made: list[Bed] = []
    with Kernel() as kernel:
        def make(rules: str, *given: Any, **more: Any) -> Bed:
            made.append(Bed(kernel, rules, *given, **more))
            return made[-1]

        yield make
        for each in made:
            each.close()
