"""The typed surface: twelve programs that both checkers accept, wrong uses that both report; all of them compile."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

import bpfwright
from bpfwright import load
from bpfwright.errors import BpfwrightError, CompileError, NotSupported
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.target import Target
from bpfwright.session import prepare
from tests.api.surface import NAMES, Recorded, copy, imported, programs

TOP = Path(__file__).parents[2]
HERE = Target("v3", frozenset({"ringbuf", "may_goto", "iter_num", "bpf_loop", "current_task_btf", "atomics",
                                  "tracing_timers", "coarse_clock"}))

PUBLIC = """
    Atomic CUnion Config Kernel L Recorder Recording Replay SpinLock Struct Userspace array attach be16 be32 be64 bits
    char exists i16 i32 i64 i8 load log ptr run shared subprogram trace u16 u32 u64 u8
"""


def test_the_public_names_are_these() -> None:
    assert sorted(bpfwright.__all__) == PUBLIC.split()
    assert all(getattr(bpfwright, name) is not None for name in bpfwright.__all__)


@pytest.fixture(scope="module")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's tree that holds the programs."""
    folder = tmp_path_factory.mktemp("surface")
    copy(folder)
    sys.path.insert(0, str(folder))
    return folder


def mypy(folder: Path, *files: str) -> dict[str, set[int]]:
    """The lines that mypy finds fault with, by file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--cache-dir", str(folder / ".c")]
    done = subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "MYPYPATH": str(TOP / "src")})
    found: dict[str, set[int]] = {}
    for name, line in re.findall(r"^(\w+\.py):(\d+): error:", done.stdout, re.MULTILINE):
        found.setdefault(name, set()).add(int(line))
    assert done.returncode == bool(found), done.stdout + done.stderr
    return found


def pyright(folder: Path, *files: str) -> dict[str, set[int]]:
    """The same by pyright."""
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": [str(TOP / "src")],
                "reportMissingModuleSource": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run([sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *files],
                          cwd=folder, capture_output=True, text=True)
    found: dict[str, set[int]] = {}
    for problem in json.loads(done.stdout)["generalDiagnostics"]:
        found.setdefault(Path(problem["file"]).name, set()).add(problem["range"]["start"]["line"] + 1)
    assert done.returncode == bool(found), done.stdout + done.stderr
    return found


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_checker_accepts_the_programs_and_reports_the_wrong_uses(
        surface: Path, checker: Callable[..., dict[str, set[int]]]) -> None:
    found = checker(surface, *(f"{name}.py" for name in NAMES), "bad.py")
    marks = "[EM]" if checker is mypy else "E"
    lines = (surface / "bad.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if re.search(f"# {marks}$", line)}
    assert len(wrong) >= 47
    assert found.pop("bad.py") == wrong
    assert found == {}


def test_twelve() -> None:
    assert len(NAMES) == 12


@pytest.mark.userspace
@pytest.mark.parametrize("name", NAMES)
def test_it_compiles(surface: Path, name: str) -> None:
    recorded: Any = Recorded()
    for program in programs(surface, name).values():
        prepare([program], recorded)
        assert compile_programs([program], HERE).elf.startswith(b"\x7fELF")


ALL = [(name, program) for name, found in {
    "p01_firewall": "firewall", "p02_opensnoop": "entered opened", "p03_own_event": "switched any_call",
    "p04_kernel_structs": "opened exited", "p05_limits": "limit", "p06_match": "classify not_from_home",
    "p07_callbacks": "count", "p08_tail_devmap": "balance entry", "p09_kfunc": "forked",
    "p10_security": "guard to_proxy wrote sample", "p11_iter_tc": "tasks mark"}.items() for program in found.split()]
REFUSED = {("p04_kernel_structs", "opened"): "api_fentry", ("p10_security", "guard"): "api_lsm"}
"""What this kernel may refuse, and the lab's case that loads it elsewhere."""


def test_every_program_is_loaded(surface: Path) -> None:
    assert {name: set(programs(surface, name)) for name in NAMES} == {
        **{name: {p for n, p in ALL if n == name} for name in NAMES}, "p12_test": {"firewall"}}


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "program"), [pair for pair in ALL if pair[0][:3] not in ("p07", "p09")])
def test_it_loads(surface: Path, refused_here: Callable[..., NoReturn], name: str, program: str) -> None:
    try:
        load(programs(surface, name)[program]).close()
    except NotSupported as error:
        if (name, program) not in REFUSED:
            raise
        refused_here(str(error).splitlines()[0], vm=REFUSED[name, program])


@pytest.mark.kernel
def test_the_kernel_lets_no_tracing_program_start_timers(surface: Path) -> None:
    """Since Linux 7.0 it does."""
    with pytest.raises(CompileError) as refusal:
        imported(surface, "p07_callbacks").test_counts()
    assert "a tracepoint may use no map whose values hold a Timer" in refusal.value.what
    assert "lease.timer.start(" in refusal.value.source


@pytest.mark.kernel
def test_the_kernel_offers_no_fsverity_function(surface: Path) -> None:
    with pytest.raises(BpfwrightError) as refusal:
        load(programs(surface, "p09_kfunc")["forked"])
    assert "no function 'bpf_get_fsverity'" in str(refusal.value)


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "test"), [("p01_firewall", "test_blocks_the_network"), ("p12_test", "test_agree")])
def test_its_own_test_passes(surface: Path, name: str, test: str) -> None:
    getattr(imported(surface, name), test)()
