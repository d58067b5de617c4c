"""The command line as people and scripts meet it."""
from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bpfwright import cli
from bpfwright.cli import output, parsing, problems
from bpfwright.errors import CompileError, KernelError, NotSupported, PrivilegeError, UsageError, VerifierError
from tests.cli.commands import ENVIRONMENT, TOP, command

# What no verb may pay for before it needs it.
HEAVY = ("numpy", "llvmlite", "asyncio", "dataclasses", "inspect", "subprocess", "pathlib", "tempfile", "hashlib")


def test_help_lists_every_verb_with_what_it_does() -> None:
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    for verb in cli.VERBS:
        assert parsing.summary(cli.module_of(verb)) in out, verb


def test_a_bare_command_is_an_error_and_says_how_it_is_used() -> None:
    code, out, err = command()
    assert (code, out) == (2, "") and "usage:" in err


def test_a_wrong_verb_names_the_right_one() -> None:
    code, out, err = command("inspekt")
    assert (code, out) == (2, "") and "`bpfwright inspect`" in err


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_the_help_of_a_verb_ends_with_examples(verb: str) -> None:
    parser = parsing.parser(verb, cli.module_of(verb))
    text = parser.format_help()
    assert text.index("examples:") > text.index("options:")
    examples = text[text.index("examples:"):].splitlines()[1:]
    assert examples
    assert all(line.strip().startswith(f"bpfwright {verb}") for line in examples)


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_the_help_of_a_verb_imports_nothing_heavy(verb: str) -> None:
    script = f"import sys\nfrom bpfwright import cli\ntry: cli.main([{verb!r}, '--help'])\nexcept SystemExit: pass\n" \
             f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stderr.strip() == "[]"


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = f"import sys, bpfwright\nprint([name for name in {HEAVY} + ('ctypes',) if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(("problem", "code"), [
    (KernelError("no", 22), 1), (UsageError("no"), 2), (PrivilegeError("no", 1), 3), (NotSupported("no"), 4),
    (VerifierError("no", 13), 5), (CompileError("no"), 6), (FileNotFoundError(2, "No such file", "x"), 1)])
def test_errors_have_their_exit_codes(problem: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert problems.explain(problem, []) == code
    assert capsys.readouterr().err.startswith("bpfwright: ")


def test_an_error_is_what_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    problems.explain(NotSupported("no tcx here", why="The kernel is 5.10.", since="6.6"), [])
    assert capsys.readouterr().err == ("bpfwright: no tcx here\n  The kernel is 5.10.\n"
                                       "  It exists since Linux 6.6.\n")


def test_without_privilege_the_line_to_type_is_exact(monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", [sys.executable, "ps"])
    problems.explain(PrivilegeError("not allowed", 1), ["ps", "-f", "a b"])
    assert f"Type: sudo {sys.executable} ps -f 'a b'" in capsys.readouterr().err


def test_what_nobody_foresaw_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        problems.explain(ZeroDivisionError(), [])


def test_a_reader_that_leaves_early_is_no_error() -> None:
    line = f"{sys.executable} -m bpfwright.cli ps --help | head -c 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stderr == "" and done.stdout.endswith("0\n")


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bpfwright", "--help"], capture_output=True, text=True,
                          env=ENVIRONMENT)
    assert done.returncode == 0 and done.stdout.startswith("usage: bpfwright"), done.stdout + done.stderr


COLUMNS = (output.Column("name", "NAME"), output.Column("bytes", "BYTES", right=True, grouped=True),
           output.Column("id", "ID", right=True), output.Column("share", "SHARE", right=True),
           output.Column("ok", "OK"))
ROWS: Sequence[dict[str, output.Cell]] = (
    {"name": "a, b", "bytes": 1234567, "id": 12345, "share": 0.5, "ok": True},
    {"name": "c", "bytes": 1, "id": 2, "share": None, "ok": False})


def written(form: str) -> str:
    to = io.StringIO()
    output.write(argparse.Namespace(format=form), COLUMNS, ROWS, to=to)
    return to.getvalue()


def test_rows_as_a_table() -> None:
    assert written("table").splitlines() == [
        "NAME      BYTES     ID  SHARE  OK",
        "a, b  1,234,567  12345   0.50  yes",
        "c             1      2      -  no"]


def test_rows_for_programs() -> None:
    assert json.loads(written("json")) == list(ROWS)
    assert [json.loads(line) for line in written("jsonl").splitlines()] == list(ROWS)
    assert written("csv").splitlines()[:2] == ["name,bytes,id,share,ok", '"a, b",1234567,12345,0.5,True']


def test_rows_into_a_file(tmp_path: Path) -> None:
    output.write(argparse.Namespace(format="json", output=str(tmp_path / "rows")), COLUMNS, ROWS)
    assert json.loads((tmp_path / "rows").read_text()) == list(ROWS)


def complete(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    script = f"source {TOP}/share/bpfwright.bash; COMP_WORDS=({' '.join(map(repr, words))}); " \
             f"COMP_CWORD={len(words) - 1}; _bpfwright; echo ${{COMPREPLY[@]}}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_completion_knows_verbs_options_and_choices() -> None:
    assert complete("bpfwright", "ins") == ["inspect"]
    assert complete("bpfwright", "ps", "--fol") == ["--follow"]
    assert complete("bpfwright", "ps", "-f", "js") == ["json", "jsonl"]
