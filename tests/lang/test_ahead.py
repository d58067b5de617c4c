"""Objects that a built package brings: found where everything is the same, and never where anything is not."""
from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bpfwright import _llvm
from bpfwright.facets.tools import _requests, biosnoop, tcpdrop
from bpfwright.lang import ahead
from bpfwright.lang.compile import compile_anywhere, compile_programs, key_anywhere
from bpfwright.lang.target import Target
from bpfwright.objfile import read
from scripts.compile_ahead import ANSWERS, sets, variants

pytestmark = pytest.mark.userspace
PROGRAMS: list[Any] = [_requests.started, biosnoop.completed]
REQUEST = ("", "request")
FACTS = ([REQUEST], [REQUEST, ("", ""), ("", "")])
TARGET = Target("v3", ANSWERS[1])
TOP = Path(ahead.__file__).parents[3]


def known(*facts: Any) -> None:
    for program, parameters in zip(PROGRAMS, facts, strict=True):
        program.facts = parameters


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ahead") / "ahead.bin"
    recorded = {"tp_btf block_io_start": [FACTS[0]], "tp_btf block_rq_complete": [FACTS[1], FACTS[1][:2]]}
    found: dict[str, list[ahead.Variant]] = {}
    for key, variant in variants(PROGRAMS, recorded, "biosnoop"):
        found.setdefault(key, []).append(variant)
    path.write_bytes(ahead.pack(found))
    return path


@pytest.fixture(autouse=True)
def _facts() -> None:
    known(*FACTS)


def test_a_first_start_takes_it_and_llvm_stays_away(packed: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled = compile_programs(PROGRAMS, TARGET, reader=read)
    (tmp_path / "bpfwright").rename(tmp_path / "used")
    monkeypatch.setattr(ahead, "PATH", str(packed))
    monkeypatch.setattr(_llvm, "_compile", lambda *_: pytest.fail("LLVM was asked"))
    for _ in range(2):  # out of the package, and out of the cache
        found = compile_programs(PROGRAMS, TARGET, reader=read)
        assert found.object is not None and compiled.object is not None
        assert ([function.insns for function in found.object.functions]
                == [function.insns for function in compiled.object.functions])
        assert found.maps == compiled.maps and found.programs == compiled.programs
        files = {line.file for function in found.object.functions for line in function.lines}
        assert biosnoop.__file__ in files and all(Path(file).exists() for file in files)
        assert str(TOP).encode() not in found.elf and b"bpfwright/facets/tools/biosnoop.py" in found.elf
        monkeypatch.setattr(ahead, "find", lambda *_: None)


def test_kernels_that_differ_in_nothing_used_share_an_object(packed: Path) -> None:
    whole = ahead.find(PROGRAMS, TARGET, str(packed))
    known(FACTS[0], [REQUEST])
    assert whole is not None and ahead.find(PROGRAMS, TARGET, str(packed)) == whole
    assert ahead.find(PROGRAMS, Target("v3", {*TARGET.features, "never_heard_of"}), str(packed)) == whole


def test_each_answer_has_its_object(packed: Path) -> None:
    newer = ahead.find(PROGRAMS, TARGET, str(packed))
    older = ahead.find(PROGRAMS, Target("v3", frozenset()), str(packed))
    assert newer and older and newer != older


def test_what_this_kernel_has_elsewhere_is_not_there(packed: Path) -> None:
    known(FACTS[0], [("", ""), REQUEST])
    assert ahead.find(PROGRAMS, TARGET, str(packed)) is None
    known(FACTS[0], [("", "gendisk")])  # the compiler says what is wrong with that
    assert ahead.find(PROGRAMS, TARGET, str(packed)) is None


@pytest.mark.parametrize("target", [Target("v2", ANSWERS[1]), Target("v3", ANSWERS[1], opt=1)])
def test_another_target_is_not_there(packed: Path, target: Target) -> None:
    assert ahead.find(PROGRAMS, target, str(packed)) is None


def test_another_processor_has_other_registers(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "processor", lambda: "another")
    assert ahead.find(PROGRAMS, TARGET, str(packed)) is None


def test_other_programs_are_not_there(packed: Path) -> None:
    assert ahead.find([tcpdrop.dropped], TARGET, str(packed)) is None
    assert ahead.find(PROGRAMS[::-1], TARGET, str(packed)) is None
    assert ahead.find(PROGRAMS[:1], TARGET, str(packed)) is None


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:40], lambda data: data[:200], lambda data: b"x" + data[1:],
    lambda data: data[:-4000], lambda data: data[:54] + b"\xff" * 40 + data[94:],
    lambda data: data[:-3000] + b"\0" * 3000])
def test_a_damaged_file_counts_as_none(packed: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    (tmp_path / "ahead.bin").write_bytes(damage(packed.read_bytes()))
    for features in ANSWERS:
        found = ahead.find(PROGRAMS, Target("v3", features), str(tmp_path / "ahead.bin"))
        assert found is None or found == ahead.find(PROGRAMS, Target("v3", features), str(packed))
    assert ahead.find(PROGRAMS, TARGET, str(tmp_path / "none")) is None


LOOK = """
from bpfwright.facets.tools import _requests, biosnoop
from bpfwright.lang import ahead
from bpfwright.lang.target import Target
_requests.started.facts, biosnoop.completed.facts = [("", "request")], [("", "request"), ("", ""), ("", "")]
features = frozenset("may_goto iter_num bpf_loop current_task_btf".split())
print(ahead.find([_requests.started, biosnoop.completed], Target("v3", features)) is not None)
"""


@pytest.mark.parametrize(("file", "old", "new", "there"), [
    ("facets/tools/_requests.py", "rq.__sector", "rq.__sector + 1", False),      # a program
    ("facets/tools/biosnoop.py", "16]]\n\n\nclass Choice", "8]]\n\n\nclass Choice", False),  # a record
    ("facets/tools/_requests.py", "65_536", "65_537", False),                    # a map
    ("facets/tools/_who.py", "return u32(ids() >> 32)", "return u32(ids() >> 31)", False),  # what programs call
    ("facets/tools/_block.py", "<< 20) |", "<< 21) |", False),
    ("lang/emit.py", "from __future__", "# changed\nfrom __future__", False),    # the compiler
    ("maps/hash.py", "from __future__", "# changed\nfrom __future__", False),
    ("vmlinux/__init__.pyi", "class request(", "# changed\nclass request(", False),
    ("_version.py", '__version__ = "', '__version__ = "9', False),
    ("facets/tools/biosnoop.py", '"<11.6f"', '"<12.6f"', True),                  # what is shown
    ("cli/tool.py", "from __future__", "# changed\nfrom __future__", True),
])
def test_stale_source_finds_nothing(packed: Path, tmp_path: Path, file: str, old: str, new: str, there: bool) -> None:
    """In a copy of the package, elsewhere, with one line changed."""
    package = tmp_path / "elsewhere" / "bpfwright"
    shutil.copytree(TOP / "src/bpfwright", package, ignore=shutil.ignore_patterns("ahead.bin", "__pycache__"),
                    symlinks=True)
    shutil.copy(packed, package / "ahead.bin")
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new, 1))
    done = subprocess.run([sys.executable, "-c", LOOK], env={"PYTHONPATH": str(package.parent)}, text=True,
                          capture_output=True, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == (str(there), "")


def test_only_the_packages_own_files_are_looked_for(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfwright.facets.tools._probes import written
    monkeypatch.setattr(ahead, "PATH", str(packed))
    text = "@raw_tracepoint.program('sys_exit')\ndef mine(ctx: raw_tracepoint.Context) -> None: pass\n"
    mine = written(text, "mine", vars(tcpdrop))
    assert ahead.hoped_for(PROGRAMS) and not ahead.hoped_for([*PROGRAMS, mine])
    monkeypatch.setattr(ahead, "stamp", lambda: pytest.fail("the file was opened"))
    assert ahead.find([*PROGRAMS, mine], TARGET) is None


def test_the_key_says_which_text_and_nothing_of_the_place() -> None:
    key, frozen = compile_anywhere(PROGRAMS, TARGET, read)
    assert key == key_anywhere(PROGRAMS, TARGET) and str(TOP).encode() not in frozen


def test_every_tool_but_those_made_of_words_is_compiled_ahead() -> None:
    from bpfwright.facets.tools import names
    from scripts.compile_ahead import MADE_OF_WORDS
    assert {name for name, _ in sets()} == set(names()) - set(MADE_OF_WORDS)


@pytest.mark.kernel
def test_a_tool_starts_for_the_first_time_without_llvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfwright.facets.tools import tool
    from bpfwright.kernel import Kernel
    with Kernel() as kernel:
        recorded = {f"tp_btf {name}": [kernel.prototype("tp_btf", name)]
                    for name in ("block_io_start", "block_rq_complete")}
    found: dict[str, list[ahead.Variant]] = {}
    for key, variant in variants(PROGRAMS, recorded, "biosnoop"):
        found.setdefault(key, []).append(variant)
    (tmp_path / "ahead.bin").write_bytes(ahead.pack(found))
    monkeypatch.setattr(ahead, "PATH", str(tmp_path / "ahead.bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("_compile", "start"):
        monkeypatch.setattr(_llvm, name, lambda *_: pytest.fail("LLVM was asked"))
    with tool("biosnoop").start(pid=1):
        pass
