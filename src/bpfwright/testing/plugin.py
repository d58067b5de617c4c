"""The pytest plugin: fixtures for machines and programs, and what a failing program shows.

Next to nothing of bpfwright is imported until a test asks for a fixture.

    bpf            load programs until the test ends: in `machine` when the test has it, else in `userspace`
    userspace      a fresh userspace machine
    machine        the test runs once in each machine that `--bpf-machine` names
"""
from __future__ import annotations

import os
import random
import sys
from enum import Enum

import pytest

from bpfwright._typing import TYPE_CHECKING, Any, Iterator
from bpfwright.testing.privilege import may_load

if TYPE_CHECKING:
    from collections.abc import Generator

    from bpfwright.spec.machine import Machine
    from bpfwright.testing.loading import Bpf
    from bpfwright.userspace import Userspace

__all__ = ["bpf", "machine", "userspace"]

_FIXTURES = frozenset(("bpf", "machine", "userspace"))
_SEED = pytest.StashKey[int]()


class Where(Enum):
    """A machine that a test is run in."""

    USER = "user"
    KERNEL = "kernel"


def pytest_addoption(parser: pytest.Parser) -> None:
    """--bpf-machine and --bpf-seed."""
    group = parser.getgroup("bpfwright", "kernel programs")
    group.addoption("--bpf-machine", choices=("user", "kernel", "both"),
                    help="where tests with the fixture `machine` run (default: both, without privilege: user)")
    group.addoption("--bpf-seed", metavar="N", default="0",
                    help="the seed of userspace machines: a number, or `random` (default: 0)")


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and the run's seed."""
    config.addinivalue_line("markers", 'bpf_machine(where): run only in this machine, "user" or "kernel"')
    chosen: str = config.getoption("--bpf-seed")
    try:
        config.stash[_SEED] = random.SystemRandom().getrandbits(32) if chosen == "random" else int(chosen)
    except ValueError:
        raise pytest.UsageError(f"--bpf-seed is a number or `random`, not {chosen!r}") from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the machines that are not wanted."""
    wanted: str | None = config.getoption("--bpf-machine")
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        where = _where(item)
        mark = item.get_closest_marker("bpf_machine")
        chosen = wanted or ("both" if where is not Where.KERNEL or may_load() else "user")
        out = where is not None and (chosen not in ("both", where.value)
                                     or (mark is not None and where.value not in mark.args))
        (left if out else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def _where(item: pytest.Item) -> Where | None:
    """The machine that an item of the fixture `machine` runs in; None where that is somebody else's fixture."""
    call = getattr(item, "callspec", None)
    found = call.params.get("machine") if call is not None else None
    return found if isinstance(found, Where) else None


@pytest.fixture
def userspace(request: pytest.FixtureRequest) -> Iterator[Userspace]:
    """A fresh userspace machine; `--bpf-seed` is its seed."""
    from bpfwright.userspace import Userspace
    with Userspace(seed=request.config.stash[_SEED]) as made:
        yield made


@pytest.fixture(params=list(Where), ids=lambda where: where.value)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine: the test runs in userspace, and in the kernel where it may."""
    if request.param is Where.USER:
        yield request.getfixturevalue("userspace")
        return
    from bpfwright.kernel import Kernel
    made = Kernel()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def bpf(request: pytest.FixtureRequest) -> Iterator[Bpf]:
    """Loads programs, and unloads them when the test ends."""
    from bpfwright.testing.loading import Bpf
    chosen = "machine" if "machine" in request.fixturenames else "userspace"
    made = Bpf(request.getfixturevalue(chosen))
    try:
        yield made
    finally:
        made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None],
                              ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failing program on its own line, and how to run the test with the same seed."""
    report = yield
    if report.failed and call.excinfo is not None:
        for error in _chain(call.excinfo.value):
            text = _on_its_line(error)
            if text:
                report.sections.append(("kernel program", text))
                break
        if _FIXTURES & set(getattr(item, "fixturenames", ())) and _where(item) is not Where.KERNEL:
            seed = item.config.stash[_SEED]
            report.sections.append(("bpfwright", f"the same run: pytest --bpf-seed={seed} {item.nodeid!r}"))
    return report


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it came from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [found.__context__, found.__cause__, *getattr(found, "exceptions", ())]


def _on_its_line(error: BaseException) -> str:
    """The source around the line that a program failed on, as pytest shows its own; empty for other errors."""
    errors: Any = sys.modules.get("bpfwright.errors")
    if errors is None:
        return ""
    if isinstance(error, errors.Fault):
        line: Any = error.line
        return _shown(line.file, line.line, line.source, error.what) if line is not None else ""
    if isinstance(error, errors.VerifierError) and error.line:
        said = [error.reason, *(f"it knew: {each}" for each in error.state), error.cure]
        return _shown(error.file, error.line, error.source, *said)
    if isinstance(error, errors.CompileError) and error.line:
        return _shown(error.file, error.line, error.source, error.what, error.cure)
    return ""


def _shown(file: str, number: int, source: str, *said: str) -> str:
    import linecache
    first = max(1, number - 4)
    lines = [linecache.getline(file, each).rstrip("\n") for each in range(first, number)]
    shown = [f"    {line}" for line in lines if line.strip()]
    here = linecache.getline(file, number).rstrip("\n") or source
    place = os.path.relpath(file) if os.path.isabs(file) and not os.path.relpath(file).startswith("..") else file
    return "\n".join([*shown, f">   {here}", *(f"E   {each}" for each in said if each), "", f"{place}:{number}"])
