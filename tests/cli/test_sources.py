"""build, inspect and run on Python files."""
from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from bpfwright import objfile
from tests.cli.commands import command, start

BLOCK = """
from bpfwright import Struct, u32, u64
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

class Blocked(Struct):
    packets: u64

blocked = Hash[u32, Blocked](max_entries=64)

@xdp.program
def firewall(ctx: xdp.Context) -> xdp.Action:
    entry = blocked.get(ctx.ifindex)
    if entry is None:
        return xdp.PASS
    entry.packets += 1
    return xdp.DROP

@xdp.program
def idle(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS
"""

WRONG = BLOCK.replace("    if entry is None:\n        return xdp.PASS\n", "")

WATCH = """
from bpfwright import L, Struct, char, u32
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf

class Ended(Struct):
    pid: u32
    comm: char[L[16]]

ended = RingBuf[Ended](size_bytes=1 << 20)

@raw_tracepoint.program("sched_process_exit")
def exits(ctx: raw_tracepoint.Context) -> None:
    ended.emit(Ended(current.pid, current.comm))
"""

SCRIPT = """
import sys
from bpfwright import load
from bpfwright.headers import Ethernet
from bpfwright.hooks import xdp

@xdp.program
def idle(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS

if __name__ == "__main__":
    with load(idle) as program:
        print(sys.argv[1:], program.test(Ethernet()).action.name)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "firewall.py"
    path.write_text(BLOCK)
    return path


@pytest.mark.userspace
def test_build_writes_an_object_beside_the_source(source: Path) -> None:
    code, out, err = command("build", str(source))
    assert (code, out) == (0, ""), err
    spec = objfile.read(source.with_name("firewall.bpf.o").read_bytes())
    assert sorted(program.name for program in spec.programs) == ["firewall", "idle"]
    assert spec.btf and any(function.lines for function in spec.functions)


@pytest.mark.userspace
def test_build_of_one_program(source: Path, tmp_path: Path) -> None:
    code, _, err = command("build", str(source), "idle", "-o", str(tmp_path / "x.o"))
    assert code == 0, err
    assert [program.name for program in objfile.read((tmp_path / "x.o").read_bytes()).programs] == ["idle"]
    code, _, err = command("build", str(source), "nothing")
    assert code == 2 and "firewall, idle" in err


@pytest.mark.userspace
def test_what_does_not_compile_is_shown_with_its_line(source: Path) -> None:
    source.write_text(WRONG)
    code, out, err = command("build", str(source))
    assert (code, out) == (6, "")
    assert f"{source}:" in err and "entry.packets += 1" in err and "^" in err
    assert not list(source.parent.glob("*.o*")), "nothing is left behind"


def test_a_file_without_programs(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    for verb in ("build", "inspect"):
        code, out, err = command(verb, str(tmp_path / "empty.py"))
        assert (code, out) == (2, "") and "no program" in err
        code, out, err = command(verb, str(tmp_path / "absent.py"))
        assert (code, out) == (1, "") and "No such file" in err


@pytest.mark.userspace
def test_inspect_shows_python_between_the_instructions(source: Path) -> None:
    code, out, err = command("inspect", str(source))
    assert code == 0, err
    assert "; entry.packets += 1" in out and "struct Blocked {" in out and "; map blocked" in out


@pytest.mark.kernel
def test_what_build_wrote_is_loaded_by_load(source: Path) -> None:
    assert command("build", str(source))[0] == 0
    code, out, err = command("load", str(source.with_name("firewall.bpf.o")), "-j")
    assert code == 0, err
    assert {row["name"] for row in json.loads(out)} == {"firewall", "idle", "blocked"}


@pytest.mark.kernel
def test_run_prints_the_events_of_what_is_declared(tmp_path: Path) -> None:
    (tmp_path / "watch.py").write_text(WATCH)
    running = start("run", str(tmp_path / "watch.py"), "-f", "jsonl")
    assert running.stdout is not None and running.stderr is not None
    with running:
        try:
            assert "attached exits" in running.stderr.readline()
            child = os.spawnvp(os.P_NOWAIT, "true", ["true"])
            os.waitpid(child, 0)
            row: dict[str, Any] = {"pid": 0}
            while row["pid"] != child:
                row = json.loads(running.stdout.readline() or "{}")  # ended: KeyError
            assert row["comm"] == "true"
            running.send_signal(signal.SIGINT)
            assert running.wait(10) == 0
            assert running.stderr.read().endswith(" events, 0 lost\n")
        finally:
            running.kill()


@pytest.mark.kernel
def test_run_ends_after_its_time(tmp_path: Path) -> None:
    (tmp_path / "watch.py").write_text(WATCH)
    code, _, err = command("run", str(tmp_path / "watch.py"), "--for", "0.3")
    assert code == 0 and "0 lost" in err


@pytest.mark.kernel
def test_run_of_a_script_hands_it_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    code, out, err = command("run", str(tmp_path / "script.py"), "--", "--port", "80")
    assert (code, err) == (0, "")
    assert out == "['--port', '80'] PASS\n"


@pytest.mark.userspace
def test_run_refuses_programs_that_only_code_can_attach(source: Path) -> None:
    code, out, err = command("run", str(source))
    assert (code, out) == (2, "") and "attach(" in err


@pytest.mark.kernel
def test_types_writes_a_module_that_imports(tmp_path: Path) -> None:
    code, out, err = command("types", "-t", "sched:sched_switch", "css_set", "-o", str(tmp_path / "written.py"))
    assert (code, out) == (0, ""), err
    text = (tmp_path / "written.py").read_text()
    assert 'class sched_switch(Fields, event="sched:sched_switch"):' in text
    assert "class css_set(KernelStruct):" in text
    namespace: dict[str, object] = {"__name__": "written"}
    exec(compile(text, "written.py", "exec"), namespace)
    assert "sched_switch" in namespace and "css_set" in namespace


@pytest.mark.kernel
def test_types_names_what_is_not_there() -> None:
    for words, named in ((("-t", "nope:*"), "nope:*"), (("no_such_struct",), "no_such_struct")):
        code, out, err = command("types", *words)
        assert (code, out) == (1, "") and named in err
    code, out, err = command("types")
    assert (code, out) == (2, "") and "-t" in err
