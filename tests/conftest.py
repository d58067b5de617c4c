"""Rules of the suite: who may skip, and that nothing leaks."""
from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest

from bpfwright.errors import NotSupported

# The clock says nothing on a shared machine, so no deadlines; `full` is what `./dev full` counts.
hypothesis.settings.register_profile("desk", deadline=None, max_examples=50)
# CI draws the same cases for the same tests, so that a change answers only for itself; `full` draws new ones.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=200, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("full", deadline=None, max_examples=20_000, print_blob=True)
hypothesis.settings.load_profile("desk")

IN_CI = os.environ.get("CI") == "true"
CASES = Path(__file__).parent.parent / "vmtest" / "cases"
REFUSED = "this kernel refuses it: "


def may_load_bpf() -> bool:
    """Root with CAP_SYS_ADMIN, or CAP_BPF, in the effective set."""
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    return bool(effective >> 21 & 1 or effective >> 39 & 1)


def pytest_configure() -> None:
    """A shell that starts the suite in the background has Ctrl-C ignored by all that come of it; but several tests end
    programs by it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lab", action="store_true", help="another kernel: what it lacks is skipped, not failed")
    parser.addoption("--keep-recordings", metavar="DIR", help="keep the examples' recordings and what they printed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`since("6.2")`: the test is about something that older kernels of the lab lack."""
    mark = item.get_closest_marker("since")
    if mark and item.config.getoption("--lab"):
        here, wanted = os.uname().release.split(".")[:2], mark.args[0].split(".")
        if [int(part) for part in here] < [int(part) for part in wanted]:
            pytest.skip(f"{REFUSED}it is about Linux {mark.args[0]}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Kernel tests want privilege: without it they skip on a desk and fail in CI."""
    if may_load_bpf() or IN_CI:
        return
    unprivileged = pytest.mark.skip(reason="needs root (or CAP_BPF): run it with sudo")
    for item in items:
        if item.get_closest_marker("kernel"):
            item.add_marker(unprivileged)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None],
                              ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a kernel test may skip only because this kernel refuses the hook, and says so by `refused_here`.

    In the lab a kernel is what it is: there a test is skipped when bpfwright itself says what the kernel lacks.
    """
    report = yield
    if report.failed and item.config.getoption("--lab") and call.excinfo and call.excinfo.errisinstance(NotSupported):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"{REFUSED}{str(call.excinfo.value).splitlines()[0]}")
        return report
    if IN_CI and report.skipped and item.get_closest_marker("kernel") and REFUSED not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped in CI without refused_here: {report.longrepr}"
    return report


@pytest.fixture
def refused_here() -> Callable[..., NoReturn]:
    """`refused_here(reason, vm="case")`: this kernel refuses the hook, and that case of the lab runs it elsewhere."""
    def skip(reason: str, *, vm: str) -> NoReturn:
        if not (CASES / f"{vm}.py").exists():
            pytest.fail(f"{reason}; and no case {vm} in vmtest/cases runs it on another kernel")
        pytest.skip(f"{REFUSED}{reason} (./dev vmtest runs {vm})")
    return skip


@pytest.fixture(params=[pytest.param(False, marks=pytest.mark.userspace), pytest.param(True, marks=pytest.mark.kernel)],
                ids=["userspace", "kernel"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Both machines, by turns."""
    if request.param:
        from bpfwright.kernel import Kernel
        with Kernel() as kernel:
            yield kernel
    else:
        from bpfwright.userspace import Userspace
        yield Userspace()


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the descriptor of the listing itself
            continue
    return found


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail when the test leaves a descriptor open that was not open before."""
    before = _descriptors()
    yield
    left = {name: target for name, target in _descriptors().items() if before.get(name) != target}
    assert not left, f"left open: {left}"
