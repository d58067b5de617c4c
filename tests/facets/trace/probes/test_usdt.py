"""Static tracepoints of user space: their arguments wherever notes say, semaphores, names, one process or all."""
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bpfwright.errors import CompileError
from bpfwright.kernel import Kernel
from tests.facets.trace.probes.tracing import traced

pytestmark = pytest.mark.kernel


def test_arguments_come_from_where_each_place_has_them(machine: Kernel, notes: Path) -> None:
    said = traced(machine, f'usdt:{notes}:app:registers {{ printf("%s %s %d %d\\n", probe, func, arg0, arg1); }}',
                  command=str(notes))
    assert said.lines == [f"usdt:{notes}:app:registers registers 1000 -7",
                          f"usdt:{notes}:app:registers registers 2000 -3"]


@pytest.mark.parametrize(("name", "form", "arguments", "expected"), [
    ("memory", "%d %d %d %d", "arg0, arg1, arg2, arg3", "10 20 30 20"),
    ("symbol", "%d", "arg0", "4711"),
    ("app:text", "%s", "str(arg0)", "hello"),
])
def test_argument_forms(machine: Kernel, notes: Path, name: str, form: str, arguments: str, expected: str) -> None:
    said = traced(machine, f'usdt:{notes}:{name} {{ printf("{form}\\n", {arguments}); }}', command=str(notes))
    assert said.lines == [expected]


def test_constants_follow_the_registers(machine: Kernel, tmp_path: Path, notes: Path) -> None:
    with pytest.raises(CompileError, match="has no `arg4`"):
        traced(machine, f"usdt:{notes}:app:registers {{ print(arg4); }}", command=str(notes))


def test_wildcards_and_provider(machine: Kernel, notes: Path) -> None:
    said = traced(machine, f'usdt:{notes}:*:text {{ printf("%s %s\\n", probe, str(arg0)); }}', command=str(notes))
    assert said.lines == [f"usdt:{notes}:app:text hello", f"usdt:{notes}:other:text from other"]
    said = traced(machine, f"usdt:{notes}:app:* {{ @[func] = count(); }}", command=str(notes))
    assert "@[registers]: 2" in said.lines and "@[gated]: 1" in said.lines


def test_semaphores_open_the_gate_while_somebody_listens(machine: Kernel, notes: Path) -> None:
    said = traced(machine, f"usdt:{notes}:gated {{ print(arg0); }}", command=str(notes))
    assert said.lines == ["1"]
    said = traced(machine, f"usdt:{notes}:symbol {{ @a = count(); }}", command=str(notes))
    assert "@a: 1" in said.lines


def test_one_process_and_all_its_binaries(machine: Kernel, notes: Path) -> None:
    with subprocess.Popen([notes, "go on"]) as wanted, subprocess.Popen([notes, "go on"]) as other:
        try:
            script = "usdt:*:gated { @a[pid] = count(); @n++; if (@n > 2) { exit(); } }"
            said = traced(machine, script, pid=wanted.pid, seconds=60)
        finally:
            wanted.kill()
            other.kill()
    assert f"@a[{wanted.pid}]: " in said.out and str(other.pid) not in said.out


def test_what_is_not_there_is_said(machine: Kernel, notes: Path) -> None:
    with pytest.raises(CompileError, match="no static tracepoint `registrs`") as caught:
        traced(machine, f"usdt:{notes}:registrs {{ }}", command=str(notes))
    assert "Did you mean `registers`?" in str(caught.value)
    with pytest.raises(CompileError, match="has no static tracepoints"):
        traced(machine, "usdt:/bin/true:x { }", command="/bin/true")
    with pytest.raises(CompileError, match="which binary is not said"):
        traced(machine, "usdt:*:x { }", command="/bin/true")
