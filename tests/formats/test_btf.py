"""BTF read, written, printed and matched; and the kernel's own, quickly and within bounds."""
from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from functools import partial
from struct import pack, unpack_from

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright._abi import bpf as B
from bpfwright.errors import BpfwrightError, BtfError, RelocationError
from bpfwright.formats.btf import Btf, BtfBuilder, Kind, Relocator, declaration, definition
from bpfwright.formats.btf.match import essential, types_match
from bpfwright.formats.btf.relocate import POISON
from bpfwright.formats.isa import Instruction, decode, encode


def example() -> tuple[Btf, dict[str, int]]:
    """One of everything."""
    types = BtfBuilder()
    ids = {"int": types.add_int("int", 4, signed=True), "u8": types.add_int("u8", 1), "u64": types.add_int("u64", 8)}
    ids["flags"] = types.add_struct("flags", 4, [("low", ids["int"], 0, 3), ("high", ids["int"], 3, 5)])
    ids["array"] = types.add_array(ids["u8"], 16)
    ids["to_array"] = types.add_pointer(ids["array"])
    ids["proto"] = types.add_prototype(ids["int"], [("a", ids["u64"]), ("b", ids["to_array"])])
    ids["callback"] = types.add_pointer(ids["proto"])
    ids["inner"] = types.add_struct("", 8, [("x", ids["u64"], 0, 0)], union=True)
    ids["outer"] = types.add_struct("outer", 48, [
        ("name", ids["array"], 0, 0), ("", ids["inner"], 128, 0), ("call", ids["callback"], 192, 0),
        ("flags", ids["flags"], 256, 0)])
    ids["state"] = types.add_enum("state", 4, [("IDLE", 0), ("BROKEN", -1)])
    ids["wide"] = types.add_enum("wide", 8, [("HUGE", 1 << 40)])
    ids["time_t"] = types.add_typedef("time_t", ids["u64"])
    ids["run"] = types.add_function("run", ids["proto"])
    ids["total"] = types.add_variable("total", ids["u64"])
    ids[".bss"] = types.add_section(".bss", 8, [(ids["total"], 0, 8)])
    return Btf(types.build()), ids


def swapped(raw: bytes) -> bytes:
    """The same BTF in the other byte order."""
    header = unpack_from("=HBBIIIII", raw)
    words = array("I", raw[24:24 + header[5]])
    words.byteswap()
    order = ">" if sys.byteorder == "little" else "<"
    return pack(order + "HBBIIIII", *header) + words.tobytes() + raw[24 + header[5]:]


def test_one_of_everything_is_read_back() -> None:
    btf, ids = example()
    assert btf.count == len(list(btf.ids()))
    assert [member.name for member in btf.members(ids["outer"])] == ["name", "", "call", "flags"]
    assert btf.member_at(ids["flags"], 1)[2:] == (3, 5)
    assert btf.enumerators(ids["state"]) == [("IDLE", 0), ("BROKEN", -1)]
    assert btf.enumerators(ids["wide"]) == [("HUGE", 1 << 40)]
    assert btf.array(ids["array"])[0::2] == (ids["u8"], 16)
    assert btf.int_encoding(ids["int"])[:3] == (32, 0, True)
    assert [one.name for one in btf.parameters(ids["run"])] == ["a", "b"]
    assert btf.variables(ids[".bss"]) == [(ids["total"], 0, 8)]
    assert (btf.linkage(ids["run"]), btf.linkage(ids["total"])) == (1, 1)
    assert (btf.size(ids["outer"]), btf.size(ids["array"]), btf.size(ids["callback"])) == (48, 16, 8)
    assert (btf.alignment(ids["outer"]), btf.alignment(ids["flags"]), btf.alignment(ids["array"])) == (8, 4, 1)
    assert btf.resolve(ids["time_t"]) == ids["u64"]
    assert btf.find("outer") == ids["outer"] and list(btf.find_all("outer", Kind.UNION)) == []


def test_the_other_byte_order_says_the_same() -> None:
    types = BtfBuilder()
    number = types.add_int("int", 4, signed=True)
    types.add_struct("pair", 8, [("a", number, 0, 0), ("b", number, 32, 0)])
    raw = types.build()
    other = Btf(swapped(raw))
    assert other.big_endian != Btf(raw).big_endian
    assert definition(other, other.find("pair")) == definition(Btf(raw), 2)


def test_c_as_people_write_it() -> None:
    btf, ids = example()
    assert declaration(btf, ids["to_array"], "p") == "u8 (*p)[16]"
    assert declaration(btf, ids["callback"], "f") == "int (*f)(u64 a, u8 (*b)[16])"
    assert declaration(btf, ids["run"]) == "int run(u64 a, u8 (*b)[16])"
    assert declaration(btf, 0) == "void"
    assert definition(btf, ids["time_t"]) == "typedef u64 time_t;"
    assert definition(btf, ids["flags"], offsets=True) == (
        "struct flags {\n\tint low : 3;\t/* 0:0 */\n\tint high : 5;\t/* 0:3 */\n};")
    assert "union {\n\t\tu64 x;\n\t};" in definition(btf, ids["outer"])


def test_copies_carry_all_they_refer_to() -> None:
    btf, ids = example()
    types = BtfBuilder()
    types.add_int("before", 2)
    copied = types.copy(btf, ids["outer"])
    assert types.copy(btf, ids["outer"]) == copied
    assert definition(Btf(types.build()), copied) == definition(btf, ids["outer"])


def test_split_types_stand_on_their_base() -> None:
    base, ids = example()
    types = BtfBuilder()
    number = types.add_int("own", 4)
    types.add_struct("module_thing", 4, [("value", number, 0, 0)])
    raw = types.build()
    header = list(unpack_from("=HBBIIIII", raw))
    words = array("I", raw[24:24 + header[5]])
    shift, strings = base.count, base.strings_end
    for at in (0, 4, 7):        # names of the int, the struct and its member
        words[at] += strings
    words[8] += shift           # the member's type
    split = Btf(raw[:24] + words.tobytes() + raw[24 + header[5]:], base)
    assert split.find("module_thing") == shift + 2
    assert split.find("outer") == ids["outer"]
    assert split.name(split.members(shift + 2)[0].type_id) == "own"
    assert declaration(split, ids["to_array"], "p") == "u8 (*p)[16]"


@pytest.mark.parametrize(("raw", "message"), [
    (b"", "too short"), (bytes(24), "not BTF"), (pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 100, 0, 0), "truncated"),
    (pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1) + pack("=III", 0, 31 << 24, 0) + b"\0", "unknown BTF kind"),
    (pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1) + pack("=III", 0, 4 << 24 | 9, 0) + b"\0", "truncated"),
    (pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 1) + b"x", "does not end in NUL"),
])
def test_damage_is_named(raw: bytes, message: str) -> None:
    with pytest.raises(BtfError, match=message):
        Btf(raw)


def test_cycles_end() -> None:
    records = pack("=III", 0, Kind.CONST << 24, 1) + pack("=6I", 0, Kind.ARRAY << 24, 0, 2, 2, 3)
    btf = Btf(pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(records), len(records), 1) + records + b"\0")
    with pytest.raises(BtfError, match="endless"):
        btf.resolve(1)
    with pytest.raises(BtfError, match="array of itself"):
        btf.size(2)
    with pytest.raises(BtfError, match="without end"):
        declaration(btf, 2)


# CO-RE

LDX32, ALU = 0x61, 0xB7


def relocated(local: Btf, target: Btf, instruction: Instruction, relocation: tuple[int, str, int]) -> Instruction:
    relocator = Relocator(local, target)
    return next(decode(relocator.apply("f", encode([instruction]), [(0, *relocation)])))[1]


def structs(*fields: tuple[str, int, int, bool], name: str = "thing") -> tuple[Btf, int]:
    """A struct of ints: (name, bit offset, size, signed)."""
    types = BtfBuilder()
    members = [(field, types.add_int(f"{'s' if signed else 'u'}{8 * size}", size, signed=signed), offset, 0)
               for field, offset, size, signed in fields]
    number = types.add_struct(name, 64, members)
    return Btf(types.build()), number


def test_offsets_sizes_and_flavours() -> None:
    local, thing = structs(("a", 0, 4, False), ("b", 32, 4, False), name="thing___ours")
    target, _ = structs(("new", 0, 8, False), ("b", 64, 8, False), ("a", 128, 4, False))
    assert relocated(local, target, Instruction(LDX32, 1, 2, 0), (thing, "0:0", 0)).offset == 16
    wide = relocated(local, target, Instruction(LDX32, 1, 2, 4), (thing, "0:1", 0))
    assert (wide.opcode, wide.offset) == (0x79, 8), "the load grows with the field"
    assert relocated(local, target, Instruction(ALU, 1, imm=4), (thing, "0:1", 1)).imm == 8
    assert relocated(local, target, Instruction(ALU, 1), (thing, "0:1", 2)).imm == 1
    assert relocated(local, target, Instruction(ALU, 1), (thing, "0", 9)).imm == 64


def test_signed_fields_do_not_change_their_width() -> None:
    local, thing = structs(("a", 0, 4, True))
    target, _ = structs(("a", 64, 8, True))
    assert relocated(local, target, Instruction(LDX32, 1, 2), (thing, "0:0", 0)).imm == POISON
    assert relocated(local, target, Instruction(ALU, 1), (thing, "0:0", 0)).imm == 8, "its address is harmless"


def test_what_is_missing_poisons_or_is_zero() -> None:
    local, thing = structs(("a", 0, 4, False), ("gone", 32, 4, False))
    target, _ = structs(("a", 0, 4, False))
    relocator = Relocator(local, target)
    code = relocator.apply("f", encode([Instruction(LDX32, 1, 2, 4)]), [(0, thing, "0:1", 0)])
    assert next(decode(code))[1] == Instruction(0x85, imm=POISON)
    assert relocator.poisoned == {("f", 0): "'gone' of struct thing is not in this kernel"}
    assert relocated(local, target, Instruction(ALU, 1, imm=1), (thing, "0:1", 2)).imm == 0
    other, _ = structs(("a", 0, 4, False), name="another")
    assert relocated(local, other, Instruction(ALU, 1, imm=1), (thing, "0", 8)).imm == 0


def test_candidates_that_differ_poison_and_those_that_agree_do_not() -> None:
    local, thing = structs(("a", 0, 4, False))
    for second, poisoned in ((32, True), (0, False)):
        types = BtfBuilder()
        number = types.add_int("u32", 4)
        for offset, size in ((0, 8), (second, 16)):
            types.add_struct("thing", size, [("a", number, offset, 0)])
        relocator = Relocator(local, Btf(types.build()))
        relocator.apply("f", encode([Instruction(LDX32, 1, 2)]), [(0, thing, "0:0", 0)])
        assert bool(relocator.poisoned) is poisoned
        assert not poisoned or "several types struct thing" in relocator.poisoned["f", 0]


def test_anonymous_members_and_arrays_are_searched() -> None:
    local, thing = structs(("x", 0, 8, False))
    types = BtfBuilder()
    number = types.add_int("u64", 8)
    inner = types.add_struct("", 16, [("pad", number, 0, 0), ("x", number, 64, 0)])
    outer = types.add_struct("", 24, [("", inner, 64, 0)], union=True)
    types.add_struct("thing", 40, [("", outer, 64, 0)])
    assert relocated(local, Btf(types.build()), Instruction(0x79, 1, 2), (thing, "0:0", 0)).offset == 24
    assert relocated(local, Btf(types.build()), Instruction(ALU, 1), (thing, "2:0", 0)).imm == 2 * 40 + 24


def test_enums_across_widths() -> None:
    ours, theirs = BtfBuilder(), BtfBuilder()
    local = ours.add_enum("mode___old", 4, [("ON___old", 1), ("NEVER", 2)])
    theirs.add_enum("mode", 8, [("OFF", 0), ("ON", 1 << 40)])
    pair = Btf(ours.build()), Btf(theirs.build())
    relocator = Relocator(*pair)
    assert relocator.outcome(local, "0", B.BPF_CORE_ENUMVAL_VALUE).value == 1 << 40
    assert relocator.outcome(local, "0", B.BPF_CORE_ENUMVAL_EXISTS).value == 1
    assert relocator.outcome(local, "1", B.BPF_CORE_ENUMVAL_EXISTS).value == 0
    assert relocator.outcome(local, "1", B.BPF_CORE_ENUMVAL_VALUE).missing
    code = relocator.apply("f", encode([Instruction(0x18, 1)]), [(0, local, "0", B.BPF_CORE_ENUMVAL_VALUE)])
    assert next(decode(code))[1].wide == 1 << 40


def test_bit_fields() -> None:
    types = BtfBuilder()
    types.add_struct("flags", 8, [("bit", types.add_int("u32", 4), 37, 1)])
    target = Btf(types.build())
    types = BtfBuilder()
    number = types.add_struct("flags", 8, [("bit", types.add_int("u32", 4), 3, 1)])
    local = Btf(types.build())
    relocator = Relocator(local, target)
    values = [relocator.outcome(number, "0:0", kind).value for kind in (0, 1, 4, 5)]
    assert values == [4, 4, 64 - (37 + 1 - 32), 63]


def test_matching_is_stricter_than_compatibility() -> None:
    local, thing = structs(("a", 0, 4, False))
    same, _ = structs(("a", 32, 4, False), ("b", 0, 4, False))
    other, _ = structs(("a", 0, 8, False))
    assert types_match(local, thing, same, same.find("thing"))
    assert not types_match(local, thing, other, other.find("thing"))
    assert Relocator(local, other).outcome(thing, "0", B.BPF_CORE_TYPE_MATCHES).value == 0
    assert Relocator(local, other).outcome(thing, "0", B.BPF_CORE_TYPE_EXISTS).value == 1


@pytest.mark.parametrize("access", ["", "x", "0:9", "0:0:0", "-1", ":".join("0" * 70)])
def test_malformed_accesses_are_refused(access: str) -> None:
    local, thing = structs(("a", 0, 4, False))
    with pytest.raises((RelocationError, BtfError)):
        Relocator(local, local).outcome(thing, access, 0)


def test_essential_names() -> None:
    assert [essential(name) for name in ("a___b", "a", "a__b", "___a", "a___b___c", "a____b")] == [
        "a", "a", "a__b", "___a", "a___b", "a____b"]


# Hostile bytes

SEED = example()[0]
TYPES = SEED._words.tobytes()
RAW = pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(TYPES), len(TYPES), len(SEED.raw_strings)) + TYPES + SEED.raw_strings


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(RAW)))
def test_no_bytes_break_the_reader(changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(RAW)
    for at, value in changes:
        data[at] = value
    for raw in (bytes(data), bytes(data[:end])):
        try:
            btf = Btf(raw)
            for type_id in btf.ids():
                questions: list[Callable[[int], object]] = [
                    btf.size, btf.alignment, btf.resolve, btf.members, btf.name, partial(definition, btf),
                    partial(BtfBuilder().copy, btf)]
                for question in questions:
                    try:
                        question(type_id)
                    except BpfwrightError:
                        pass
        except BpfwrightError:
            pass


# The kernel's own

NAMES = ["task_struct", "sk_buff", "file", "xdp_buff", "inode", "dentry", "sock", "tcp_sock", "net_device", "mm_struct",
         "cred", "nsproxy", "pid", "path", "bpf_map", "bpf_prog", "request", "bio", "page", "iphdr"]


@pytest.mark.kernel
def test_twenty_types_of_the_kernel_cost_little() -> None:
    code = ("import resource, time\nfrom bpfwright.formats.btf import Btf, Kind\n"
            "m0 = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; t0 = time.process_time()\n"
            "btf = Btf.open('/sys/kernel/btf/vmlinux')\n"
            f"found = [btf.members(btf.find(name, Kind.STRUCT)) for name in {NAMES!r}]\n"
            "t1 = time.process_time(); m1 = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "assert all(found); print((t1 - t0) * 1000, (m1 - m0) / 1024)")
    rows = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).stdout.split()
            for _ in range(5)]
    assert min(float(row[0]) for row in rows) <= 30, rows
    assert max(float(row[1]) for row in rows) <= 20, rows


@pytest.mark.kernel
def test_the_kernels_types_are_read_whole() -> None:
    btf = Btf.open("/sys/kernel/btf/vmlinux")
    last = btf.count
    assert last > 20_000 and btf.kind(last) in range(1, 20)
    assert definition(btf, btf.find("list_head", Kind.STRUCT)) == (
        "struct list_head {\n\tstruct list_head *next;\n\tstruct list_head *prev;\n};")
    assert btf.enumerators(btf.find("bpf_map_type"))[1] == ("BPF_MAP_TYPE_HASH", 1)
    with pytest.raises(BtfError, match="no struct 'no_such_thing'"):
        btf.find("no_such_thing", Kind.STRUCT)
