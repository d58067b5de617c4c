"""Static tracepoints of a program made for it: where arguments stand, counters that are raised, what is not there."""
from __future__ import annotations

from pathlib import Path

import pytest

from bpfwright.errors import TargetError, UsageError
from bpfwright.facets.tools import tool
from tests.facets.tools.works import execute, rows
from tests.facets.trace.probes.programs import NOTES, built

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(NOTES, tmp_path_factory.mktemp("static") / "app")


def test_usdt_has_arguments_wherever_they_stand(program: Path) -> None:
    found = rows("usdt", lambda: execute(str(program)), probe=f"{program}:app:*")
    assert [(row["name"], row["args"]) for row in found if row["name"] != "text"] == [
        ("registers", "1000 -7 5 -6"), ("memory", "10 20 30 20"), ("symbol", "?"), ("registers", "2000 -3"),
        ("gated", "1")]  # the program passes the last one only while its counter is raised
    assert {(row["comm"], row["provider"]) for row in found} == {("app", "app")}


def test_usdt_shows_text_and_every_provider(program: Path) -> None:
    found = rows("usdt", lambda: execute(str(program)), probe=f"{program}:text", string=0)
    assert [(row["provider"], row["args"]) for row in found] == [("app", '"hello"'), ("other", '"from other"')]
    assert not rows("usdt", lambda: execute(str(program)), probe=f"{program}:text", comm="nobody")


@pytest.mark.parametrize(("probe", "more", "said"), [
    ("{}:nothing", {}, r"no static tracepoint 'nothing'\nIt has app:gated, app:memory"),
    ("/bin/true:app:nothing", {}, "built without any"),
    ("nothing", {}, "names no static tracepoint"),
    ("{}:registers", {"string": 12}, "no argument 12"),
])
def test_usdt_says_what_is_not_there(program: Path, probe: str, more: dict[str, int], said: str) -> None:
    with pytest.raises((TargetError, UsageError), match=said):
        tool("usdt").start(probe=probe.format(program), **more)
