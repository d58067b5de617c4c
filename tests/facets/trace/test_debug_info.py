"""`show_debug_info`: file, line and inlined functions in stacks, where debug information says them, and nothing else."""
from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bpfwright.facets.trace.output.symbolizing import Symbolizer

x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="dw_ustack is for x86-64")
C = """
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
volatile uint64_t sink;
__attribute__((noinline)) void leaf(uint64_t n) { sink += n; }
static inline __attribute__((always_inline)) void deepest(uint64_t n) {
    leaf(n + 1);
    sink++;
}
static inline __attribute__((always_inline)) void inner(uint64_t n) {
    deepest(n * 2);
    sink++;
}
__attribute__((noinline)) void outer(uint64_t n) {
    inner(n + 5);
    sink++;
}
int main(int argc, char **argv) {
    for (int n = atoi(argv[1]); n > 0; n--) {
        usleep(20000);
        outer(n);
    }
    return 0;
}
"""
LINES = {"leaf": 6, "deepest": 8, "inner": 12, "outer": 16, "main": 22}
CHAIN = ["leaf", "[inlined] deepest", "[inlined] inner", "outer", "main"]


def built(folder: Path, *flags: str) -> tuple[str, str]:
    """(program, its source)."""
    source, path = folder / "inlined.c", folder / "inlined"
    source.write_text(C)
    subprocess.run(["clang-14", "-O2", *flags, str(source), "-o", str(path)], check=True)
    return str(path), str(source)


def run(script: str, *words: str, config: str = "", **environment: str) -> str:
    made = subprocess.run([sys.executable, "-m", "bpfwright", "trace", "-q", "-e",
                           f"config = {{ unstable_dw_ustack=enable{config} }} {script}", *words], capture_output=True,
                          text=True, timeout=60, check=False, env={**os.environ, **environment})
    assert made.returncode == 0 and not made.stderr, made.stderr
    return made.stdout


def frames(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith(("    ", "\t"))]


def upto_main(found: list[str]) -> list[str]:
    return found[:1 + next(place for place, line in enumerate(found) if "main+" in line or line.endswith(" main"))]


@pytest.mark.kernel
@x86
@pytest.mark.parametrize("flags", [(), ("-gdwarf-4",)], ids=["dwarf5", "dwarf4"])
def test_lines_and_inlined_functions(tmp_path: Path, flags: tuple[str, ...]) -> None:
    path, source = built(tmp_path, "-g", "-fomit-frame-pointer", *flags)
    found = upto_main(frames(run(f"uprobe:{path}:leaf {{ @[dw_ustack] = count() }}", "-c", f"{path} 5")))
    assert [re.sub(r"(\+\d+)?@.*", "", line) for line in found] == CHAIN
    assert [line.partition("@")[2] for line in found] == [f"{source}:{number}" for number in LINES.values()]
    assert ["+" in line.partition("@")[0] for line in found] == [True, False, False, True, True]


@pytest.mark.kernel
def test_ustack_of_a_process_that_runs(tmp_path: Path) -> None:
    path, source = built(tmp_path, "-g", "-fno-omit-frame-pointer")
    with subprocess.Popen([path, "100000"]) as child:
        try:
            said = run(f"uprobe:{path}:leaf {{ @[ustack(3)] = count(); @p[ustack(perf, 3)] = count() }} "
                       "interval:ms:200 { exit() }", "-p", str(child.pid))
        finally:
            child.kill()
    plain, _, perf = said.partition("@p[")
    shown = upto_main(frames(plain))
    assert [re.sub(r"(\+\d+)?@.*", "", line) for line in shown] == CHAIN and shown[-1].endswith(f"@{source}:22")
    lines = frames(perf)
    assert [re.sub(r"\+\d+ .*", "", line.partition(" ")[2]) for line in lines] == CHAIN
    assert "@" not in perf.replace(source, "") and lines[1].split()[0] == lines[3].split()[0], "one frame's address"


@pytest.mark.kernel
@x86
@pytest.mark.parametrize("how", ["config", "environment", "absent", "stripped"])
def test_without(tmp_path: Path, how: str) -> None:
    """Switched off, or with nothing to be had, stacks are what they are without."""
    path, _ = built(tmp_path, *(["-g"] if how != "absent" else []))
    if how == "stripped":
        subprocess.run(["strip", "--strip-debug", path], check=True)
    config = "; show_debug_info=false" if how == "config" else ""
    environment = {"BPFTRACE_SHOW_DEBUG_INFO": "0"} if how == "environment" else {}
    said = run(f"uprobe:{path}:leaf {{ @[dw_ustack(3)] = count() }}", "-c", f"{path} 5", config=config, **environment)
    assert [re.sub(r"\+\d+$", "", line) for line in frames(said)] == ["leaf", "outer", "main"]


@pytest.mark.kernel
@x86
def test_damaged_debug_information(tmp_path: Path) -> None:
    path, _ = built(tmp_path, "-g")
    broken = tmp_path / "abbreviations"
    broken.write_bytes(b"\xff" * 64)
    subprocess.run(["objcopy", "--update-section", f".debug_abbrev={broken}", path], check=True)
    said = run(f"uprobe:{path}:leaf {{ @[dw_ustack(3)] = count() }}", "-c", f"{path} 5")
    assert [re.sub(r"\+\d+$", "", line) for line in frames(said)] == ["leaf", "outer", "main"]


def test_a_symbolizer_without_lines() -> None:
    assert Symbolizer().described([5], os.getpid(), False) == [(5, b"0x5")]
