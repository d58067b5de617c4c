"""Uprobes: arguments and results by DWARF, source lines, C++ names, addresses of data, stripped files."""
from __future__ import annotations

import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from bpfwright.errors import CompileError
from bpfwright.kernel import Kernel
from tests.facets.trace.probes import programs
from tests.facets.trace.probes.tracing import traced

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of C++."""
    return programs.built(programs.SPOKEN, tmp_path_factory.mktemp("spoken") / "spoken", compiler="g++",
                          suffix=".cpp")


@pytest.mark.parametrize(("expression", "expected"), [
    ("args.n", "-1"), ("str(args.name)", "hello"), ("args.p->x", "3"), ("args.p.y", "-4"), ("args.p.low", "5"),
    ("args.p.high", "17"), ("args.c", "GREEN"), ("args.byvalue.y", "-4"), ("args.big.c", "3"),
    ("args.big.name", "bigname"),
    ("args.seventh", "77"), ("args.eighth", "120"), ("args.ninth", "99"), ("arg0 & 0xffffffff", "4294967295"),
    ("((struct point *)arg2)->x", "3"), ("sizeof(struct big)", "40"), ("offsetof(struct big, name)", "24"),
])
def test_arguments_by_name(machine: Kernel, typed: Path, expression: str, expected: str) -> None:
    said = traced(machine, f"uprobe:{typed}:work / args.n == -1 / {{ print({expression}); }}", command=f"{typed} 2")
    assert said.lines == [expected]


@pytest.mark.parametrize("place", ["uprobe:{}:work", "uretprobe:{}:work", "software:page-faults:1",
                                   "tracepoint:syscalls:sys_enter_exit_group", "rawtracepoint:sched_process_exit"])
def test_probes_of_one_place_run_in_the_scripts_order(machine: Kernel, typed: Path, place: str) -> None:
    at = place.format(typed)
    once = f"{at} / comm == \"{typed.name}\" && @turn < 3 / {{ printf(\"%d\", @turn == TURN); @turn++; }}"
    said = traced(machine, " ".join(once.replace("TURN", str(turn)) for turn in range(3)), command=str(typed))
    assert said.lines[0] == "111"


def test_structs_whole_and_all_arguments(machine: Kernel, typed: Path) -> None:
    said = traced(machine, f"uprobe:{typed}:work {{ print(*args.p); }}", command=str(typed))
    assert said.lines == ["{ .x = 3, .y = -4, .low = 5, .high = 17 }"]
    said = traced(machine, f"uprobe:{typed}:made {{ print(args); }}", command=str(typed))
    assert "-2" in said.out and "250" in said.out


def test_floating_point_is_refused_with_the_reason(machine: Kernel, typed: Path) -> None:
    with pytest.raises(CompileError, match="`d` cannot be read here") as caught:
        traced(machine, f"uprobe:{typed}:work {{ print(args.d); }}", command=str(typed))
    assert "floating-point" in str(caught.value)


def test_results_have_their_type(machine: Kernel, typed: Path) -> None:
    said = traced(machine, f"uretprobe:{typed}:work {{ @work = retval; }} uretprobe:{typed}:tiny {{ @tiny = retval; }}",
                  command=f"{typed} 304")
    assert "@work: -3" in said.lines and "@tiny: 200" in said.lines


def test_a_hidden_parameter_comes_before_the_named_ones(machine: Kernel, typed: Path) -> None:
    said = traced(machine, f'uprobe:{typed}:made {{ printf("%d %d\\n", args.first, args.second); }}',
                  command=str(typed))
    assert said.lines == ["-2 250"]


def test_unknown_argument(machine: Kernel, typed: Path) -> None:
    with pytest.raises(CompileError, match="has no argument `nmae`") as caught:
        traced(machine, f"uprobe:{typed}:work {{ print(args.nmae); }}", command=str(typed))
    assert "Did you mean `name`?" in str(caught.value)


@pytest.mark.parametrize("flags", [("-no-pie",), ("-fPIE", "-pie")], ids=["fixed", "moved"])
def test_addresses_of_data(machine: Kernel, tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = programs.built(programs.TYPED, tmp_path / "typed", *flags)
    said = traced(machine, f'uprobe:{program}:work,uprobe:{program}:tiny {{ printf("%s %d\\n", func, '
                           f'*uaddr("counter")); }}', command=f"{program} 2")
    assert said.lines == ["work 42", "tiny 42", "work 43", "tiny 43"]


def test_addresses_of_data_at_a_return(machine: Kernel, typed: Path) -> None:
    script = f'uretprobe:{typed}:tiny {{ print(*uaddr("counter")); exit(); }}'
    with pytest.raises(CompileError, match="position-independent"):
        traced(machine, script, command=str(typed))
    with subprocess.Popen([typed, "100000", "10000"]) as process:
        try:
            said = traced(machine, script, pid=process.pid)
        finally:
            process.kill()
    assert int(said.lines[0]) >= 42


def test_a_symbol_that_is_not_there(machine: Kernel, typed: Path) -> None:
    with pytest.raises(CompileError, match="no symbol `conter`"):
        traced(machine, f'uprobe:{typed}:tiny {{ print(uaddr("conter")); }}', command=str(typed))


def test_source_lines(machine: Kernel, typed: Path) -> None:
    source = typed.with_suffix(".c").read_text().splitlines()
    line = next(at for at, text in enumerate(source, 1) if "return n + p->x" in text)
    said = traced(machine, f'uprobe:{typed}@typed.c:{line} {{ printf("%s %s\\n", probe, func); }}',
                  command=f"{typed} 2")
    assert said.lines == [f"uprobe:{typed}@typed.c:{line} work"] * 2
    with pytest.raises(CompileError, match=r"there is no code at typed.c:3") as caught:
        traced(machine, f"uprobe:{typed}@typed.c:3 {{ }}", command=str(typed))
    assert "The nearest is line" in str(caught.value)
    with pytest.raises(CompileError, match=r"has no code of `other\.c`"):
        traced(machine, f"uprobe:{typed}@other.c:3 {{ }}", command=str(typed))
    with pytest.raises(CompileError, match="has no source lines"):
        traced(machine, "uprobe:/bin/true@true.c:3 { }", command=str(typed))


@pytest.mark.parametrize(("name", "count"), [
    ("shop::Till::take", 2), ("shop::Till::take(int)", 1), ("shop::twice<*", 2), ("*take*", 2),
    ("shop::Till::take(long, char) const", 1),
])
def test_names_of_cpp(machine: Kernel, spoken: Path, name: str, count: int) -> None:
    said = traced(machine, f'uprobe:{spoken}:cpp:"{name}" {{ @ = count(); }}', command=str(spoken))
    assert said.lines == [f"@: {count}"]


def test_methods_have_this_and_objects_by_reference(machine: Kernel, spoken: Path) -> None:
    script = f"""uprobe:{spoken}:cpp:"shop::Till::take(int)" {{ printf("%d %d\\n", args.this->base, args.amount); }}
                 uprobe:{spoken}:cpp:"shop::Till::whole" {{ print(args.order->total); print(args.other->total); }}
                 uprobe:{spoken}:cpp:"shop::Till::make" {{ print(args.total); }}"""
    assert traced(machine, script, command=str(spoken)).lines == ["10 1", "7", "7", "5"]


@pytest.mark.parametrize("place", ["10", "0x40000000", "tiny+1000000"])
def test_addresses_without_code_are_refused(machine: Kernel, typed: Path, place: str) -> None:
    with pytest.raises(CompileError, match="is in no code"):
        traced(machine, f"uprobe:{typed}:{place} {{ }}", command=str(typed))


def test_stripped_files_and_where_their_symbols_are(machine: Kernel, typed: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copy(typed, tmp_path / "bare"))
    subprocess.run(["strip", bare], check=True)
    with pytest.raises(CompileError, match="has no function `tiny`"):
        traced(machine, f"uprobe:{bare}:tiny {{ }}", command=str(bare))
    address = next(line.split()[0] for line in subprocess.run(["nm", typed], capture_output=True, text=True,
                                                              check=True).stdout.splitlines() if line.endswith(" tiny"))
    said = traced(machine, f"uprobe:{bare}:0x{address} {{ @ = count(); }}", command=str(bare))
    assert said.lines == ["@: 1"]
    debug, packed = tmp_path / "bare.debug", tmp_path / "packed.xz"
    subprocess.run(["objcopy", "--only-keep-debug", typed, debug], check=True)
    linked = tmp_path / "linked"
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", bare, linked], check=True)
    said = traced(machine, f"uprobe:{linked}:work {{ print(args.seventh); }}", command=str(linked))
    assert said.lines == ["77"]
    symbols = tmp_path / "symbols"
    subprocess.run(["objcopy", "-S", "--keep-symbol=tiny", typed, symbols], check=True)
    packed.write_bytes(lzma.compress(symbols.read_bytes()))
    small = tmp_path / "small"
    subprocess.run(["objcopy", f"--add-section=.gnu_debugdata={packed}", bare, small], check=True)
    assert traced(machine, f"uprobe:{small}:tiny {{ @ = count(); }}", command=str(small)).lines == ["@: 1"]


def test_patterns_of_files_and_of_functions(machine: Kernel, typed: Path) -> None:
    said = traced(machine, f"uprobe:{typed.parent}/ty*d:[mt]*[ey] {{ @[func] = count(); }}", command=str(typed))
    assert {"@[made]: 1", "@[tiny]: 1"} <= set(said.lines) and "@[work]: 1" not in said.lines
    with pytest.raises(CompileError, match="no program or library is called"):
        traced(machine, f"uprobe:{typed.parent}/no*such:tiny {{ }}", command=str(typed))


def test_a_function_of_any_file_of_a_process(machine: Kernel, typed: Path) -> None:
    with subprocess.Popen([typed, "100000", "10000"]) as process:
        try:
            said = traced(machine, "uprobe:*:tiny { print(pid); exit(); } uprobe:*:usleep { @ = count(); }",
                          pid=process.pid)
        finally:
            process.kill()
    assert said.lines[0] == str(process.pid)


def test_what_is_no_binary(machine: Kernel, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(CompileError, match="is no program or library") as caught:
        traced(machine, f"uprobe:{script}:main {{ }}")
    assert "ELF" in str(caught.value)
    with pytest.raises(CompileError, match="there is no program or library `nosuchlib`"):
        traced(machine, "uprobe:nosuchlib:main { }")
