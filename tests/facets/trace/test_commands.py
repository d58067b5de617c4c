"""`bpfwright trace` as it is typed: what it is given, how it ends, what it leaves."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpfwright.kernel import Kernel
from tests.facets.trace.language.running import Kept

pytestmark = pytest.mark.kernel

_COMMAND = (sys.executable, "-m", "bpfwright", "trace")


def trace(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run((*_COMMAND, *words), input=given, capture_output=True, timeout=60, check=False)


def refused(code: int, *words: str, given: bytes = b"") -> str:
    """What is said, without a traceback and in few lines."""
    done = trace(*words, given=given)
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said and done.stdout == b""
    return said


@pytest.mark.parametrize("script", [b"", b"// nothing\n", b"struct a { int x; };"])
def test_scripts_without_a_probe(script: bytes) -> None:
    assert "there is no probe in the script" in refused(2, "-", given=script)


def test_bytes_that_are_no_text() -> None:
    assert "stdin is no script" in refused(2, "-", given=b"\x7fELF\0\0\1")
    assert "means nothing here" in refused(6, "-", given=b"begin { \xff }")


def test_headers_from_outside(tmp_path: Path) -> None:
    (tmp_path / "sizes.h").write_text("#define LARGEST 77\n")
    done = trace("-q", "-I", str(tmp_path), "--include", "sizes.h", "-e", "begin { print(LARGEST); }")
    assert done.stdout.split() == [b"77"]


def test_long_lines_are_shown_in_part() -> None:
    said = refused(6, "-e", 'begin { $x = "' + "a" * 100_000 + '"; print(nope); }')
    assert max(map(len, said.splitlines())) < 250
    source, caret = said.splitlines()[1:3]
    assert source[caret.index("^"):].startswith("nope")


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    assert "\x1b" not in refused(6, "-", given=b"begin { /* \x1b[31m */ nope; }")


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfbegin { print(1); }", b"begin {\r\n\tprint(1);\r\n}\r\n"])
def test_marks_and_line_ends_of_others(text: bytes) -> None:
    assert trace("-q", "-", given=text).stdout.split() == [b"1"]


def test_parameters_that_the_script_does_not_have() -> None:
    said = refused(2, "-e", 'begin { print(getopt("n", 5, "how many")); }', "--", "--m=1")
    assert "no parameter --m" in said and "--n=5  how many" in said
    assert "calls no `getopt`" in refused(2, "-e", "begin { }", "--", "--m=1")


def test_help_of_a_script() -> None:
    done = trace("-e", 'begin { print(getopt("n", 5, "how many")); print(getopt("f")); }', "--", "--help")
    assert (done.returncode, done.stdout) == (0, b"  --n=5  how many\n  --f\n")


def test_a_command_that_is_not_closed() -> None:
    assert "no closing quotation" in refused(2, "-c", "sh -c 'x", "-e", "begin { }")


def test_a_process_that_is_not_there() -> None:
    assert "there is no process 99999999" in refused(1, "-p", "99999999", "-e", "t:sched:sched_switch { }")


def test_canonical_form(tmp_path: Path) -> None:
    script = tmp_path / "a.bt"
    script.write_text("begin{@a=count( );exit();}")
    once = trace("--fmt", str(script)).stdout
    assert b"@a = count();" in once
    script.write_bytes(once)
    assert trace("--fmt", str(script)).stdout == once


def test_version() -> None:
    assert b"bpftrace" in trace("-V").stdout


def test_executable_scripts(tmp_path: Path) -> None:
    script = tmp_path / "a.bt"
    script.write_text(f"#!/usr/bin/env -S {' '.join(_COMMAND)} -q\nbegin {{ print(($1, str($2))); }}\n")
    script.chmod(0o755)
    done = subprocess.run((str(script), "5", "x y"), capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == b"(5, x y)"



@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_its_maps(number: int) -> None:
    running = subprocess.Popen((*_COMMAND, "-e", "begin { @a = 7; } i:ms:100 { printf(\"x\\n\"); } end { print(8); }"),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert b"Attached" in running.stdout.readline()
    running.stdout.readline()
    running.send_signal(number)
    out, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert b"8\n" in out and b"@a: 7" in out and errors == b""


def test_a_reader_that_goes_away() -> None:
    running = subprocess.Popen((*_COMMAND, "-e", "i:ms:10 { printf(\"x\\n\"); }"), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert running.stdout is not None and running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(60) == 0
    assert running.stderr.read() == b""
    running.stderr.close()


def test_events_that_come_while_it_is_busy_are_counted(tmp_path: Path) -> None:
    """What an interrupt frees while the program that sees it is long at work: of files that are gone, after a while."""
    from bpfwright.facets.trace.options import Options
    from bpfwright.facets.trace.configuration import DEFAULTS
    from bpfwright.facets.trace.running import Running
    from bpfwright.facets.trace.scripts import compiled
    script = f"t:kmem:kmem_cache_free /pid == {os.getpid()}/ {{ for ($i : 0..300000) {{ @n++; }} }}"
    errors = Kept()
    with Kernel() as machine, Running(compiled(script, "", Options(), machine), machine, Kept(), errors,
                                      defaults=DEFAULTS) as running:
        running.start()
        until = time.monotonic() + 30
        program = running.loaded.programs[running.plan.attachments[0].program]
        while not program.statistics()[2] and time.monotonic() < until:
            (tmp_path / "file").write_bytes(b"")
            (tmp_path / "file").unlink()
        running.finish()
    assert b"tracepoint:kmem:kmem_cache_free: " in errors.data and b"were not seen" in errors.data
