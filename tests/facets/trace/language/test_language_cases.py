"""Every script of the tables, compiled and run in the kernel: it prints what it should, or says what is wrong."""
from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bpfwright.errors import CompileError
from bpfwright.kernel import Kernel
from tests.facets.trace.language.cases import Case, all_cases
from tests.facets.trace.language.running import outcome

CASES = all_cases()


@pytest.fixture(scope="module")
def machine() -> Iterator[Kernel]:
    with Kernel() as made:
        yield made


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES, ids=[f"{case.chapter}: {case.name}" for case in CASES])
def test_case(case: Case, machine: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in case.settings.items():
        monkeypatch.setenv(f"BPFTRACE_{name.upper()}", value)
    if case.error:
        with pytest.raises(CompileError) as raised:
            outcome(case, machine)
        assert case.error in str(raised.value)
        return
    output, said, code = outcome(case, machine)
    assert code == case.code
    if case.pattern:
        assert re.fullmatch(case.output, output.strip(), re.S), output
    else:
        assert output.strip() == case.output.strip()
    if case.warning:
        assert case.warning in said
    else:
        assert "WARNING" not in said
        assert "ERROR" not in said


def test_names_are_told_apart() -> None:
    names = [(case.chapter, case.name) for case in CASES]
    assert len(names) == len(set(names))
