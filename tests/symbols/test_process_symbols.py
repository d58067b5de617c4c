"""Names in processes: this one, ended ones, deleted files, other mount namespaces, what runtimes made."""
from __future__ import annotations

import ctypes
import gc
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import BpfwrightError, FormatError, TargetError
from bpfwright.symbols import ElfSymbols, FileCache, ProcessSymbols
from bpfwright.symbols.mappings import read_mappings
from tests.symbols.building import compiled, nm, running, strip, with_minidebuginfo

NAMES = ["shown", "hidden", "bare", "main", "data"]


def function(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address


def test_this_process() -> None:
    symbols = ProcessSymbols(os.getpid())
    dict_new = symbols.find(function(ctypes.pythonapi, "PyDict_New") + 1)
    assert (dict_new.name, dict_new.offset) == ("PyDict_New", 1)
    assert "python" in dict_new.module
    malloc = symbols.find(function(ctypes.CDLL(None), "qsort") + 2)
    assert (malloc.name, malloc.offset) == ("qsort", 2) and "libc" in malloc.module
    assert symbols.find(5) == ("", 5, "[unknown]")
    assert symbols.find(0xFFFF_8000_0000_0000).module == "[unknown]"
    memory = (ctypes.c_char * (1 << 22))()
    anonymous = symbols.find(ctypes.addressof(memory) + 4096)
    assert anonymous.name == "" and anonymous.module in ("[anon]", "[heap]")
    assert not symbols.ended and symbols.pid == os.getpid()


def test_the_vdso() -> None:
    symbols = ProcessSymbols(os.getpid())
    [vdso] = [mapping for mapping in symbols.mappings if mapping.path == "[vdso]"]
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        image = os.pread(memory.fileno(), vdso.end - vdso.start, vdso.start)
    place = ElfSymbols.from_bytes(image).address("__vdso_clock_gettime")
    found = symbols.find(vdso.start + place + 1)
    assert found.name.removeprefix("__vdso_") == "clock_gettime" and found.module == "[vdso]" and found.offset == 1


@pytest.mark.parametrize("options", [("-pie", "-fPIE"), ("-no-pie",), ("-static",), ("-static-pie",), ("-g",),
                                     ("-Wl,-z,noseparate-code",), ("-Wl,-z,max-page-size=0x200000",)])
def test_load_addresses(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = compiled(tmp_path, "program", *options)
    with running(path) as (process, addresses):
        symbols = ProcessSymbols(process.pid)
        found = [symbols.find(address + 1) for address in addresses]
        assert [symbol.name for symbol in found] == NAMES
        assert {symbol.offset for symbol in found} == {1} and {symbol.module for symbol in found} == {str(path)}
        assert symbols.resolve(addresses).columns()["name"].tolist() == NAMES


def test_a_stripped_program_with_minidebuginfo(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-rdynamic", "-g")
    with_minidebuginfo(path)
    with running(path) as (process, addresses):
        found = ProcessSymbols(process.pid).resolve(addresses)
        assert [found[i].name for i in range(2)] == NAMES[:2]


def test_a_process_that_has_ended(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program")
    with running(path) as (process, addresses):
        seen, late = ProcessSymbols(process.pid), ProcessSymbols(process.pid)
        assert seen.find(addresses[0]).name == "shown"
        process.kill()
        process.wait()
        assert [symbol.name for symbol in (late.find(address) for address in addresses)] == NAMES
        assert not late.ended  # nobody asked for anything new
        assert late.find(0x1000).module == "[unknown]"
        assert has_ended(late) and not late.refresh()
        assert [seen.find(address).name for address in addresses] == NAMES
    with pytest.raises(TargetError, match="no process"):
        ProcessSymbols(process.pid)


def has_ended(symbols: ProcessSymbols) -> bool:
    return symbols.ended


def test_a_number_that_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(compiled(tmp_path, "program")) as (process, addresses):
        symbols = ProcessSymbols(process.pid)
        monkeypatch.setattr(ProcessSymbols, "_look", lambda _: (b"", b"another"))
        assert symbols.find(addresses[0]).name == "shown"
        assert not symbols.refresh() and symbols.ended


def test_a_deleted_program(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program")
    with running(path) as (process, addresses):
        path.unlink()
        symbols = ProcessSymbols(process.pid)
        assert symbols.resolve(addresses).columns()["name"].tolist() == NAMES
        assert symbols.find(addresses[0]).module == str(path)
        # One that came in its place is not asked; and what was seen stays when the process has gone, too.
        compiled(tmp_path, "program", source="int shown_not; int main(void) { return 0; }")
        other = ProcessSymbols(process.pid, files=FileCache())
        process.kill()
        process.wait()
        assert other.find(addresses[0] + 1).name == "shown"


@pytest.mark.kernel
def test_another_mount_namespace(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program")
    hidden, ours = tmp_path / "there", tmp_path / "ours"
    hidden.mkdir()
    ours.mkdir()
    # Where they run their program, we have another file, in which other names have these addresses.
    compiled(hidden, "program", source="int main(void) { return 0; }")
    script = f"mount -t tmpfs none {hidden} && cp {path} {hidden}/program && exec {hidden}/program"
    with running("unshare", "-m", "--propagation", "private", "sh", "-c", script) as (process, addresses):
        assert len(addresses) == 5
        path.unlink()
        seen = ProcessSymbols(process.pid, files=FileCache())
        assert [seen.find(address).name for address in addresses] == NAMES
        late = ProcessSymbols(process.pid, files=FileCache())
        process.kill()
        process.wait()
        assert [late.find(address).name for address in addresses] == NAMES
        assert late.find(addresses[0]).module == f"{hidden}/program"


def test_what_is_mapped_later_is_found(tmp_path: Path) -> None:
    library = compiled(tmp_path, "later.so", "-shared", "-fPIC")
    symbols = ProcessSymbols(os.getpid())
    late = ctypes.CDLL(str(library))
    address = function(late, "shown")
    assert symbols.find(address + 3) == ("shown", 3, str(library))
    assert [mapping.path for mapping in symbols.mappings].count(str(library)) >= 2
    # dlclose: what nothing came in the place of is remembered.
    close = ctypes.CDLL(None).dlclose
    close.argtypes = [ctypes.c_void_p]
    close(late._handle)
    symbols.refresh()
    assert symbols.find(address + 3).name == "shown"


def test_an_exec_is_seen_when_asked(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-no-pie")
    other = compiled(tmp_path, "other", "-no-pie", source="int first_of_all(void) { return 1; }\n#include <stdio.h>\n"
                     "int main(void) { printf(\"%p\\n\", (void *)first_of_all); fflush(stdout); return getchar(); }")
    with running("sh", "-c", f"{path} < /dev/null; echo; exec {other}") as (process, _):
        assert process.stdout is not None
        before = ProcessSymbols(process.pid)
        process.stdout.readline()
        address = int(process.stdout.readline(), 16)
        before.refresh()
        assert before.find(address).name == "first_of_all"


def test_what_a_runtime_made(tmp_path: Path) -> None:
    script = "; ".join(["import mmap, sys, ctypes", "m = mmap.mmap(-1, 65536, flags=34, prot=7)",
                        "print(hex(ctypes.addressof(ctypes.c_char.from_buffer(m))), flush=True)", "sys.stdin.read()"])
    with running(sys.executable, "-c", script) as (process, [start]):
        path = Path(f"/tmp/perf-{process.pid}.map")
        try:
            symbols = ProcessSymbols(process.pid)
            assert symbols.find(start + 0x101) == ("", start + 0x101 - mapping_of(symbols, start), "[anon]")
            path.write_text(f"{start + 0x100:x} 40 py::first line of:it\n{start + 0x140:x} 10 _ZN3foo3barEv\n"
                            f"nonsense\n{start + 0x200:x} zz x\n-5 10 y\n{start + 0x300:x} 10 unfini")
            assert symbols.find(start + 0x101) == ("py::first line of:it", 1, "[jit]")
            assert symbols.find(start + 0x141) == ("foo::bar()", 1, "[jit]")
            assert symbols.find(start + 0x150).name == "" and symbols.find(start + 0x301).name == ""
            path.write_text(path.read_text() + f"shed\n{start + 0x100:x} 40 again\n")
            assert symbols.find(start + 0x101).name == "again"  # the memory was used again
            assert symbols.find(start + 0x301).name == "unfinished"
            path.unlink()
            assert symbols.find(start + 0x101).name == "again"
            process.kill()
            process.wait()
            assert symbols.find(start + 0x141).name == "foo::bar()"
        finally:
            path.unlink(missing_ok=True)


def mapping_of(symbols: ProcessSymbols, address: int) -> int:
    return next(mapping.start for mapping in symbols.mappings if mapping.start <= address < mapping.end)


@pytest.mark.kernel
def test_what_a_runtime_made_in_a_container() -> None:
    """It writes under the number that it has in its own namespace, into its own /tmp."""
    script = "\n".join([
        "import ctypes, mmap, os, sys", "m = mmap.mmap(-1, 65536, flags=34, prot=7)",
        "start = ctypes.addressof(ctypes.c_char.from_buffer(m))",
        "open(f'/tmp/perf-{os.getpid()}.map', 'w').write(f'{start:x} 40 contained {os.getpid()}\\n')",
        "print(hex(start), flush=True)", "sys.stdin.read()"])
    python = os.path.realpath(sys.executable)  # an environment may be below /tmp
    inside = f"mount -t tmpfs none /tmp && exec {python} -c {shlex.quote(script)}"
    with running("unshare", "-mp", "--fork", "--kill-child", "--propagation", "private", "sh", "-c",
                 inside) as (outer, [start]):
        pid = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
        symbols = ProcessSymbols(pid, files=FileCache())
        assert symbols.find(start + 1) == ("contained 1", 1, "[jit]")


@pytest.mark.kernel
def test_what_a_runtime_made_is_believed_of_its_own_user_only(tmp_path: Path) -> None:
    script = "; ".join(["import mmap, sys, ctypes", "m = mmap.mmap(-1, 65536, flags=34, prot=7)",
                        "print(hex(ctypes.addressof(ctypes.c_char.from_buffer(m))), flush=True)", "sys.stdin.read()"])
    with running(sys.executable, "-c", script) as (process, [start]):
        path, target = Path(f"/tmp/perf-{process.pid}.map"), tmp_path / "elsewhere"
        try:
            path.write_text(f"{start:x} 40 forged\n")
            os.chown(path, 12345, 12345)
            assert ProcessSymbols(process.pid).find(start).name == ""
            os.chown(path, 0, 0)
            assert ProcessSymbols(process.pid).find(start).name == "forged"
            path.rename(target)
            path.symlink_to(target)
            assert ProcessSymbols(process.pid).find(start).name == ""
        finally:
            path.unlink(missing_ok=True)


def test_processes_share_what_was_read_and_no_more_than_allowed(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-no-pie")
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    files = FileCache()
    with running(path) as (one, addresses), running(copy) as (other, _):
        first, second = ProcessSymbols(one.pid, files=files), ProcessSymbols(other.pid, files=files)
        assert first.find(addresses[0]).module == str(path)
        count = len(files)
        assert second.find(addresses[0]) == ("shown", 0, str(copy))  # the same build id, so not read again
        assert len(files) == count
    stripped = tmp_path / "stripped"
    shutil.copy(path, stripped)
    strip(stripped)
    with running(stripped) as (process, addresses):
        assert ProcessSymbols(process.pid, files=files).find(addresses[1]).name != "hidden"
    small = FileCache(max_bytes=1)
    with running(path) as (process, addresses):
        symbols = ProcessSymbols(process.pid, files=small)
        for mapping in symbols.mappings:
            symbols.find(mapping.start)
        assert len(small) == 1 and [symbols.find(address).name for address in addresses] == NAMES


def test_a_file_that_is_no_program_is_a_problem_that_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"x" * 8192)
    script = "; ".join(["import mmap, sys, ctypes, os", f"f = os.open({str(data)!r}, os.O_RDWR)",
                        "m = mmap.mmap(f, 8192)", "a = ctypes.addressof(ctypes.c_char.from_buffer(m))",
                        "print(hex(a), flush=True)", "sys.stdin.read()"])
    with running(sys.executable, "-c", script) as (process, [start]):
        symbols = ProcessSymbols(process.pid)
        assert symbols.find(start + 4097) == ("", 4097, str(data))
        assert list(symbols.problems) == [str(data)] and "not an ELF file" in symbols.problems[str(data)]


def test_a_kernel_thread_and_a_zombie_have_nothing() -> None:
    child = subprocess.Popen(["true"])
    deadline = time.monotonic() + 10
    while b"Z" not in Path(f"/proc/{child.pid}/stat").read_bytes().rpartition(b")")[2] and time.monotonic() < deadline:
        time.sleep(0.01)
    symbols = ProcessSymbols(child.pid)
    assert symbols.mappings == () and symbols.find(0x400000).module == "[unknown]"
    child.wait()


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    with running(compiled(tmp_path, "program", "-g")) as (process, addresses):
        def once() -> None:
            symbols = ProcessSymbols(process.pid, files=FileCache())
            symbols.resolve(addresses)
            symbols.resolve([mapping.start for mapping in symbols.mappings])
            symbols.lines(addresses[0])
        once()
        gc.collect()
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(5):
            once()
        assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_hundred_thousand_addresses_as_one_by_one() -> None:
    symbols = ProcessSymbols(os.getpid())
    chance = np.random.default_rng(5)
    code = [mapping for mapping in symbols.mappings if mapping.executable]
    drawn = np.concatenate([chance.integers(m.start, m.end, 100_000 // len(code) + 1, dtype=np.uint64) for m in code])
    chance.shuffle(drawn)
    found = symbols.resolve(drawn)
    assert len(found) == len(drawn) >= 100_000
    for place in range(0, len(drawn), 997):
        assert found[place] == symbols.find(int(drawn[place]))
    columns = found.columns()
    assert sum(1 for name in columns["name"] if name) > 20_000
    for name, offset, module, address in zip(*(columns[key][:50] for key in ("name", "offset", "module")), drawn):
        assert symbols.find(int(address)) == (name, offset, module)


def test_names_agree_with_binutils(tmp_path: Path) -> None:
    path = compiled(tmp_path, "program", "-pie", "-fPIE")
    with running(path) as (process, addresses):
        known = nm(path)
        base = addresses[0] - known["shown"][0]
        symbols = ProcessSymbols(process.pid)
        for name in ("shown", "hidden", "main", "_start", "_init", "_fini"):
            assert symbols.find(base + known[name][0]).name == name


MAPS = b"""\
55f81bf72000-55f81bf74000 r--p 00000000 fe:00 260131                     /usr/bin/a cat (deleted)
55f81bf74000-55f81bf79000 r-xp 00002000 fe:00 260131                     /usr/bin/line\\012break
7ffd1b5f2000-7ffd1b613000 rw-p 00000000 00:00 0                          [stack]
7ffd1b700000-7ffd1b800000 rw-p 00000000 00:00 0 \nffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
"""


def test_mappings_are_read() -> None:
    found = read_mappings(MAPS)
    assert [mapping.path for mapping in found] == ["/usr/bin/a cat", "/usr/bin/line\nbreak", "[stack]", "",
                                                   "[vsyscall]"]
    assert [mapping.deleted for mapping in found] == [True, False, False, False, False]
    assert found[1].offset == 0x2000 and found[1].device == (0xFE, 0) and found[1].inode == 260131
    assert [mapping.executable for mapping in found] == [False, True, False, False, True]
    [shared] = read_mappings(b"1000-2000 rw-s 00000000 00:01 1024   /dev/zero (deleted)\n")
    assert shared.path == "" and not shared.of_file  # anonymous memory that is shared
    with pytest.raises(FormatError, match="line 2 is none"):
        read_mappings(MAPS[:100] + b"nonsense\n")
    with pytest.raises(FormatError, match="overlap"):
        read_mappings(b"1000-3000 r--p 0 fe:00 1 /a\n2000-4000 r--p 0 fe:00 1 /a\n")


@given(st.data())
def test_damaged_mappings_are_an_error_or_nothing(data: st.DataObject) -> None:
    text = bytearray(MAPS)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at:at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        read_mappings(bytes(text))
    except BpfwrightError:
        pass


@pytest.mark.kernel
def test_what_is_not_ours_to_look_at_is_said() -> None:
    code = "\n".join(["import os", "from bpfwright.errors import PrivilegeError",
                      "from bpfwright.symbols import KernelSymbols, ProcessSymbols", "import bpfwright.symbols.process",
                      "import bpfwright.symbols.kernel", "os.setgid(65534); os.setuid(65534)",
                      "for work in (lambda: ProcessSymbols(1), KernelSymbols):", "    try:", "        work()",
                      "    except PrivilegeError as error:", "        print(error.what, '|', error.cure)"])
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert said[0].startswith("what process 1 has mapped cannot be read | Run it as root")
    assert len(said) == 2 and said[1].startswith("the kernel hides the addresses of its symbols | Run it as root")
