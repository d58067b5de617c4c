"""Portable objects: plain bpftool and our loader take them, their types and lines are right, and they outlive us."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright import objfile
from bpfwright.kernel import Kernel
from bpfwright.kernel.map import KernelMap
from tests.cli.commands import ENVIRONMENT, TOP, command

FILES = sorted((TOP / "vmtest/programs/portable").glob("[a-z]*.py"))
NAMES = [path.stem for path in FILES]
BPFTOOL = shutil.which("bpftool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
needs_bpftool = pytest.mark.skipif(BPFTOOL is None, reason="needs bpftool")
PINS = Path("/sys/fs/bpf")

# What CO-RE is asked for by exits.py: byte offset, size, existence, the shifts of a bit-field.
KINDS = {0, 1, 2, 4, 5}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("objects")
    made = {}
    for path in FILES:
        made[path.stem] = folder / f"{path.stem}.bpf.o"
        code, _, said = command("build", str(path), "-o", str(made[path.stem]))
        assert code == 0, said
    return made


@pytest.fixture
def pins() -> Iterator[str]:
    """A name below bpffs that is gone afterwards."""
    name = f"bpfwright-test-{os.getpid()}"
    yield name
    shutil.rmtree(PINS / name, ignore_errors=True)


def bpftool(*words: str) -> str:
    assert BPFTOOL
    done = subprocess.run([BPFTOOL, *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"bpftool {' '.join(words)}: {done.stderr}"
    return done.stdout


@pytest.mark.kernel
@needs_bpftool
@pytest.mark.parametrize("name", NAMES)
def test_bpftool_loads_it(name: str, objects: dict[str, Path], pins: str) -> None:
    bpftool("prog", "loadall", str(objects[name]), f"{PINS}/{pins}")
    found = {path.name for path in (PINS / pins).iterdir()}
    assert found == {program.name for program in objfile.read(objects[name].read_bytes()).programs}


@pytest.mark.kernel
@pytest.mark.parametrize("name", NAMES)
def test_our_loader_takes_it(name: str, objects: dict[str, Path], no_leaks: None) -> None:
    spec = objfile.read(objects[name].read_bytes())
    with Kernel() as kernel, kernel.load(spec) as held:
        assert set(held.programs) == {program.name for program in spec.programs}


@pytest.mark.kernel
@needs_bpftool
def test_the_kernel_knows_the_source_lines(objects: dict[str, Path], pins: str) -> None:
    bpftool("prog", "loadall", str(objects["parser"]), f"{PINS}/{pins}")
    shown = bpftool("prog", "dump", "xlated", "pinned", f"{PINS}/{pins}/parse", "linum")
    source = next(path for path in FILES if path.stem == "parser").read_text().splitlines()
    lines = [line for line in shown.splitlines() if line.startswith("; ")]
    assert any("entry.packets += 1" in line for line in lines)
    for line in lines:
        text, _, place = line[2:].partition(" [file:")
        number = int(place.rpartition("line_num:")[2].split()[0])
        assert source[number - 1].strip() == text.strip()
        assert "parser.py" in place


@needs_bpftool
@pytest.mark.kernel
def test_types_by_bpftool(objects: dict[str, Path]) -> None:
    types = json.loads(bpftool("btf", "dump", "file", str(objects["parser"]), "-j"))["types"]
    by_name: dict[str, Any] = {one["name"]: one for one in types}
    assert [member["name"] for member in by_name["Blocked"]["members"]] == ["packets"]
    assert by_name["Blocked"]["size"] == 8
    assert {"parse", "blocked", "ports", "seen", ".maps"} <= set(by_name)
    assert by_name["parse"]["kind"] == "FUNC" and by_name["parse"]["linkage"] == "global"


@pytest.mark.userspace
def test_relocations_are_of_every_kind_that_is_used(objects: dict[str, Path]) -> None:
    spec = objfile.read(objects["exits"].read_bytes())
    found = {one.kind for function in spec.functions for one in function.core_relocations}
    assert found >= KINDS


@pytest.mark.userspace
def test_no_path_of_this_machine_but_the_source(objects: dict[str, Path]) -> None:
    for name, path in objects.items():
        data = path.read_bytes()
        assert data.count(os.fsencode(sys.prefix)) == 0, name


@pytest.mark.userspace
def test_building_needs_no_privilege(tmp_path: Path, objects: dict[str, Path]) -> None:
    for name in ("opens", "exits", "parser"):
        output = tmp_path / f"{name}.o"
        code, _, said = command("build", str(FILES[NAMES.index(name)]), "-o", str(output), privileged=False)
        assert code == 0, said
        assert output.read_bytes() == objects[name].read_bytes()


@pytest.mark.kernel
def test_building_needs_no_kernel(tmp_path: Path, objects: dict[str, Path]) -> None:
    """In a mount namespace without /sys all is the same, but where arguments are typed by the kernel's own types."""
    sources = [str(path) for path in FILES]
    script = 'mount -t tmpfs none /sys && out=$1 && shift && for f; do b=$(basename "$f" .py); ' \
             f'{sys.executable} -m bpfwright.cli build "$f" -o "$out/$b.o" || echo "refused $b"; done'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), *sources], capture_output=True,
                          text=True, check=False, timeout=120, env=ENVIRONMENT | {"XDG_CACHE_HOME": str(tmp_path)})
    assert done.stdout.split("\n") == ["refused exits", ""], done.stdout + done.stderr
    assert "/sys/kernel/btf/vmlinux is missing" in done.stderr
    for name in set(NAMES) - {"exits"}:
        assert (tmp_path / f"{name}.o").read_bytes() == objects[name].read_bytes(), name


@pytest.mark.kernel
def test_attached_and_pinned_it_outlives_the_command(objects: dict[str, Path], pins: str) -> None:
    code, out, err = command("load", str(objects["calls"]), "--attach", "--pin", pins, "-j")
    assert code == 0, err
    rows = {(row["kind"], row["name"]): row for row in json.loads(out)}
    assert rows["link", "count"]["pinned"] == f"{PINS}/{pins}/link_count"
    with KernelMap.pinned(f"{PINS}/{pins}/map_calls") as calls:
        key = (39).to_bytes(8, "little")  # getpid
        before = total(calls.lookup(key))
        for _ in range(100):
            os.getppid()
            os.getpid()
        assert total(calls.lookup(key)) >= before + 100
    shutil.rmtree(PINS / pins)
    assert_gone("count")


def total(value: bytes | None) -> int:
    """The sum over CPUs."""
    return sum(int.from_bytes(value[at:at + 8], "little") for at in range(0, len(value), 8)) if value else 0


def assert_gone(name: str) -> None:
    end = time.monotonic() + 5
    while True:
        _, shown, _ = command("ps", "--measure", "0", "-j")
        if not [row for row in json.loads(shown) if row["name"] == name]:
            return
        assert time.monotonic() < end, f"{name} is still loaded"
        time.sleep(0.05)
