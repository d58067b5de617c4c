"""Call frame information as rows: what readelf says of real files, forms written by hand, damage."""
from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from struct import pack

import pytest

from bpfwright.errors import FormatError
from bpfwright.formats.dwarf import frames as f
from bpfwright.formats.elf.program import FileBytes, Program

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
FILES = [LIBC, "/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/bin/bash",
         os.path.realpath(sys.executable)]
_FDE = re.compile(r"^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE cie=\S+ pc=([0-9a-f]+)\.\.([0-9a-f]+)")
_CFA = {"rsp": f.SP, "rbp": f.FP}


def by_readelf(path: str) -> list[tuple[int, str, str, str]]:
    """(address, CFA, rbp, ra) of every row; rbp is `u` where the columns do not have it."""
    # It complains, and fails, where it finds no separate debug file.
    text = subprocess.run(["readelf", "--debug-dump=frames-interp", "--wide", path], capture_output=True, text=True,
                          check=False).stdout
    rows, columns, inside, last = [], [], False, 0
    for line in text.splitlines():
        if "FDE" in line or "CIE" in line:
            found = _FDE.match(line)
            inside, last = found is not None, int(found[2], 16) if found else 0
        elif line.lstrip().startswith("LOC"):
            columns = line.split()
        elif inside and (words := re.sub(r" \(r\w+\)", "", line).split()) and re.fullmatch("[0-9a-f]{16}", words[0]):
            row = dict(zip(columns, words, strict=False))
            if int(row["LOC"], 16) >= last:  # linkers describe more of their stubs than there is
                continue
            rows.append((int(row["LOC"], 16), row["CFA"], row.get("rbp", "u"), row["ra"]))
    return rows


def check(table: f.UnwindTable, row: tuple[int, str, str, str]) -> bool:
    """Whether the table says what readelf says, or that it does not follow it; True where it follows."""
    address, cfa, fp, ra = row
    offset, kind, saved = table.rule(address)
    followed = kind & 15 not in (f.OTHER, f.SIGNAL)
    if ra == "u":
        assert kind == f.END, row
        return True
    plain = re.fullmatch(r"(rsp|rbp)([+-]\d+)", cfa)
    if not followed:
        assert plain is None or kind == f.SIGNAL or ra != "c-8" or fp.startswith(("exp", "vexp")), (row, kind)
        return False
    assert ra == "c-8", row
    if plain:
        assert (_CFA[plain[1]], int(plain[2])) == (kind & 15, offset), (row, offset, kind)
    else:
        assert cfa == "exp" and kind & 15 in (f.PLT, f.AT_SP, f.AT_FP), (row, kind)
    if fp.startswith("c"):
        assert saved * 8 == int(fp[1:]) and not kind & (f.FP_AT_FP | f.FP_LOST), (row, saved)
    elif fp == "u" and kind & 15 != f.PLT:
        assert saved == 0 and not kind & f.FP_LOST, (row, saved)
    return True


@pytest.mark.parametrize("path", [path for path in FILES if os.path.exists(path)])
def test_it_says_what_readelf_says(path: str) -> None:
    with FileBytes(path) as file:
        table = f.unwind_table(Program(file))
    rows = by_readelf(path)
    assert rows and table.functions > 1
    followed = sum(check(table, row) for row in rows)
    assert followed > 0.98 * len(rows)
    assert (table.rows["pc"][1:] > table.rows["pc"][:-1]).all()


ALIGNED = """
#include <immintrin.h>
__attribute__((noinline)) void take(volatile __m256i *);
int main(int argc, char **argv) { volatile __m256i wide = _mm256_set1_epi32(argc); take(&wide); return 0; }
void take(volatile __m256i *wide) { __asm__ volatile ("" : : "r" (wide) : "memory"); }
"""


def test_functions_that_align_their_stack(tmp_path: Path) -> None:
    source, path = tmp_path / "a.c", tmp_path / "a"
    source.write_text(ALIGNED)
    subprocess.run(["gcc", "-O1", "-mavx2", "-fno-builtin", str(source), "-o", str(path)], check=True)
    with FileBytes(str(path)) as file:
        table = f.unwind_table(Program(file))
    rows = by_readelf(str(path))
    assert all(check(table, row) for row in rows if "r10" not in row[1])
    kinds = set((table.rows["kind"] & 15).tolist())
    assert {f.SP, f.FP, f.END} <= kinds


def uleb(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def section(instructions: bytes, *, initial: bytes = b"\x0c\x07\x08\x90\x01", augmentation: bytes = b"zR",
            start: int = 0x1000, size: int = 0x100) -> bytes:
    """An .eh_frame with one function; addresses are absolute, of eight bytes."""
    cie = pack("<IB", 0, 1) + augmentation + b"\0" + uleb(1) + b"\x78" + b"\x10" + uleb(1) + b"\x00" + initial
    cie += b"\0" * (-len(cie) % 8 + 4)
    head = pack("<I", len(cie)) + cie
    fde = pack("<IQQ", len(head) + 4, start, size) + uleb(0) + instructions
    fde += b"\0" * (-len(fde) % 8 + 4)
    return head + pack("<I", len(fde)) + fde + pack("<I", 0)


@pytest.mark.parametrize(("instructions", "at", "expected"), [
    (b"", 0, (8, f.SP, 0)),
    (b"\x41\x0e\x10\x86\x02", 1, (16, f.SP, -2)),                       # push %rbp
    (b"\x41\x0e\x10\x86\x02\x43\x0d\x06", 4, (16, f.FP, -2)),           # mov %rsp, %rbp
    (b"\x02\x80\x0e\x20", 0x80, (32, f.SP, 0)),                          # advance by one byte's worth
    (b"\x04\x80\0\0\0\x0e\x20", 0x7F, (8, f.SP, 0)),
    (b"\x41\x0e\x10\x86\x02\x41\x0a\xc6\x0e\x08\x41\x0b", 2, (8, f.SP, 0)),   # remember
    (b"\x41\x0e\x10\x86\x02\x41\x0a\xc6\x0e\x08\x41\x0b", 3, (16, f.SP, -2)),  # and restore
    (b"\x07\x10", 0, (0, f.END, 0)),                                     # nobody called it
    (b"\x0c\x0a\x00", 0, (0, f.OTHER, 0)),                               # by r10
    (b"\x0f\x03\x76\x78\x06\x10\x06\x02\x76\x00", 0, (-8, f.AT_FP | f.FP_AT_FP, 0)),
    (b"\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22", 0, (8, f.PLT, 11)),
    (b"\x0e" + uleb(400_000), 0, (0, f.OTHER, 0)),                        # farther than a row can say
    (b"\x13\x7c", 0, (32, f.SP, 0)),                                     # signed and scaled
    (b"\x41\x3e", 3, (0, f.OTHER, 0)),                                   # an instruction of the future
])
def test_forms(instructions: bytes, at: int, expected: f.Rule) -> None:
    table = f.read_frames(section(instructions), 0x5000)
    assert table.rule(0x1000 + at) == expected
    assert table.rule(0xFFF) == (0, f.NONE, 0) == table.rule(0x1100)


def test_a_signals_frame() -> None:
    assert f.read_frames(section(b"", augmentation=b"zRS"), 0).rule(0x1000) == (0, f.SIGNAL, 0)


def test_aarch64_keeps_the_return_address_in_a_register() -> None:
    # stp x29, x30, [sp, -32]!: CFA = sp + 32, x29 at -32, x30 at -24
    data = section(b"\x44\x0e\x20\x9d\x04\x9e\x03", initial=b"\x0c\x1f\x00")
    table = f.read_frames(data, 0, machine=183)
    assert table.rule(0x1000) == (0, f.SP | f.RA_IN_REGISTER, 0)
    assert table.rule(0x1004) == (32, f.SP, -4)


def test_damage_is_said() -> None:
    whole = section(b"\x41\x0e\x10\x86\x02")
    chance = random.Random(7)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)):]
        try:
            f.read_frames(bytes(data), 0x5000)
        except FormatError:
            continue
