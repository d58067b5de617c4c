"""Objects read from bytes made here: every reference resolved, every damage one clear error."""
from __future__ import annotations

import sys
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright._abi import bpf as B
from bpfwright.errors import BpfwrightError, BtfError, ElfError, RelocationError
from bpfwright.formats.btf import Btf, BtfBuilder, Kind
from bpfwright.formats.isa import Instruction, encode
from bpfwright.objfile import read, strip_debug
from bpfwright.objfile.sections import section_row
from bpfwright.spec.objects import CoreRelocation, ObjectSpec, Relocation
from tests.objfile.elfwriter import GLOBAL, OBJECT, SECTION, WEAK, WRITABLE, ElfWriter, extension

LOAD, CALL, EXIT, MOV = 0x18, 0x85, 0x95, 0xB7
MAIN = (Instruction(LOAD, dst=1), Instruction(LOAD, dst=2, imm=4), Instruction(CALL, src=1, imm=-1),
        Instruction(CALL, src=1, imm=2), Instruction(CALL, imm=-1), Instruction(LOAD, dst=3), Instruction(EXIT))
HELPER = (Instruction(MOV, imm=1), Instruction(EXIT))


def whole(*, big_endian: bool = False) -> bytes:
    """An object with a program, subprograms in two sections, a BTF map, data of each kind, a kfunc and notes."""
    order = ">" if big_endian else "<"
    elf = ElfWriter(big_endian=big_endian)
    text = elf.code(".text", encode(HELPER * 2, big_endian))
    main = encode((*MAIN[:3], Instruction(CALL, src=1, imm=4), *MAIN[4:], *HELPER), big_endian)
    xdp = elf.code("xdp", main)
    maps = elf.section(".maps", bytes(32), flags=WRITABLE)
    data = elf.section(".data", pack(order + "QQ", 7, 8), flags=WRITABLE)
    elf.section(".debug_info", b"nothing of interest")
    elf.section("license", b"GPL\0")
    section = elf.symbol("", text, kind=SECTION, binding=0)
    elf.symbol("helper", text, 0, 16, binding=0)
    elf.symbol("main", xdp, 0, 10 * 8)
    elf.symbol("beside", xdp, 80, 16, binding=0)
    table = elf.symbol("table", maps, 0, 32, kind=OBJECT)
    counter = elf.symbol("counter", data, 4, 4, kind=OBJECT)
    kfunc = elf.symbol("bpf_cast_to_kern_ctx", 0, kind=0, binding=WEAK)
    unknown = elf.symbol("some_symbol", 0, kind=0, binding=GLOBAL)
    elf.symbol("second", text, 16, 16)
    elf.relocate(xdp, [(0, table, 1), (16, counter, 1), (32, section, 10), (48, kfunc, 10), (56, unknown, 1)])
    if big_endian == (sys.byteorder == "big"):
        btf, notes = _types(order)
        elf.section(".BTF", btf)
        elf.section(".BTF.ext", notes)
    return elf.build()


def _types(order: str) -> tuple[bytes, bytes]:
    types = BtfBuilder()
    number = types.add_int("int", 4, signed=True)
    sized = [types.add_pointer(types.add_array(number, count)) for count in (B.BPF_MAP_TYPE_HASH, 99)]
    key = types.add_pointer(types.add_int("u32", 4))
    declared = types.add_struct("", 32, [("type", sized[0], 0, 0), ("max_entries", sized[1], 64, 0),
                                         ("key", key, 128, 0), ("value", types.add_pointer(number), 192, 0)])
    types.add_section(".maps", 0, [(types.add_variable("table", declared), 0, 32)])
    function = types.add_function("main", types.add_prototype(number, [("ctx", types.add_pointer(0))]))
    types.add_section(".ksyms", 0, [(types.add_function("bpf_cast_to_kern_ctx", types.add_prototype(0, []),
                                                        linkage=2), 0, 0)])
    for text in ("xdp", "file.c", "return 1;", "0:1"):
        types._string(text)         # the writer of notes shares the string section
    btf = types.build()
    at = Btf(btf).string_offset
    lines = [(0, at("file.c"), at("return 1;"), 12 << 10 | 3)]
    return btf, extension(order, {at("xdp"): [(0, function)]}, {at("xdp"): lines},
                          {at("xdp"): [(16, declared, at("0:1"), 0)]})


def test_a_whole_object() -> None:
    spec = read(whole())
    assert [(one.name, one.type, one.section) for one in spec.programs] == [
        ("main", B.BPF_PROG_TYPE_XDP, "xdp"), ("beside", B.BPF_PROG_TYPE_XDP, "xdp")]
    functions = {one.name: one for one in spec.functions}
    assert set(functions) == {"helper", "second", "main", "beside"}
    assert functions["main"].relocations == (
        Relocation(0, "map", "table"), Relocation(2, "data", ".data", 8), Relocation(4, "call", "helper"),
        Relocation(5, "call", "beside"), Relocation(6, "kfunc", "bpf_cast_to_kern_ctx"),
        Relocation(7, "extern", "some_symbol"))
    assert functions["main"].core_relocations == (CoreRelocation(2, functions["main"].core_relocations[0].type_id,
                                                                 "0:1", 0),)
    line = functions["main"].lines[0]
    assert (line.file, line.source, line.line, line.column) == ("file.c", "return 1;", 12, 3)
    assert Btf(spec.btf).name(functions["main"].type_id) == "main"
    table, data = {one.name: one for one in spec.maps}["table"], {one.name: one for one in spec.maps}[".data"]
    assert (table.type, table.key_size, table.value_size, table.max_entries) == (B.BPF_MAP_TYPE_HASH, 4, 4, 99)
    assert (data.contents, data.frozen) == (pack("<QQ", 7, 8), False)
    assert {(one.name, one.kind, one.weak) for one in spec.externs} == {
        ("bpf_cast_to_kern_ctx", "kfunc", True), ("some_symbol", "ksym", False)}
    assert spec.license == "GPL"
    assert read(whole()) == spec, "specs compare"


def test_the_other_byte_order_is_read_too() -> None:
    elf = ElfWriter(big_endian=True)
    code = elf.code("xdp", encode((Instruction(CALL, src=1, imm=1), Instruction(EXIT), *HELPER), True))
    elf.symbol("main", code, 0, 16)
    elf.symbol("other", code, 16, 16, binding=0)
    spec = read(elf.build())
    assert spec.big_endian and spec.functions[0].relocations == (Relocation(0, "call", "other"),)


def test_stripping_keeps_all_that_loaders_read() -> None:
    data = whole()
    stripped = strip_debug(data)
    assert b".debug_info" in data and b"nothing of interest" not in stripped
    assert read(stripped) == read(data)
    assert strip_debug(stripped) == stripped


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda data: b"MZ" + data, ElfError, "not an ELF file"),
    (lambda data: data[:40], ElfError, "truncated"),
    (lambda data: data[:-70], ElfError, "outside"),
    (lambda data: data[:18] + b"\x3e\0" + data[20:], ElfError, "not a BPF object"),
    (lambda data: data[:16] + b"\x02\0" + data[18:], ElfError, "not a relocatable object"),
    (lambda data: data.replace(b"\x9f\xeb\x01\0\x18", b"\x9f\xea\x01\0\x18"), BtfError, "not BTF"),
])
def test_damage_is_named(change: object, error: type[BpfwrightError], message: str) -> None:
    assert callable(change)
    with pytest.raises(error, match=message) as caught:
        read(change(whole()), "some.o")
    assert str(caught.value).startswith("some.o: ")


def test_references_to_nothing_are_named() -> None:
    elf = ElfWriter()
    code = elf.code("xdp", encode((Instruction(CALL, src=1, imm=5), Instruction(EXIT))))
    elf.symbol("main", code, 0, 16)
    with pytest.raises(RelocationError, match="where no function begins"):
        read(elf.build())


@pytest.mark.parametrize(("name", "row"), [
    ("xdp", (B.BPF_PROG_TYPE_XDP, B.BPF_XDP, 0, "")),
    ("xdp.frags", (B.BPF_PROG_TYPE_XDP, B.BPF_XDP, B.BPF_F_XDP_HAS_FRAGS, "")),
    ("?tracepoint/sched/sched_switch", (B.BPF_PROG_TYPE_TRACEPOINT, 0, 0, "sched/sched_switch")),
    ("fentry.s/do_nanosleep", (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FENTRY, B.BPF_F_SLEEPABLE, "do_nanosleep")),
    ("cgroup/connect4", (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_INET4_CONNECT, 0, "")),
    ("classifier/ingress", (B.BPF_PROG_TYPE_SCHED_CLS, 0, 0, "ingress")),
    ("xdp_anything", (B.BPF_PROG_TYPE_XDP, B.BPF_XDP, 0, "_anything")),
    ("uprobe//bin/sh:main", (B.BPF_PROG_TYPE_KPROBE, 0, 0, "/bin/sh:main")),
    ("mystery", (0, 0, 0, "")),
])
def test_section_names(name: str, row: tuple[int, int, int, str]) -> None:
    assert tuple(section_row(name)) == row


# Hostile bytes: only errors of the tree may come out.

def _try(data: bytes) -> None:
    try:
        assert isinstance(read(data), ObjectSpec)
        strip_debug(data)
    except BpfwrightError:
        pass


@given(st.binary(max_size=300))
def test_noise(data: bytes) -> None:
    _try(data)
    _try(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\0\xf7\0" + data)


SEED = whole()


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SEED)
    for at, value in changes:
        data[at] = value
    _try(bytes(data))


@given(st.integers(0, len(SEED)), st.integers(0, 64))
def test_missing_bytes(at: int, length: int) -> None:
    _try(SEED[:at])
    _try(SEED[:at] + SEED[at + length:])


@settings(max_examples=300)
@given(st.integers(0, len(SEED) // 4 - 1), st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 247]))
def test_absurd_words(word: int, value: int) -> None:
    _try(SEED[:4 * word] + pack("<I", value) + SEED[4 * word + 4:])


def test_kinds_are_named() -> None:
    assert Kind.NAMES[Kind.DATASEC] == "datasec"
