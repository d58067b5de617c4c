"""-d: what a script becomes, how it is loaded and attached, what the verifier says; and that nothing stays."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bpfwright.facets.trace.stages import STAGES
from bpfwright.kernel import listing
from tests.facets.trace.probes.programs import TYPED, built
from tests.facets.trace.test_commands import refused, trace

pytestmark = pytest.mark.kernel
SCRIPT = 'begin { printf("begun\\n"); } t:sched:sched_process_exec { @[comm] = count(); print(pid); } end { print(9); }'


def shown(*words: str) -> str:
    done = trace(*words)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    return done.stdout.decode()


def test_loading_and_attaching() -> None:
    said = shown("-d", "libbpf", "-e", SCRIPT)
    assert re.search(r"^types: \d+ bytes of BTF$", said, re.M)
    assert re.search(r"^map messages: ringbuf, \d+ bytes, descriptor \d+$", said, re.M)
    assert re.search(r"^map AT_: percpu_hash, 16 bytes to 8, 4096 entries, descriptor \d+$", said, re.M)
    assert re.search(r"^program tracepoint_2 \(raw_tp\): \d+ instructions$", said, re.M)
    assert "  refers to map AT_" in said and "  refers to map messages" in said
    assert re.search(r"^  loaded as \d+: \d+ instructions(, \d+ verified)?, \d+ bytes of machine code$", said, re.M)
    assert "begin_1: run from here\n" in said and "end_3: run from here\n" in said
    assert "tracepoint_2: tracepoint:sched:sched_process_exec: attached to raw tracepoint sched_process_exec\n" in said
    assert "begun" not in said  # nothing of it runs
    numbers = {int(number) for number in re.findall(r"loaded as (\d+):", said)}
    assert len(numbers) == 3 and not {program.id for program in listing.programs()
                                      if program.id in numbers and program.name.startswith(("begin", "end"))}


def test_the_verifiers_log() -> None:
    said = shown("-d", "verifier", "-e", SCRIPT)
    for name in ("begin_1", "tracepoint_2", "end_3"):
        _, _, log = said.partition(f"{name}:\n")
        log = re.split(r"\n\n\w+_\d:\n", log)[0]
        assert "R1=ctx() R10=fp0" in log and re.search(r"^processed \d+ insns", log, re.M), name
    assert "call bpf_get_current_comm#16" in said


def test_stages_by_commas_again_and_all() -> None:
    def heads(*words: str) -> list[str]:
        return re.findall("^--- (.+)$", shown(*words, "-e", SCRIPT), re.M)

    assert heads("-d", "libbpf,ast", "-d", "dis") == ["ast", "dis", "libbpf"]
    assert heads("-d", "all") == list(STAGES)
    assert heads("-d", "ast") == []
    assert "there is no stage 'bytes'" in refused(2, "-d", "ast,bytes", "-e", SCRIPT)


def test_a_command_is_attached_to_and_never_begins(tmp_path: Path) -> None:
    program = built(TYPED, tmp_path / "typed")
    made = tmp_path / "made"
    script = f"u:{program}:tiny {{ }} watchpoint:tiny+arg0:8:w {{ }}"
    said = shown("-d", "libbpf", "-c", f"touch {made}", "-e", f"u:{program}:tiny {{ }}")
    assert re.search(rf"^uprobe_1: uprobe:{program}:tiny: attached to uprobe {program}\+0x", said, re.M)
    assert not made.exists()
    said = shown("-d", "libbpf", "-c", str(program), "-e", script)
    assert "watchpoint_2: watchpoint:tiny+arg0:8:w: attached when the function is entered\n" in said


def test_named_parameters_come_after_a_double_dash() -> None:
    """As bpftrace has it: positional ones before and after, named ones after only."""
    script = 'begin { print((str($1), $2, getopt("aa", 1), getopt("bb"))); }'
    for words in (("p1", "--", "--aa=20", "--bb", "7"), ("--", "p1", "--aa=20", "--bb", "7"),
                  ("--", "--bb", "p1", "7", "--aa=20")):
        assert trace("-q", "--no-warnings", "-e", script, *words).stdout.strip() == b"(p1, 7, 20, true)"
    assert trace("-q", "-e", 'begin { print(getopt("aa", 1)); }', "-f", "json", "--", "--aa=5").stdout.count(b"5") == 1
    said = refused(2, "-e", script, "--aa=20")
    assert "unrecognized arguments: --aa=20" in said and "after a double dash: -- --aa=20" in said
    assert "double dash" not in refused(2, "-e", script, "-x")


def test_what_a_script_would_attach_to() -> None:
    assert shown("-l", "-e", "t:sched:sched_switch { } i:s:5 { }").split() == [
        "tracepoint:sched:sched_switch", "interval:s:5"]
    both = shown("-l", "t:sched:sched_swi*,rawtracepoint:sched_swi*").split()
    assert {"tracepoint:sched:sched_switch", "rawtracepoint:sched_switch"} <= set(both)
    assert all(name.split(":")[-1].startswith("sched_swi") for name in both)


def test_stages_need_no_reader_of_their_own() -> None:
    done = subprocess.run(["sh", "-c", '"$@" | head -1', "sh", *trace_line("-d", "all", "-e", SCRIPT)],
                          capture_output=True, timeout=60, check=False)
    assert done.stdout == b"--- ast\n" and b"Traceback" not in done.stderr


def trace_line(*words: str) -> list[str]:
    import sys
    return [sys.executable, "-m", "bpfwright", "trace", *words]
