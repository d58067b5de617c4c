"""What the compiler asks of the kernel: once, as soon as somebody wants to know it, and no sooner."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bpfwright.kernel import Kernel
from bpfwright.kernel.features import Features
from bpfwright.kernel.known import KnownFeatures
from tests.cli.commands import ENVIRONMENT, WITHOUT_CAPABILITIES


class Asked:
    """A machine that counts what is asked of it."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self._features = Features()

    @property
    def features(self) -> Asked:
        return self

    def named(self, name: str) -> object:
        self.questions.append(name)
        return self._features.named(name)

    def helper(self, kind: int, number: int) -> object:
        self.questions.append(f"helper {number}")
        return self._features.helper(kind, number)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.kernel
def test_each_is_asked_once_and_kept(cache: Path) -> None:
    machine = Asked()
    first = KnownFeatures(machine)
    assert first.empty
    assert ("atomics" in first) is Features().named("atomics").works
    assert machine.questions == ["atomics"]
    again = KnownFeatures(machine)
    assert not again.empty and ("atomics" in again) is ("atomics" in first)
    assert machine.questions == ["atomics"]
    cookies = "cookies" in again
    assert cookies is bool(Features().helper(2, 174).works)
    assert machine.questions == ["atomics", "helper 174"]
    assert "no such feature" not in again


@pytest.mark.kernel
def test_two_that_ask_at_the_same_time_keep_both_answers(cache: Path) -> None:
    machine = Asked()
    one, other = KnownFeatures(machine), KnownFeatures(machine)
    answers = ("atomics" in one, "bpf_loop" in other)
    later = KnownFeatures(machine)
    asked = len(machine.questions)
    assert ("atomics" in later, "bpf_loop" in later) == answers and len(machine.questions) == asked


@pytest.mark.kernel
def test_walking_over_them_agrees_with_the_kernel(cache: Path) -> None:
    with Kernel() as machine:
        known, kernel = KnownFeatures(machine), machine.features
        answers = {"may_goto": kernel.named("may_goto"), "iter_num": kernel.named("open-coded iterators"),
                   "bpf_loop": kernel.named("bpf_loop"), "tracing_timers": kernel.named("timers in tracing"),
                   "atomics": kernel.named("atomics"), "task_registers": kernel.helper(17, 175),
                   "current_task_btf": kernel.helper(17, 158), "coarse_clock": kernel.helper(6, 160)}
        assert set(known) == {name for name, verdict in answers.items() if verdict.works}
        assert len(known) == len(set(known))


ASKING = """
from bpfwright.kernel import Kernel
from bpfwright.kernel.known import KnownFeatures
with Kernel() as machine:
    print("atomics" in KnownFeatures(machine))
"""


@pytest.mark.kernel
def test_what_nobody_may_ask_is_no_answer_for_who_may(cache: Path) -> None:
    """The same user without capabilities comes first: the kernel refuses everything."""
    for words, said in ((WITHOUT_CAPABILITIES, "False"), ((), str(Features().named("atomics").works))):
        done = subprocess.run([*words, sys.executable, "-c", ASKING], capture_output=True, text=True,
                              env={**ENVIRONMENT, "XDG_CACHE_HOME": str(cache)})
        assert done.stdout.strip() == said, done.stderr
