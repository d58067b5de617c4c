"""Each construct of the language, as a tree and printed back; the real scripts of bpftrace's package; old spellings."""
from __future__ import annotations

import glob
from pathlib import Path

import pytest

from bpfwright.errors import CompileError
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.library import LIBRARY, entry
from bpfwright.facets.trace.names import check_calls
from bpfwright.facets.trace.parser import parse
from bpfwright.facets.trace.points import PROVIDERS, SHORT
from bpfwright.facets.trace.render import render
from tests.facets.trace.short import short
from tests.facets.trace.tables import EXPRESSIONS, POINTS, SCRIPTS, STATEMENTS

INVENTORY = """
    pid tid uid gid comm ppid pcomm leader_comm leader_tid username cpid has_cpid cgroup curtask nsecs
    elapsed jiffies time strftime cpu ncpus numaid rand args retval func probe probetype reg usermode kstack ustack
    dw_ustack ksym usym kaddr uaddr percpu_kaddr str buf strlen strncmp strstr strcontains str_concat strcap strerror
    len memcmp bswap join kptr uptr container_of ntop pton macaddr skboutput socket_cookie path cat cgroupid
    cgroup_path clear zero delete has_key find print printf errorf warnf system signal_name syscall_name exit fail
    assert assert_str signal signal_thread override write_user unwatch kfunc_exist kfunc_allowed avg count hist lhist
    max min stats sum tseries getopt static_assert
"""
REAL = sorted(glob.glob("/usr/sbin/*.bt") + glob.glob("/usr/share/bpftrace/tools/*.bt"))


def expression(source: str) -> tree.Expression:
    """An expression's tree, read where a value stands."""
    (statement,) = body(f"_ = {source};").statements
    assert isinstance(statement, tree.Discard)
    return statement.value


def body(source: str) -> tree.Block:
    return parse(f"begin {{ {source} }}").program.probes[0].body


@pytest.mark.parametrize(("source", "expected"), EXPRESSIONS)
def test_expressions(source: str, expected: str) -> None:
    found = expression(source)
    assert short(found) == expected
    assert expression(render(found)) == found


@pytest.mark.parametrize(("source", "expected"), STATEMENTS)
def test_statements(source: str, expected: str) -> None:
    found = body(source)
    assert short(found) == expected
    assert parse(f"begin {render(found)}").program.probes[0].body == found


@pytest.mark.parametrize(("source", "expected"), POINTS)
def test_attach_points(source: str, expected: str) -> None:
    (found,) = parse(f"{source} {{ }}").program.probes[0].points
    assert short(found) == expected
    assert parse(f"{render(found)} {{ }}").program.probes[0].points == (found,)


@pytest.mark.parametrize(("source", "expected"), SCRIPTS)
def test_scripts(source: str, expected: str) -> None:
    program = parse(source).program
    assert "; ".join(f"{name}={short(value)}" for name, value in zip(program.fields(), program.values())
                     if value) == expected
    assert parse(render(program)).program == program


def test_every_provider_is_in_the_table() -> None:
    told = " ".join(expected for _, expected in POINTS)
    said = {source.split(":")[0] for source, _ in POINTS}
    assert set(SHORT) <= said
    assert all(provider in told or provider in said for provider in PROVIDERS)


def test_user_probes_of_a_given_process_need_no_binary() -> None:
    points = [parse(f"{source} {{ }}", with_process=True).program.probes[0].points[0]
              for source in ("uprobe:malloc", "u:cpp:run", "usdt:loop", "uprobe:/bin/x:f")]
    assert list(map(short, points)) == ["UserFunction('', uprobe, '', '', malloc, 0)", "UserFunction('', uprobe, '', cpp, run, 0)",
                                        "Usdt('', '', '', loop)", "UserFunction('', uprobe, /bin/x, '', f, 0)"]


@pytest.mark.parametrize(("source", "warning", "cure"), [
    ("BEGIN { }", "`BEGIN` is an old name", "Write `begin`."),
    ("END { }", "`END` is an old name", "Write `end`."),
    ("kfunc:f { }", "`kfunc` is an old name", "Write `fentry`."),
    ("kretfunc:f { }", "`kretfunc` is an old name", "Write `fexit`."),
    ("begin { while (1) { } }", "`while` is an old form",
     "Write `for ($i : 0..10) { ... }` where the number of rounds is known."),
    ("begin { f($2); }", "positional parameters say nothing by their names",
     'Name it: `getopt("name", default)`, given as `-- --name=...`, for `$2`.'),
])
def test_old_forms_are_warned_of(source: str, warning: str, cure: str) -> None:
    (note,) = parse(source).warnings
    assert (note.what, note.cure) == (warning, cure)


def test_an_old_delete_is_warned_of() -> None:
    (note,) = check_calls(parse("begin { @m[1] = 1; delete(@m[1]); }").program)
    assert note.what == "`delete` takes the map and its key" and note.cure == "Write `delete(@m, ...)`."
    assert check_calls(parse("begin { @m[1] = 1; delete(@m, 1); }").program) == ()


def test_spans() -> None:
    source = "begin {\n  $x = hist(1 +\n 22);\n}"
    (statement,) = parse(source, "a.bt").program.probes[0].body.statements
    assert isinstance(statement, tree.Assign)
    span = statement.value.span
    assert (span.line, span.column, span.end_line, span.end_column) == (2, 7, 3, 4)
    assert span.text.content[span.start:span.end] == "hist(1 +\n 22)" and span.text.file == "a.bt"


def test_every_node_spans_its_own_text() -> None:
    for path in REAL[:10]:
        program = parse(Path(path).read_text(), path).program
        for node in tree.walk(program):
            inner = [below for value in node.values() for below in (value if isinstance(value, tuple) else (value,))
                     if isinstance(below, tree.Node)]
            assert 0 <= node.span.start <= node.span.end
            assert all(node.span.start <= below.span.start and below.span.end <= node.span.end for below in inner)


def test_nodes_are_frozen_and_compare_by_what_they_hold() -> None:
    one, other = expression("1 + $x"), expression("   1+$x")
    assert one == other and hash(one) == hash(other) and one.span != other.span
    assert expression("x") != expression("$x") and expression("1") != expression("true")
    with pytest.raises(AttributeError):
        one.operator = "-"  # type: ignore[attr-defined]


def test_all_scripts_of_the_package_parse() -> None:
    assert len(REAL) > 30, "install the package bpftrace: its scripts are this test's"
    for path in REAL:
        program = parse(Path(path).read_text(), path).program
        check_calls(program)
        assert program.probes
        printed = render(program)
        assert parse(printed).program == program
        assert render(parse(printed).program) == printed


@pytest.mark.parametrize("name", [name for name in LIBRARY if name != "container_of"])  # that one is syntax
def test_the_library_counts_arguments(name: str) -> None:
    known = LIBRARY[name]
    for given in range(min(known.most, 5) + 2):
        program = parse(f"begin {{ $x = {name}({', '.join('1' * given)}); }}").program
        if known.least <= given <= known.most:
            check_calls(program)
        else:
            with pytest.raises(CompileError, match=f"`{name}` takes "):
                check_calls(program)


def test_the_inventory_is_in_the_library() -> None:
    assert [name for name in INVENTORY.split() if name not in LIBRARY] == []
    assert entry("arg0") is not None and entry("arg12") is not None and entry("argx") is None
    assert all(known.text and known.least <= known.most for known in LIBRARY.values())
