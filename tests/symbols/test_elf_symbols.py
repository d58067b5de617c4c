"""Symbols of files: the same as binutils', whatever was stripped and wherever it went."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bpfwright.errors import ElfError, TargetError, UsageError
from bpfwright.symbols import ElfSymbols, Symbol
from tests.symbols.building import compiled, nm, strip, with_minidebuginfo

KINDS = {"pie": ("-pie", "-fPIE"), "no-pie": ("-no-pie",), "static": ("-static",), "static-pie": ("-static-pie",),
         "debug": ("-g",), "shared": ("-shared", "-fPIC"), "exported": ("-rdynamic",), "ibt": ("-fcf-protection=full",),
         "eager": ("-Wl,-z,now",), "lazy": ("-Wl,-z,lazy",)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_found_where_binutils_finds_it(tmp_path: Path, kind: str) -> None:
    path = compiled(tmp_path, "program", *KINDS[kind])
    symbols = ElfSymbols(path)
    known = {name.partition("@")[0]: where for name, where in nm(path).items() if where[1] in "tTdDwWbBrRi"}
    assert len(known) > 10
    for name, (address, letter) in known.items():
        if address < 0x100 and path.stat().st_size > 1 << 19:
            continue  # of the static libc's thread-local variables, which have no address
        assert address == 0 or address in symbols.addresses(name), name
        if letter in "tTi" and address:
            found = symbols.find(address, demangled=False)
            assert known[found.name][0] == address and found.offset == 0, name
    assert symbols.find(symbols.address("shown") + 2) == Symbol("shown", 2, str(path))
    assert symbols.find(symbols.address("hidden") + 1).name == "hidden"


def test_rules_for_names_at_one_address(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program")
    symbols = ElfSymbols(path)
    shown = symbols.address("shown")
    for alias in ("__shown", "weak_shown", "local_shown"):
        assert symbols.address(alias) == shown
    assert symbols.find(shown).name == "shown"  # not the weak, the local, nor that of leading underscores
    bare, behind = symbols.address("bare"), symbols.address("behind")
    assert behind == bare + 3
    assert [symbols.find(bare + i).name for i in range(5)] == ["bare"] * 3 + ["behind"] * 2
    assert symbols.find(symbols.address("data") + 3) == Symbol("data", 3, str(path))
    assert symbols.find(symbols.address("data") + 4).name != "data"
    assert symbols.find(0x7FFF_0000_0000) == Symbol("", 0x7FFF_0000_0000, str(path))


def test_stubs_are_named_by_whom_they_call(tmp_path: Path) -> None:
    for kind in ("pie", "no-pie", "ibt", "eager", "lazy"):
        path = compiled(tmp_path, kind, *KINDS[kind])
        said = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], check=True, capture_output=True,
                              text=True).stdout
        stubs = {line.split()[1][1:-2]: int(line.split()[0], 16) for line in said.splitlines()
                 if line.endswith("@plt>:")}
        symbols = ElfSymbols(path)
        assert len(stubs) >= 3, said
        assert symbols.find(stubs["getpid@plt"] + 4) == Symbol("getpid@plt", 4, str(path))
        assert all(address in symbols.addresses(name) for name, address in stubs.items()), stubs
        assert symbols.addresses("getpid") == []


def test_static_programs_choose_functions_through_stubs(tmp_path: Path) -> None:
    symbols = ElfSymbols(compiled(tmp_path, "static", "-static"))
    assert symbols.addresses("strchr@plt") or symbols.addresses("memcpy@plt") or symbols.addresses("strlen@plt")


def test_versions_are_cut_off() -> None:
    libc = ElfSymbols(libc_path(), roots=())
    assert libc.find(libc.address("malloc") + 1).name == "malloc"
    assert libc.find(libc.address("getpid")).name == "getpid"
    known = nm(Path(libc_path()), "-D")
    for name in ("qsort", "fopen", "clock_gettime", "pthread_create"):
        wanted = {address for full, (address, _) in known.items() if full.partition("@")[0] == name}
        assert set(libc.addresses(name)) == wanted != set()


def libc_path() -> str:
    with open("/proc/self/maps") as file:
        return next(line.split()[-1] for line in file if "libc.so" in line or "libc-" in line)


def test_a_stripped_file_keeps_what_it_exports(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-rdynamic")
    shown, hidden = nm(path)["shown"][0], nm(path)["hidden"][0]
    strip(path)
    symbols = ElfSymbols(path)
    assert symbols.find(shown + 1).name == "shown"
    assert symbols.find(hidden + 1).name == "behind"  # the last that has no size, up to the end of the section
    assert symbols.addresses("hidden") == []


def test_minidebuginfo_names_what_is_not_exported(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-rdynamic", "-g")
    hidden = nm(path)["hidden"][0]
    with_minidebuginfo(path)
    assert "hidden" not in subprocess.run(["nm", str(path)], capture_output=True, text=True).stdout
    symbols = ElfSymbols(path)
    assert symbols.find(hidden + 1) == Symbol("hidden", 1, str(path))
    assert symbols.find(symbols.address("shown")).name == "shown"


def test_a_debug_file_is_found_by_build_id(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-g")
    hidden, digits = nm(path)["hidden"][0], ElfSymbols(path).build_id.hex()
    assert len(digits) == 40
    debug = tmp_path / "root" / "usr/lib/debug/.build-id" / digits[:2] / f"{digits[2:]}.debug"
    debug.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", str(path), str(debug)], check=True)
    strip(path)
    assert ElfSymbols(path).find(hidden).name == ""
    symbols = ElfSymbols(path, roots=(str(tmp_path / "root"), ""))
    assert symbols.debug_path == str(debug) and symbols.find(hidden + 2).name == "hidden"
    assert symbols.lines(hidden)[0].function == "hidden"
    # Another program's file in its place is not believed.
    other = compiled(tmp_path, "other", "-g", "-DOTHER", source="int main(void) { return 0; }")
    shutil.copy(other, debug)
    assert ElfSymbols(path, roots=(str(tmp_path / "root"),)).debug_path == ""


@pytest.mark.parametrize("place", ["", ".debug"])
def test_a_debug_file_is_found_by_link_and_checksum(tmp_path: Path, place: str) -> None:
    path = compiled(tmp_path, "program", "-g", "-Wl,--build-id=none")
    hidden = nm(path)["hidden"][0]
    debug = tmp_path / place / "program.dbg"
    debug.parent.mkdir(exist_ok=True)
    subprocess.run(["objcopy", "--only-keep-debug", str(path), str(debug)], check=True)
    strip(path)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", str(path)], check=True)
    symbols = ElfSymbols(path)
    assert symbols.build_id == b"" and symbols.debug_path == str(debug)
    assert symbols.find(hidden).name == "hidden"
    debug.write_bytes(debug.read_bytes() + b"\0")
    assert ElfSymbols(path).debug_path == "" and ElfSymbols(path).find(hidden).name == ""


def test_without_section_headers_the_dynamic_section_has_them(tmp_path: Path) -> None:
    for style in ("gnu", "sysv"):
        path = compiled(tmp_path, f"{style}.so", "-shared", "-fPIC", f"-Wl,--hash-style={style}")
        shown, data = nm(path)["shown"][0], bytearray(path.read_bytes())
        data[40:48], data[58:64] = bytes(8), bytes(6)  # where they are; their size, count and names
        symbols = ElfSymbols.from_bytes(bytes(data), "bare.so")
        assert symbols.find(shown + 1) == Symbol("shown", 1, "bare.so")
        assert len(symbols.build_id) == 20


def test_addresses_and_file_offsets(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-no-pie")
    symbols = ElfSymbols(path)
    shown = symbols.address("shown")
    offset = symbols.file_offset(shown)
    assert offset != shown
    back, inside = symbols.at_offsets(np.array([offset, 1 << 40], dtype=np.uint64))
    assert back[0] == shown and inside.tolist() == [True, False]
    with pytest.raises(TargetError, match="no loaded segment"):
        symbols.file_offset(1)
    with pytest.raises(TargetError, match="no symbol 'missing'"):
        symbols.address("missing")


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no file"):
        ElfSymbols(tmp_path / "nothing")
    with pytest.raises(ElfError, match="no regular file"):
        ElfSymbols("/dev/null")
    with pytest.raises(ElfError, match="no regular file"):
        ElfSymbols(tmp_path)
    text = tmp_path / "text"
    text.write_text("hello" * 40)
    with pytest.raises(ElfError, match="not an ELF file"):
        ElfSymbols(text)
    (tmp_path / "a.c").write_text("int x;")
    subprocess.run(["cc", "-c", "a.c", "-o", "a.o"], cwd=tmp_path, check=True)
    with pytest.raises(ElfError, match="neither a program nor"):
        ElfSymbols(tmp_path / "a.o")


@pytest.mark.parametrize("wrong", [[-1], [1 << 64], ["a"], np.array([1.5]), [[1, 2]]])
def test_what_is_no_list_of_addresses_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="addresses are integers"):
        ElfSymbols(libc_path(), roots=()).resolve(wrong)  # type: ignore[arg-type]
