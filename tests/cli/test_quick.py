"""Command lines read without argparse: what is read so is what argparse reads, and mistakes stay argparse's."""
from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright import cli
from bpfwright.cli import parsing, quick

VERBS = sorted(cli.VERBS)
WORDS = ("-", "--", "x.py", "3", "2.5", "json", "text", "-q", "-v", "-e", "-f", "-o", "-p", "-l", "-I", "--for", "--hz",
         "--seed", "--json", "--measure", "--for=3", "--seed=x", "--unsafe", "--dry-run", "-x", "-fjson", "-h", "",
         "a b", "--jit", "--interpret", "--program=95", "--xdp-mode", "native", "-i", "eth0", "-1", "--help", "-j",
         "--top", "-c")


def by_argparse(verb: str, words: list[str]) -> dict[str, Any] | None:
    """What argparse makes of it; None where it ends the command."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return vars(parsing.parser(verb, cli.module_of(verb)).parse_args(words))
    except SystemExit:
        return None


@given(st.sampled_from(VERBS), st.lists(st.sampled_from(WORDS), max_size=7))
def test_what_is_read_is_what_argparse_reads(verb: str, words: list[str]) -> None:
    found = quick.parse(cli.module_of(verb).arguments, words)
    if found is not None:
        assert vars(found) == by_argparse(verb, words)


@pytest.mark.parametrize(("verb", "words"), [
    ("trace", ["-q", "-e", "begin { exit(); }", "-c", "/bin/echo attached"]),
    ("trace", ["script.bt", "5", "-f", "json", "-o", "out"]),
    ("trace", ["-l", "tracepoint:*"]),
    ("trace", ["-l"]),
    ("trace", ["-I", "a", "-I", "b", "-"]),
    ("trace", ["--for=2.5", "x.bt"]),
    ("build", ["x.py", "one", "two", "-o", "x.o"]),
    ("inspect", ["x.o"]),
    ("ps", ["--measure", "0.1", "-j"]),
])
def test_plain_lines_need_no_argparse(verb: str, words: list[str]) -> None:
    found = quick.parse(cli.module_of(verb).arguments, words)
    assert found is not None and vars(found) == by_argparse(verb, words)


@pytest.mark.parametrize("words", [
    ["--no-such"], ["-h"], ["-f", "xml"], ["-p", "one"], ["-e"], ["-fjson"], ["a", "-q", "b"], ["x", "--", "--port=80"],
    ["--quiet=yes"], ["--for="]])
def test_the_rest_is_left_to_argparse(words: list[str]) -> None:
    assert quick.parse(cli.module_of("trace").arguments, words) is None


def test_exclusive_options_are_left_to_argparse() -> None:
    def declare(parser: argparse.ArgumentParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--one", action="store_true")
        group.add_argument("--two", action="store_true")
    assert vars(quick.parse(declare, ["--one"]) or argparse.Namespace()) == {"one": True, "two": False}
    assert quick.parse(declare, ["--one", "--two"]) is None


def test_argparse_is_not_imported_for_a_plain_line() -> None:
    said = subprocess.run([sys.executable, "-c", "import sys; from bpfwright.cli import main\n"
                           "try: main(['trace', '-V'])\nexcept SystemExit: print('argparse' in sys.modules)"],
                          capture_output=True, text=True, check=True).stdout.split()
    assert said[-1] == "False"
