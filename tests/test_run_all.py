"""What `./dev test` runs: one failure is enough, none hides another, and the last line is the sum."""
from __future__ import annotations

import sys
from collections import Counter

import pytest

from scripts import run_all
from scripts.run_all import Ended, beside, closing, counts_of, told


@pytest.mark.parametrize(("line", "counts"), [
    ("=========== 3 failed, 5 passed, 1 skipped, 2 deselected in 7.81s ===========",
     {"failed": 3, "passed": 5, "skipped": 1}),
    ("167 passed in 328.25s (0:05:28)", {"passed": 167}),
    ("\x1b[32m=== \x1b[32m\x1b[1m4 passed\x1b[0m, \x1b[33m1 warning\x1b[0m\x1b[32m in 0.12s\x1b[0m\x1b[32m ===\x1b[0m",
     {"passed": 4, "warning": 1}),
    ("= 1 passed, 2 errors in 1.00s =", {"passed": 1, "error": 2}),
    ("vmtest: 60 passed, 0 failed", {}), ("FAILED tests/test_x.py - 3 failed in 1.0s of it", {}), ("", {})])
def test_what_a_line_counts(line: str, counts: dict[str, int]) -> None:
    assert counts_of(line) == Counter(counts)


def test_the_last_line_is_the_sum() -> None:
    good = Ended("a", 0, Counter(passed=5, skipped=1)), Ended("b", 0, Counter(passed=7))
    assert closing(good, 75.5).strip("=") == " 12 passed, 1 skipped in 75.50s (0:01:15) "
    bad = Ended("c", 1, Counter(failed=2, passed=1)), Ended("lab", 1, Counter())
    assert closing((*good, *bad), 1).strip("=") == " 2 failed, 13 passed, 1 skipped, 1 error in 1.00s (0:00:01) "
    assert counts_of(closing((*good, *bad), 1)) == Counter(failed=2, passed=13, skipped=1, error=1)
    assert closing((), 0).strip("=") == " no tests ran in 0.00s (0:00:00) "


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_step_is_shown_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    assert told("one", python("print('== 2 passed in 0.10s ==\\nmore')")) == Ended("one", 0, Counter(passed=2))
    assert told("two", python("import sys; print('said'); sys.exit(3)")).status == 3
    out, err = capfd.readouterr()
    assert out == "== 2 passed in 0.10s ==\nmore\nsaid\n" and err == "dev: one\ndev: two\ndev: FAILED: two\n"


def test_what_runs_beside_is_shown_when_it_is_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    with beside("lab", python("print('guest', flush=True); import sys; sys.exit(1)")) as lab:
        assert told("other", python("print('first')")).status == 0
        assert lab.wait() == Ended("lab", 1, Counter())
    assert capfd.readouterr().out == "first\nguest\n"


def test_what_runs_beside_ends_with_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), beside("lab", python("import time; time.sleep(60)")) as lab:
        raise ZeroDivisionError
    assert lab.process.returncode != 0


@pytest.mark.parametrize("fails", range(5))
def test_any_failure_is_the_exit_code(fails: int, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    ended = [Ended(str(at), int(at == fails), Counter(passed=1)) for at in range(4)]
    monkeypatch.setattr(run_all, "everything", lambda kernels, profile: ended)
    assert run_all.main(["6.1"]) == (fails < 4)
    last = capsys.readouterr().out.splitlines()[-1]
    assert ("1 error" in last) == (fails < 4) and " 4 passed" in last
