"""The kernel's symbols: this kernel's, and files that are hidden, foreign or damaged."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright import attach
from bpfwright.errors import BpfwrightError, FormatError, NotSupported, PrivilegeError, TargetError
from bpfwright.hooks import raw_tracepoint
from bpfwright.symbols import KernelSymbols, Symbol, find_in_kernel, kallsyms

FILE = b"""\
0000000000000000 A per_cpu_start
0000000000001000 a an_offset
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000040 t helper
ffffffff81000100 T vfs_read
ffffffffc0010000 t inside\t[veth]
ffffffffc0010020 T vfs_read\t[veth]
ffffffffc0010f00 t last\t[veth]
ffffffffc0012000 t bpf_prog_1234_count\t[bpf]
"""


@pytest.fixture
def made(tmp_path: Path) -> KernelSymbols:
    (tmp_path / "kallsyms").write_bytes(FILE)
    return KernelSymbols(tmp_path / "kallsyms")


def test_names_to_addresses(made: KernelSymbols) -> None:
    assert len(made) == 10
    assert made.addresses("vfs_read") == [0xFFFFFFFF81000100, 0xFFFFFFFFC0010020]
    assert made.address("vfs_read") == 0xFFFFFFFF81000100
    assert made.address("vfs_read", "veth") == 0xFFFFFFFFC0010020
    assert made.addresses("vfs_read", "") == [0xFFFFFFFF81000100]
    assert made.addresses("vfs") == made.addresses("read") == made.addresses("") == made.addresses("veth") == []
    with pytest.raises(TargetError, match="no symbol 'vfs_red' in 'veth'"):
        made.address("vfs_red", "veth")


def test_addresses_to_names(made: KernelSymbols) -> None:
    base, module = 0xFFFFFFFF81000000, 0xFFFFFFFFC0010000
    assert made.find(base + 0x3F) == Symbol("_text", 0x3F, "")  # the first of those at an address
    assert made.find(base + 0x41) == Symbol("helper", 1, "")
    assert made.find(base + 0xFFF) == Symbol("vfs_read", 0xEFF, "")
    assert made.find(base + 0x1000) == Symbol("", base + 0x1000, "[unknown]")  # the kernel ends on that page
    assert made.find(module + 0x21) == Symbol("vfs_read", 1, "veth")
    assert made.find(module + 0xFFF) == Symbol("last", 0xFF, "veth")
    assert made.find(module + 0x1000).module == "[unknown]"
    assert made.find(0xFFFFFFFFC0012001) == Symbol("bpf_prog_1234_count", 1, "bpf")
    assert [made.find(address).name for address in (0, 5, 0x1000, base - 1, (1 << 64) - 1)] == [""] * 5
    columns = made.resolve(np.array([base, module + 1, 7], dtype=np.uint64)).columns()
    assert columns["name"].tolist() == ["_text", "inside", ""]
    assert columns["module"].tolist() == ["", "veth", "[unknown]"]
    assert columns["offset"].tolist() == [0, 1, 7]


def in_one_pass(path: Path) -> object:
    return find_in_kernel([0xFFFFFFFF81000001], path)


@pytest.mark.parametrize("ask", [KernelSymbols, in_one_pass])
def test_hidden_addresses_are_said(ask: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_bytes(b"0000000000000000 T _text\n0000000000000000 t helper\n")
    with pytest.raises(PrivilegeError, match="hides the addresses") as raised:
        ask(path)
    assert "kptr_restrict" in raised.value.why and "root" in raised.value.cure
    with pytest.raises(NotSupported, match="there is no"):
        ask(tmp_path / "nothing")


def test_a_module_ends_with_its_page_whatever_its_last_symbols_are_called(tmp_path: Path) -> None:
    """As the kernel's own image does, with several names for its end."""
    path = tmp_path / "kallsyms"
    path.write_bytes(b"ffffffff81000000 T _etext\nffffffff81000000 T _end\nffffffffc0000000 t inside\t[veth]\n")
    for address, name in ((0xFFFFFFFF81000FFF, "_etext"), (0xFFFFFFFF81001000, ""), (0xFFFFFFFFBFFFFFFF, "")):
        assert KernelSymbols(path).find(address).name == find_in_kernel([address], path)[address].name == name


@given(st.data())
def test_one_pass_finds_what_the_table_has(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Lines in any order, also those of one address; numbers among them; asked for at every border."""
    bases = [0, 0x1000, 0xFFFFFFFF81000000, 0xFFFFFFFFC0010000, (1 << 64) - 0x1000]
    some = st.builds(lambda base, offset: base + offset, st.sampled_from(bases), st.integers(0, 0xFFF) | st.just(0))
    lines = data.draw(st.lists(st.tuples(some, st.sampled_from("tTaAbD"), st.sampled_from(("", "\t[veth]", "\t[bpf]"))),
                               max_size=12))
    text = "".join(f"{address:016x} {kind} s{number}{module}\n"
                   for number, (address, kind, module) in enumerate(lines))
    path = tmp_path_factory.getbasetemp() / "any-kallsyms"
    path.write_text(text)
    asked = {address + more & (1 << 64) - 1 for address, _, _ in lines for more in (-1, 0, 1, 0x1000)} | {5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kallsyms, "PART_SIZE", data.draw(st.sampled_from((7, 64, 1 << 20))))
        try:
            found: object = find_in_kernel(asked, path)
        except PrivilegeError as problem:
            found = problem.what
        try:
            table = KernelSymbols(path)
            expected: object = {address: table.find(address) for address in asked}
        except PrivilegeError as problem:
            expected = problem.what
    assert found == expected


@pytest.mark.parametrize(("text", "offset"), [
    (b"hello\n", 0), (b"ffffffff81000000 T a\nffffffff8100000g T b\n", 21), (b"ffffffff81000000 T a\n\n", 21),
    (b"ffffffff81000000-T a\n", 0), (b"ffffffff81000000 T \n", 0), (b"\0" * 100, 0)])
def test_what_is_no_list_is_refused(tmp_path: Path, text: bytes, offset: int) -> None:
    (tmp_path / "kallsyms").write_bytes(text)
    with pytest.raises(FormatError, match="not a list of kernel symbols") as raised:
        KernelSymbols(tmp_path / "kallsyms")
    assert raised.value.offset == offset
    try:
        find_in_kernel([0xFFFFFFFF81000001], tmp_path / "kallsyms")  # which looks at what it needs only
    except FormatError as problem:
        assert "not a list of kernel symbols" in problem.what


def test_an_empty_list_knows_nothing(tmp_path: Path) -> None:
    (tmp_path / "kallsyms").write_bytes(b"")
    assert KernelSymbols(tmp_path / "kallsyms").find(7) == Symbol("", 7, "[unknown]")


@given(st.data())
def test_damage_is_an_error_or_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at:at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path_factory.getbasetemp() / "damaged-kallsyms"
    path.write_bytes(text)
    try:
        symbols = KernelSymbols(path)
    except BpfwrightError:
        return
    asked = [0, 0xFFFFFFFF81000041, 0xFFFFFFFFC0010020, (1 << 64) - 1]
    symbols.resolve(asked).columns()
    symbols.addresses("vfs_read")
    find_in_kernel(asked, path)


@pytest.mark.kernel
def test_every_function_of_this_kernel() -> None:
    symbols = KernelSymbols()
    known: dict[int, str] = {}
    with open("/proc/kallsyms") as file:
        for line in file:
            address, kind, name, *_ = line.split()
            if kind not in "aA" and "[bpf]" not in line:  # programs come and go meanwhile
                known.setdefault(int(address, 16), name)
    assert len(known) > 10_000
    addresses = np.array(list(known), dtype=np.uint64)
    found = symbols.resolve(addresses)
    assert not found.offsets.any()
    assert found.columns()["name"].tolist() == list(known.values())
    some = [int(address) for address in addresses[::97]]
    assert [symbol.name for symbol in find_in_kernel(some).values()] == [known[each] for each in sorted(some)]
    # Between two symbols of the kernel itself it is the first one's.
    assert symbols.find(symbols.address("vfs_read") + 1) == Symbol("vfs_read", 1, "")


@raw_tracepoint.program("sched_process_exit")
def a_program_with_a_name(ctx: raw_tracepoint.Context) -> None:
    pass


@pytest.mark.kernel
def test_bpf_programs_are_among_them() -> None:
    with attach(a_program_with_a_name):
        with open("/proc/kallsyms") as file:
            [(address, name)] = [(int(line.split()[0], 16), line.split()[2]) for line in file
                                 if "a_program_with" in line]
        symbols = KernelSymbols()
        assert symbols.address(name, "bpf") == address
        assert symbols.find(address + 1) == Symbol(name, 1, "bpf")
