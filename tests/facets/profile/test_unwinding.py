"""User stacks by tables: chains without frame pointers, through signals, aligned frames, late libraries, JITs."""
from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from bpfwright.facets.profile import Options, Profile, profile

from . import workloads as w
from .test_taking import share

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(platform.machine() != "x86_64", reason="tables are for x86-64")]
FAST = Options(hz=499)


def uncut(taken: Profile) -> float:
    return 1 - taken.quality.cut / max(taken.quality.samples, 1)


@pytest.mark.parametrize("flags", [
    ("-fomit-frame-pointer",), ("-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"),
    ("-fomit-frame-pointer", "-O2"), ("-fomit-frame-pointer", "-no-pie"), ("-fomit-frame-pointer", "-static"),
], ids=" ".join)
def test_a_chain_from_its_start(tmp_path: Path, flags: tuple[str, ...]) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN, *flags)
    taken = profile(options=FAST, command=(path, "1500"))
    assert share(taken, *w.CHAIN) > 0.9 and share(taken, "_start") > 0.9
    assert uncut(taken) > 0.9
    if "-fno-omit-frame-pointer" not in flags:
        by_frames = profile(options=FAST._replace(unwind="frames"), command=(path, "300"))
        assert share(by_frames, *w.CHAIN) < 0.5, "the chain can be had without tables: the test shows nothing"


def test_a_stripped_file_without_a_build_id(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN, "-fomit-frame-pointer", "-Wl,--build-id=none")
    subprocess.run(["strip", "--strip-all", path], check=True)
    taken = profile(options=FAST, command=(path, "1000"))
    assert share(taken, "__libc_start_main") > 0.9 and uncut(taken) > 0.9


def test_through_a_signals_frame(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "signals", w.SIGNALS, "-fomit-frame-pointer")
    taken = profile(options=FAST, command=(path,))
    handled = {stack: n for stack, n in taken.stacks.items() if "handler" in [f.name for f in stack]}
    whole = sum(n for stack, n in handled.items() if [f.name for f in stack if f.name in (
        "main", "around", "interrupted", "handler", "burn")] == ["main", "around", "interrupted", "handler", "burn"])
    assert sum(handled.values()) > 20 and whole > 0.9 * sum(handled.values())


def test_functions_that_align_their_stack(tmp_path: Path) -> None:
    source = tmp_path / "aligned.c"
    source.write_text(w.ALIGNED)
    subprocess.run(["gcc", "-O1", "-fomit-frame-pointer", str(source), "-o", str(tmp_path / "aligned")], check=True)
    taken = profile(options=FAST, command=(str(tmp_path / "aligned"), "1000"))
    assert share(taken, "main", "second", "aligned", "spin") > 0.9


def test_libraries_that_come_late(tmp_path: Path) -> None:
    library = w.compile_c(tmp_path, "late.so", w.LATE_LIBRARY, "-shared", "-fPIC", "-fomit-frame-pointer")
    path = w.compile_c(tmp_path, "late", w.LATE, "-fomit-frame-pointer")
    taken = profile(options=FAST, command=(path, library))
    assert share(taken, "main", "late_outer", "late_middle", "late_inner") > 0.4
    assert share(taken, "before") > 0.05


def test_code_made_at_run_time(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "jit", w.JIT, "-fomit-frame-pointer")
    child = subprocess.Popen([path, "20000"])
    try:
        taken = w.sampled(FAST._replace(pid=child.pid))
    finally:
        child.kill()
        child.wait()
        Path(f"/tmp/perf-{child.pid}.map").unlink(missing_ok=True)
    assert share(taken, "main", "jitted function;with semicolon", "spin") > 0.9
    assert "main;jitted function:with semicolon_[j];spin" in taken.folded()


def test_another_mount_namespace(tmp_path: Path) -> None:
    """The program is where we do not see it: on a file system that only its namespace has."""
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN, "-fomit-frame-pointer")
    inside = f"mount -t tmpfs none /mnt && cp {path} /mnt/hidden && exec /mnt/hidden 1500"
    taken = profile(options=FAST, command=("unshare", "--mount", "sh", "-c", inside))
    assert not Path("/mnt/hidden").exists()
    hidden = Profile({stack: n for stack, n in taken.stacks.items() if stack[0].name == "hidden"})
    assert hidden.total > 20 and share(hidden, *w.CHAIN) > 0.9


def test_tables_are_made_once(tmp_path: Path) -> None:
    from bpfwright.facets.profile import Profiler
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN, "-fomit-frame-pointer")
    built = []
    for _ in range(2):
        with Profiler(FAST._replace(command=(path, "20"))) as profiler:
            profiler.wait()
            assert profiler.tables is not None and profiler.tables.rows > 1000
            built.append(profiler.tables.built)
    assert built[1] == 0
