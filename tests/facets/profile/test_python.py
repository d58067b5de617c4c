"""Python functions by name: among native frames, of threads, of processes that have ended."""
from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from struct import pack

import pytest

from bpfwright._cache import Cache
from bpfwright.facets.profile import Frame, Options, Profiler, profile
from bpfwright.facets.profile.cpython import read_offsets, text_of
from bpfwright.facets.profile.naming import merged
from bpfwright.facets.profile.pythons import Text

from . import workloads as w
from .test_taking import share

FAST = Options(hz=499)
needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="threads are found by a register of x86-64")


def interpreters() -> list[str]:
    """The interpreters here whose frames are known, each once: this one, and others on the path that run."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    beside = Path(sys.base_prefix).parent  # where version managers put them
    for minor in (11, 12, 13, 14):
        commands = [shutil.which(f"python3.{minor}"), *map(str, sorted(beside.glob(f"*/bin/python3.{minor}")))]
        for command in filter(None, commands):
            asked = subprocess.run([command, "-c", "import sys; print(sys._base_executable)"], capture_output=True,
                                   text=True, check=False)
            if asked.returncode == 0:
                found.setdefault(f"3.{minor}", asked.stdout.strip())
    return list(found.values())


@pytest.mark.kernel
@needs_x86
@pytest.mark.parametrize("python", interpreters())
def test_functions_by_name_among_native_ones(tmp_path: Path, python: str) -> None:
    _, script = w.python_script(tmp_path)
    for _ in range(8):  # an interpreter that was never sampled is cut until its table is made, which is kept then
        taken = profile(options=FAST, command=(python, script, "1000"))
        if taken.quality.cut < 0.1 * taken.quality.samples:
            break
    python_frames = {f for stack in taken.stacks for f in stack if f.kind == "python"}
    assert {f.name for f in python_frames} >= {"<module>", "outer", "outer.<locals>.<genexpr>", "Work.method", "leaf"}
    leaf = next(f for f in python_frames if f.name == "leaf")
    assert (leaf.file, leaf.line) == (script, 3)
    assert share(taken, "outer.<locals>.<genexpr>", "Work.method", "leaf") > 0.5
    assert share(taken, "PyEval_EvalCode", "<module>", "outer") > 0.5, (taken.quality, list(taken)[:5])
    # What Python calls through C has its native frames between.
    assert share(taken, "gen_iternext", "outer.<locals>.<genexpr>") > 0.5
    assert taken.quality.cut < 0.2 * taken.quality.samples


THREADS = """
import threading, sys
def in_thread_one(n):
    return sum(i * i for i in range(n))
def 在线程中(n):
    return sum(i * i for i in range(n))
def run(function):
    for _ in range(int(sys.argv[1])):
        function(20000)
threads = [threading.Thread(target=run, args=(f,)) for f in (in_thread_one, 在线程中)]
for t in threads: t.start()
for t in threads: t.join()
"""


@pytest.mark.kernel
@needs_x86
def test_threads_each_have_their_own_and_names_any_letters(tmp_path: Path) -> None:
    python, script = w.python_script(tmp_path, THREADS)
    taken = profile(options=FAST, command=(python, script, "300"))
    one, two = share(taken, "run", "in_thread_one"), share(taken, "run", "在线程中")
    assert one > 0.2 and two > 0.2 and one + two > 0.8
    assert share(taken, "in_thread_one", "在线程中") == 0


FORKED = """
import os, sys
def in_both(n):
    return sum(i * i for i in range(n))
children = [os.fork() for _ in range(1)]
for _ in range(int(sys.argv[1])):
    in_both(20000)
if children[0]:
    os.wait()
"""


@pytest.mark.kernel
@needs_x86
def test_a_forked_child_has_names_too(tmp_path: Path) -> None:
    python, script = w.python_script(tmp_path, FORKED)
    taken = profile(options=FAST, command=(python, script, "400"))
    assert share(taken, "<module>", "in_both") > 0.8
    assert not any(f == Frame("[unknown]", "python") for stack in taken.stacks for f in stack)


@pytest.mark.kernel
@needs_x86
def test_an_ended_process_keeps_its_functions(tmp_path: Path) -> None:
    python, script = w.python_script(tmp_path)
    with Profiler(FAST) as profiler:
        assert_known_when_ended(profiler, python, script)


def assert_known_when_ended(profiler: Profiler, python: str, script: str) -> None:
    child = subprocess.Popen([python, script, "300"])
    while child.poll() is None:
        profiler.wait(0.05)
    taken = profiler.finish()
    ours = {stack: n for stack, n in taken.stacks.items() if any(f.file == script for f in stack)}
    assert sum(ours.values()) > 20 and any(stack[-1].name == "leaf" for stack in ours), (taken.quality, list(taken)[:5])


@pytest.mark.kernel
@needs_x86
def test_no_process_waits_for_tables_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler's libraries take seconds the first time; what starts and ends meanwhile is looked at all the same."""
    monkeypatch.setattr("bpfwright.stacks.tables.kept_tables", lambda: Cache(str(tmp_path / "unwinding")))
    monkeypatch.setattr("bpfwright.stacks.watching.START_NS", 0)
    source = tmp_path / "large.c"
    source.write_text("".join(f"int f{n}(int x) {{ return x * {n} + x / {n + 1}; }}\n" for n in range(20_000)))
    python, script = w.python_script(tmp_path)
    with Profiler(FAST) as profiler:
        compiler = subprocess.Popen(["clang-14", "-O2", "-c", str(source), "-o", str(tmp_path / "large.o")])
        try:
            assert profiler.tables is not None
            end = time.monotonic() + 30
            while not profiler.tables.busy and time.monotonic() < end:
                profiler.wait(0.05)
            assert profiler.tables.busy
            assert_known_when_ended(profiler, python, script)
        finally:
            compiler.kill()
            compiler.wait()


IN_TURN = """
import sys, types
def template(n):
    total = 0
    for i in range(n):
        total += i * i
    return total
places = set()
for number in range(6):
    name = f"turn_{number}"
    function = types.FunctionType(template.__code__.replace(co_name=name, co_qualname=name), {"range": range})
    places.add(id(function.__code__))
    for _ in range(int(sys.argv[1])):
        function(20000)
    del function
sys.exit(len(places) > 3)
"""


@pytest.mark.kernel
@needs_x86
def test_functions_that_take_one_anothers_place(tmp_path: Path) -> None:
    """The memory of a function that is gone holds the next."""
    python, script = w.python_script(tmp_path, IN_TURN)
    with Profiler(FAST._replace(command=(python, script, "150"))) as profiler:
        profiler.wait()
        taken = profiler.finish()
        assert profiler.exit_code == 0, "each had a place of its own: the test shows nothing"
    shares = [share(taken, f"turn_{number}") for number in range(6)]
    assert min(shares) > 0.08 and max(shares) < 0.3, shares


@pytest.mark.kernel
@needs_x86
def test_python_as_it_is_natively(tmp_path: Path) -> None:
    python, script = w.python_script(tmp_path)
    taken = profile(options=FAST._replace(python=False), command=(python, script, "300"))
    assert not any(f.kind == "python" for stack in taken.stacks for f in stack)
    assert share(taken, "_PyEval_EvalFrameDefault") > 0.5


# without a kernel


def offsets(interpreter: int, frame: int) -> bytes:
    """A _Py_DebugOffsets whose blocks have so many words."""
    words = [0x030E00F0, 0, 10_000, 8, 632]
    words += [300_000, 1, 7264, 7344] + [5] * (interpreter - 4)
    words += [300, 0, 8, 16, 72, 152, 160, 200, 24]
    words += [88, 8, 0, 56, 80, 70] + [64] * (frame - 6)
    words += [200, 112, 120, 128, 136, 68, 52, 96, 104, 184]
    return b"xdebugpy" + pack(f"<{len(words)}Q", *words) + bytes(400)


@pytest.mark.parametrize(("interpreter", "frame"), [(13, 6), (14, 7), (16, 8)], ids=["3.13", "3.14", "later"])
def test_what_an_interpreter_says_of_itself(interpreter: int, frame: int) -> None:
    layout = read_offsets(offsets(interpreter, frame))
    assert layout is not None
    assert (layout.interpreters_head, layout.interpreter_next, layout.threads_head) == (632, 7264, 7344)
    assert (layout.current_frame, layout.thread_id, layout.thread_next, layout.cframe) == (72, 152, 8, 0)
    assert (layout.previous, layout.executable, layout.owner) == (8, 0, 70)
    assert (layout.filename, layout.qualname, layout.first_line) == (112, 128, 68)


def test_what_is_no_description_is_none() -> None:
    assert read_offsets(b"xdebugpy" + bytes(1000)) is None
    assert read_offsets(b"xdebugpy" + bytes(range(256)) * 4) is None


def test_characters_of_every_width() -> None:
    def text(value: str, kind: int, ascii: int = 0) -> Text:
        data = value.encode({1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind])[-120:]
        return Text(len(value), kind << 2 | ascii << 6, list(data.ljust(120, b"\0")))

    assert text_of(text("plain", 1, 1)) == "plain"
    assert text_of(text("schön", 1)) == "schön"
    assert text_of(text("在线程", 2)) == "在线程"
    assert text_of(text("a\N{SNAKE}", 4)) == "a\N{SNAKE}"
    assert text_of(Text(0, 0, [0] * 120)) == ""


LOOP = Frame("_PyEval_EvalFrameDefault")
A, B, C = (Frame(name, "python") for name in "abc")
MAIN, SUM = Frame("main"), Frame("builtin_sum")


@pytest.mark.parametrize(("native", "python", "expected"), [
    ([MAIN, LOOP], [(A, True)], [MAIN, A]),
    ([MAIN, LOOP], [(B, False), (A, True)], [MAIN, A, B]),
    ([MAIN, LOOP, SUM, LOOP], [(C, True), (B, False), (A, True)], [MAIN, A, B, SUM, C]),
    ([MAIN, LOOP, SUM, LOOP], [(A, True)], [MAIN, A, SUM, LOOP]),          # the inner loop is about to begin
    ([Frame("[cut]", "mark"), SUM, LOOP], [(C, True), (B, False), (A, True)],
     [Frame("[cut]", "mark"), A, B, SUM, C]),                             # the outer loop is cut away
    ([MAIN], [(A, True)], [A, MAIN]),
])
def test_merging(native: list[Frame], python: list[tuple[Frame, bool]], expected: list[Frame]) -> None:
    assert merged(native, python) == expected
