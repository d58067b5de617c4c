"""Macros keep to themselves; imports come once, before those that name them."""
from __future__ import annotations

import pytest

from bpfwright.facets.trace.imports import Disk, with_imports
from bpfwright.facets.trace.macros import expand
from bpfwright.facets.trace.parser import Parsed, parse
from bpfwright.facets.trace.render import render
from bpfwright.facets.trace.text import Mistakes
from tests.facets.trace.short import short


def expanded(macros: str, body: str) -> str:
    program = expand(parse(f"{macros} begin {{ {body} }}").program)
    assert not program.macros and parse(render(program)).program == program
    return short(program.probes[0].body)[1:-1]


@pytest.mark.parametrize(("macros", "body", "expected"), [
    ("macro one() { 1 }", "print(one());", "print({1});"),
    ("macro one() { 1 }", "print(one);", "print({1});"),
    ("macro add(x) { x + 1 }", "$y = add(2 * 3);", "$y = {((2 * 3) + 1)};"),
    ("macro add(x) { x + 1 }", "$y = add(add(1));", "$y = {({(1 + 1)} + 1)};"),
    ("macro add(x) { x + 1 } macro two(x) { add(x) + 1 }", "$y = two(1);", "$y = {({(1 + 1)} + 1)};"),
    ("macro each($a, @b) { $a += 1; @b += 1; }", "$x = 1; each($x, @m);", "$x = 1; {$x += 1; @m += 1;};"),
    ("macro thrice(x) { x; x; x; }", "thrice({ f() });", "{{f()}; {f()}; {f()};};"),
    ("macro late(x) { let $x = x; $x }", "$x = late(1);", "$x = {Let(x__1, -, 1); $x__1};"),
    ("macro late(x) { let $x = x; $x }", "$x = 1; $y = late($x);", "$x = 1; $y = {Let(x__1, -, $x); $x__1};"),
    ("macro late(x) { let $x = x; $x }", "$y = late(late(1));",
     "$y = {Let(x__2, -, {Let(x__1, -, 1); $x__1}); $x__2};"),
    ("macro own() { $t = 1; $t }", "$t__1 = 5; $y = own();", "$t__1 = 5; $y = {$t__2 = 1; $t__2};"),
    ("macro go(n) { for ($i : 0..n) { f($i); } }", "$i = 9; go($i);",
     "$i = 9; {For(i__1, Range(0, $i), {f($i__1);});};"),
    ("macro n($s) { 1 } macro n(s) { let $s = s; n($s) }", '$x = n("a");',
     "$x = {Let(s__1, -, b'a'); {1}};"),
    ("macro n($s) { 1 } macro n(@s) { 2 } macro n(s) { 3 }", "$x = (n($y), n(@m), n(1));",
     "$x = Tuple([{1}, {2}, {3}]);"),
    ("macro n(a) { a } macro n(a, b) { a + b }", "$x = (n(1), n(1, 2));", "$x = Tuple([{1}, {(1 + 2)}]);"),
    ("macro all(@m) { for ($kv : @m) { print($kv.0); } }", "all(@a);", "{For(kv__1, @a, {print($kv__1.0);});};"),
    ("macro at(@m, k) { @m[k] }", "$x = at(@a, 5);", "$x = {@a[5]};"),
    ("macro size(x) { sizeof(x) }", "$y = size($x);", "$y = {SizeOf($x)};"),
])
def test_expansion(macros: str, body: str, expected: str) -> None:
    assert expanded(macros, body) == expected


def test_macros_in_predicates_and_functions() -> None:
    program = expand(parse("macro big(x) { x > 5 } kprobe:f /big(arg0)/ { } fn g($a : uint8) : bool { big($a) }").program)
    assert short(program.probes[0].predicate) == "{(arg0 > 5)}"
    assert short(program.functions[0].body) == "{{($a > 5)}}"


@pytest.mark.parametrize("source", [
    "macro a() { b() } macro b() { a() } begin { a(); }",
    " ".join(f"macro m{n}(x) {{ m{n + 1}(x) }}" for n in range(40)) + " macro m40(x) { x } begin { m0(1); }",
    " ".join(f"macro m{n}(x) {{ m{n + 1}(x) + m{n + 1}(x) }}" for n in range(20)) + " macro m20(x) { x } begin { m0(1); }",
    "macro w(x) { " + "(" * 30 + "x" + " + 1)" * 30 + " } begin { $x = " + "w(" * 40 + "1" + ")" * 40 + "; }",
])
def test_expansion_ends(source: str) -> None:
    with pytest.raises(Mistakes):
        expand(parse(source).program)


class Memory:
    """Files that a test made up."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def names(self, path: str) -> list[str] | None:
        return sorted(name[len(path) + 1:] for name in self.files if name.startswith(path + "/")) or None

    def read(self, path: str) -> str | None:
        return self.files.get(path)


def imported(files: dict[str, str], folders: tuple[str, ...] = ()) -> Parsed:
    return with_imports(parse(files["main.bt"], "main.bt"), Memory(files), folders)


@pytest.mark.parametrize(("files", "folders", "probes"), [
    ({"main.bt": 'import "a.bt"; k:m { }', "a.bt": "k:a { }"}, (), "am"),
    ({"main.bt": 'import "a.bt"; import "b.bt"; k:m { }', "a.bt": 'import "b.bt"; k:a { }', "b.bt": "k:b { }"}, (), "bam"),
    ({"main.bt": 'import "d"; k:m { }', "d/a.bt": "k:a { }", "d/b.bt": "k:b { }", "d/c.txt": "?"}, (), "abm"),
    ({"main.bt": 'import "d/a.bt"; k:m { }', "d/a.bt": 'import "../b.bt"; k:a { }', "b.bt": "k:b { }"}, (), "bam"),
    ({"main.bt": 'import "d/a.bt"; k:m { }', "d/a.bt": 'import "b.bt"; k:a { }', "d/b.bt": "k:b { }"}, (), "bam"),
    ({"main.bt": 'import "a.bt"; k:m { }', "/lib/a.bt": "k:a { }"}, ("/lib",), "am"),
    ({"main.bt": 'import "/abs/a.bt"; k:m { }', "/abs/a.bt": "k:a { }"}, (), "am"),
    ({"main.bt": 'import "a.bt"; import "./a.bt"; k:m { }', "a.bt": "k:a { }"}, (), "am"),
])
def test_imports(files: dict[str, str], folders: tuple[str, ...], probes: str) -> None:
    program = imported(files, folders).program
    assert "".join(render(probe.points[0])[-1] for probe in program.probes) == probes
    assert not program.imports


def test_imports_bring_macros_maps_and_definitions() -> None:
    program = imported({
        "main.bt": 'config = { max_map_keys=5 } import "a.bt"; import "x.bpf.c"; begin { $x = twice(@n); }',
        "a.bt": "struct S { int x; }; let @n = hash(5); macro twice(x) { x + x } BEGIN { }", "x.bpf.c": "int f(void);"})
    assert [note.what for note in program.warnings] == ["`BEGIN` is an old name"]
    found = expand(program.program)
    assert short(found.probes[1].body) == "{$x = {(@n + @n)};}"
    assert [one.path for one in found.imports] == ["x.bpf.c"] and found.maps[0].name == "n"
    assert found.definitions[0].text == "struct S { int x; };" and found.settings[0].name == "max_map_keys"


@pytest.mark.parametrize(("files", "what", "cure"), [
    ({"main.bt": 'import "a.bt";', "a.bt": 'import "main.bt";'}, "scripts import one another in a circle",
     "It is `main.bt` imports `a.bt` imports `main.bt`."),
    ({"main.bt": 'import "main.bt";'}, "scripts import one another in a circle", "It is `main.bt` imports `main.bt`."),
    ({"main.bt": 'import "no.bt";'}, "there is no file or folder `no.bt`",
     "Paths are looked up beside the script, then in the folders given with `-I`."),
    ({"main.bt": 'import "d";', "d/a.txt": ""}, "no script is in `d`", "Scripts end in `.bt`; import C files by their names."),
    ({"main.bt": 'import "a.py";', "a.py": ""}, "`a.py` is neither a script nor C",
     "Scripts end in `.bt`, C in `.c`, `.h` or `.o`."),
    ({"main.bt": 'import "a.bt";', "a.bt": "config = { log_size=1 }"}, "an imported script cannot configure",
     "Move the config block into the script that is run."),
    ({"main.bt": 'import "a.bt";', "a.bt": "begin { $x = ; }"}, "`;` stands where a value should",
     "Write a value: a number, `$name`, `@name`, a call."),
])
def test_wrong_imports(files: dict[str, str], what: str, cure: str) -> None:
    with pytest.raises(Mistakes) as caught:
        imported(files)
    assert (caught.value.what, caught.value.cure) == (what, cure)
    assert caught.value.file.endswith(".bt") and caught.value.line == 1


def test_files_on_disk(tmp_path: object) -> None:
    from pathlib import Path
    folder = Path(str(tmp_path))
    (folder / "lib").mkdir()
    (folder / "lib" / "a.bt").write_text("kprobe:a { }")
    (folder / "main.bt").write_text('import "lib"; kprobe:m { }')
    main = folder / "main.bt"
    program = with_imports(parse(main.read_text(), str(main)), Disk()).program
    assert [render(probe.points[0]) for probe in program.probes] == ["kprobe:a", "kprobe:m"]
    assert program.probes[0].span.text.file == str(folder / "lib" / "a.bt")
