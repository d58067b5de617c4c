"""Printed trees parse to themselves; damaged and senseless text is a mistake and nothing else, in linear time."""
from __future__ import annotations

import glob
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from bpfwright.facets.trace import tree
from bpfwright.facets.trace.macros import expand
from bpfwright.facets.trace.names import check_calls
from bpfwright.facets.trace.parser import parse
from bpfwright.facets.trace.render import render
from bpfwright.facets.trace.text import Mistakes
from tests.facets.trace.mistakes import MEANING, SYNTAX
from tests.facets.trace.programs import expressions, programs
from tests.facets.trace.tables import EXPRESSIONS, POINTS, SCRIPTS, STATEMENTS

PHASES = (Phase.generate,)  # a failing program is short as it is
REAL = [Path(path).read_text() for path in sorted(glob.glob("/usr/sbin/*.bt"))]
SEEDS = REAL + [source for source, _ in SCRIPTS + SYNTAX + MEANING] \
    + [f"begin {{ _ = {source}; }}" for source, _ in EXPRESSIONS] + [f"begin {{ {source} }}" for source, _ in STATEMENTS] \
    + [f"{source} {{ }}" for source, _ in POINTS]
TOKENS = """begin kprobe:f u:/bin/x:g interval:s:1 { } { } ( ) [ ] ; ; , . .. : ? = == + - * / % && || & | ^ ! ~ ++ -- -> <<= += $x $y @m
    @ $1 $# 1 0x10 2e3 1s "a" "\\n if else for while unroll let return break continue import macro fn config struct typeof sizeof
    offsetof typeinfo comptime true uint8 printf count hist # #include // /* */ \n"""
WORDS = TOKENS.split(" ")


@settings(max_examples=150, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(programs)
def test_programs_print_and_parse(program: tree.Program) -> None:
    printed = render(program)
    again = parse(printed).program
    assert again == program
    assert render(again) == printed


@settings(max_examples=1000, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(expressions)
def test_expressions_print_and_parse(expression: tree.Expression) -> None:
    statement = parse(f"kprobe:f /{render(tree.Tuple(expression.span, (expression,)))}/ {{ _ = {render(expression)}; }}")
    (probe,) = statement.program.probes
    assert probe.predicate == tree.Tuple(expression.span, (expression,))
    assert probe.body.statements == (tree.Discard(expression.span, expression),)


def survives(source: str) -> bool:
    """Whether it is a program; anything but Mistakes is a failure of the test."""
    try:
        program = parse(source).program
    except Mistakes as error:
        places = [(each.line, each.column) for each in error.mistakes]
        assert 1 <= len(places) <= 20 and places == sorted(places) and str(error)
        assert all(each.what and each.cure and each.end_column > each.column for each in error.mistakes)
        return False
    assert parse(render(program)).program == program
    try:
        expanded = expand(program)
        render(expanded)
        check_calls(expanded)
    except Mistakes as error:
        assert str(error)
    return True


def test_random_characters() -> None:
    random = Random(1)
    for _ in range(3000):
        survives("".join(chr(random.choice((random.randrange(128), random.randrange(0x3000)))) for _ in range(random.randrange(80))))
        survives(random.randbytes(random.randrange(60)).decode("utf-8", "surrogateescape"))


def test_random_tokens() -> None:
    random = Random(2)
    parsed = 0
    for _ in range(4000):
        soup = " ".join(random.choices(WORDS, k=random.randrange(30)))
        parsed += survives(soup) + survives(f"begin {{ {soup} }}")
    assert parsed > 20  # some of it is a program


def test_damaged_scripts() -> None:
    random = Random(3)
    parsed = 0
    for _ in range(1500):
        source = random.choice(SEEDS)
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(source) + 1)
            end = min(len(source), at + random.randrange(1, 12))
            other = random.choice(SEEDS)
            start = random.randrange(len(other) + 1)
            source = random.choice((source[:at] + source[end:], source[:at] + random.choice("{}()[];:/\"'$@#,.\\\n") + source[at:],
                                    source[:at] + other[start:start + 20] + source[at:], source[:at], source[:end] + source[at:]))
        parsed += survives(source)
    assert parsed > 50


@pytest.mark.parametrize("piece", [
    "begin { $x = 1; @m[1] = count(); }\n", "kprobe:f /pid == 1/ { printf(\"%d\\n\", arg0); }\n", "begin { if (1) { } }", "foo ",
    "/* a */ ", "// a\n", "a:", "\"", "'", "(", "{", "}", "[", "/", ",", "#x\n", "#x\\\n", "struct a { } ", "struct ", "config = ", "k:f,",
    "$", "@", "1", "x=", "u:\"", "begin{", "begin { (a) ", "begin { x ", "begin { $x = (", "macro ", "let ", "\\\n", "/*", "k:f /", "+",
    "begin { (int*[]", "begin { (unsigned ", "typedef ", "for (", "0x", "1_", "begin { \"\\x41\\n", "begin { $x ",
])
def test_time_is_linear(piece: str) -> None:
    def spent(size: int) -> float:
        source = piece * (size // len(piece))
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            try:
                parse(source)
            except Mistakes:
                pass
            best = min(best, time.process_time() - began)
        return best
    small, large = spent(5_000), spent(80_000)
    assert large < 16 * 6 * max(small, 0.002), f"{small:.4f} s, then {large:.4f} s for 16 times as much"


def test_a_script_of_200_lines_parses_in_a_few_milliseconds() -> None:
    source = "".join(REAL)
    lines = source.count("\n")
    spent = []
    for _ in range(5):
        began = time.process_time()
        for script in REAL:
            parse(script)
        spent.append(time.process_time() - began)
    assert min(spent) * 200 / lines < 0.010, f"{min(spent) * 200 / lines * 1000:.1f} ms for 200 lines"


def test_nothing_heavy_is_imported() -> None:
    program = "import sys; import bpfwright.facets.trace.parser, bpfwright.facets.trace.macros, bpfwright.facets.trace.imports; " \
        "print(*[name for name in ('re', 'typing', 'dataclasses', 'enum', 'collections', 'inspect', 'llvmlite', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, 'src'); {program}"], capture_output=True,
                          text=True, check=True)
    assert done.stdout.strip() == ""
