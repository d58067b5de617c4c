"""Source lines and inlined functions: the same as addr2line's, for two compilers and their ways of writing DWARF."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bpfwright.errors import FormatError, NotSupported
from bpfwright.symbols import ElfSymbols, ProcessSymbols, SourceLine
from tests.symbols.building import PROGRAM, compiled, nm, running, strip

STYLES = {"dwarf 5": ("-gdwarf-5",), "dwarf 4": ("-gdwarf-4",), "dwarf 3": ("-gdwarf-3",),
          "split sections": ("-g", "-ffunction-sections", "-Wl,--gc-sections"), "compressed": ("-g", "-gz=zlib"),
          "static": ("-g", "-static"), "no-pie": ("-g", "-no-pie")}
LINES = {text: number for number, text in enumerate(PROGRAM.splitlines(), 1)}


def said_by_addr2line(path: Path, addresses: list[int]) -> list[list[tuple[str, str, int]]]:
    command = ["addr2line", "-a", "-f", "-i", "-e", str(path), *map(hex, addresses)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found: list[list[tuple[str, str, int]]] = []
    at = 0
    while at < len(said):
        if said[at].startswith("0x"):
            found.append([])
            at += 1
            continue
        file, _, line = said[at + 1].partition(" (")[0].rpartition(":")
        found[-1].append((said[at], file, int(line) if line.isdigit() else 0))
        at += 2
    return found


@pytest.mark.parametrize("style", STYLES)
def test_the_same_as_addr2line(tmp_path: Path, style: str) -> None:
    path = compiled(tmp_path, "program", *STYLES[style])
    symbols, known = ElfSymbols(path), nm(path)
    addresses = [start + offset for name, size in (("shown", 40), ("hidden", 8), ("main", 60))
                 for start in [known[name][0]] for offset in range(size)
                 if symbols.find(start + offset).name == name]
    assert len(addresses) > 60
    deep = 0
    for address, theirs in zip(addresses, said_by_addr2line(path, addresses), strict=True):
        ours = symbols.lines(address)
        assert [(line.function, line.file, line.line) for line in ours] == theirs, hex(address)
        deep += len(ours) == 3
    assert deep > 3  # inner in middle in shown
    assert symbols.lines(known["_start"][0]) == [] or style == "static"
    assert symbols.lines(1) == symbols.lines(1 << 50) == []


@pytest.mark.parametrize("compiler", ["cc", "clang-14"])
def test_inlined_functions_come_first(tmp_path: Path, compiler: str) -> None:
    assert shutil.which(compiler)
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    path = tmp_path / "program"
    subprocess.run([compiler, "-O2", "-g", str(source), "-o", str(path)], check=True)
    symbols = ElfSymbols(path)
    calls = LINES["    return hidden(x) + middle(x);"]
    shown = symbols.address("shown")
    chains = {tuple(symbols.lines(address)) for address in range(shown, shown + 40)}
    wanted = (SourceLine("inner", str(source), LINES["    return x * 5 + getpid();"]),
              SourceLine("middle", str(source), LINES["    return inner(x + 1) ^ 7;"]),
              SourceLine("shown", str(source), calls))
    assert wanted in chains


def test_lines_of_a_process_and_of_cxx(tmp_path: Path) -> None:
    source = PROGRAM.replace("int shown(int x) {", "int shown(int x) noexcept {").replace(
        'int __shown(int) __attribute__((alias("shown")));', "").replace(
        'int weak_shown(int) __attribute__((weak, alias("shown")));', "").replace(
        'static int local_shown(int) __attribute__((alias("shown"), used));', "")
    source = "#include <cstdio>\n" + source.replace("extern char", 'extern "C" char')
    path = compiled(tmp_path, "program", "-g", source=source, language="cc")
    with running(path) as (process, addresses):
        symbols = ProcessSymbols(process.pid)
        assert symbols.find(addresses[0]).name == "shown(int)"
        assert symbols.lines(addresses[0])[-1].function == "shown(int)"
        assert symbols.lines(addresses[0])[-1].file == str(tmp_path / "program.cc")
        assert symbols.lines(addresses[3])[-1].function == "main"
        assert symbols.lines(5) == []
        process.kill()
        process.wait()
        assert symbols.lines(addresses[0])[-1].function == "shown(int)"


def test_without_dwarf_there_are_none(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-g")
    shown = nm(path)["shown"][0]
    strip(path, "-g")
    assert ElfSymbols(path).lines(shown) == []


def test_another_file_in_its_place_is_not_asked(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-g")
    symbols = ElfSymbols(path)
    shown = symbols.address("shown")
    compiled(tmp_path, "program", "-g", "-O0")
    assert symbols.lines(shown) == []


def test_without_pyelftools_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    path = compiled(tmp_path, "program", "-g")
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    with pytest.raises(NotSupported, match="source lines need pyelftools"):
        ElfSymbols(path).lines(5)


def test_damaged_dwarf_is_said(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-g")
    shown, data = nm(path)["shown"][0], bytearray(path.read_bytes())
    said = subprocess.run(["readelf", "-SW", str(path)], check=True, capture_output=True, text=True).stdout
    [words] = [line.partition("]")[2].split() for line in said.splitlines() if " .debug_abbrev " in line]
    at, size = int(words[3], 16), int(words[4], 16)
    data[at:at + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(FormatError, match="DWARF is damaged"):
        ElfSymbols(path).lines(shown)
