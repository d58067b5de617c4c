"""Damaged and hostile files: an error that says so, or names that are wrong; never a crash, never without end."""
from __future__ import annotations

import random
import shutil
import struct
import time
from pathlib import Path

import pytest

from bpfwright.errors import BpfwrightError
from bpfwright.symbols import ElfSymbols
from tests.symbols.building import compiled, strip, with_minidebuginfo

COUNT = 600
"""Damaged copies of each kind of file; the seed is fixed."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("damaged")
    made = {kind: compiled(folder, kind, *options) for kind, options in
            {"whole": ("-g",), "mini": ("-rdynamic", "-g"), "bare": ("-rdynamic",), "stripped": ("-rdynamic",)}.items()}
    with_minidebuginfo(made["mini"])
    strip(made["stripped"])
    found = {kind: path.read_bytes() for kind, path in made.items()}
    data = bytearray(found["bare"])
    data[40:48], data[58:64] = bytes(8), bytes(6)  # no section headers
    return {**found, "bare": bytes(data)}


def asked(data: bytes) -> None:
    """Everything that can be asked of a file."""
    try:
        symbols = ElfSymbols.from_bytes(data, "damaged")
        symbols.resolve([0, 0x1000, 0x1169, 0x4010, 1 << 63, (1 << 64) - 1]).columns()
        symbols.addresses("shown")
        symbols.find(symbols.address("main"))
        symbols.file_offset(0x1169)
    except BpfwrightError:
        pass


@pytest.mark.parametrize("kind", ["whole", "mini", "bare", "stripped"])
def test_damaged_bytes(files: dict[str, bytes], kind: str) -> None:
    chance = random.Random(kind)
    # Where the structure is: headers at the front and the section headers at the back.
    whole = files[kind]
    sections = struct.unpack_from("<Q", whole, 40)[0]
    for _ in range(COUNT):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            place = chance.choice((chance.randrange(64), chance.randrange(0x400), chance.randrange(len(data)),
                                   chance.randrange(min(sections, len(data) - 1), len(data))))
            size = chance.choice((1, 2, 4, 8))
            value = chance.choice((0, 1, 0xFF, 0x7FFF_FFFF, (1 << 64) - 1, chance.getrandbits(64), len(data)))
            data[place:place + size] = (value & ((1 << size * 8) - 1)).to_bytes(size, "little")[:len(data) - place]
        asked(bytes(data[:chance.choice((len(data), len(data), chance.randrange(len(data))))]))


def test_every_length_of_the_headers(files: dict[str, bytes]) -> None:
    for size in range(0, 0x400, 3):
        asked(files["bare"][:size])


def test_damaged_dwarf(files: dict[str, bytes], tmp_path: Path) -> None:
    chance = random.Random(3)
    path, whole = tmp_path / "program", files["whole"]
    shown = ElfSymbols.from_bytes(whole).address("shown")
    section = ElfSymbols.from_bytes(whole)
    assert section.build_id
    begins = whole.index(b"\0", 0x3000)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(begins, len(data) - 64 * 40)] = chance.getrandbits(8)
        path.write_bytes(data)
        try:
            ElfSymbols(path).lines(shown + 4)
        except BpfwrightError:
            pass


def test_symbols_that_cover_one_another_take_no_time_without_end(files: dict[str, bytes]) -> None:
    """A table in which every symbol reaches to the end of memory."""
    import numpy as np

    from bpfwright.symbols.table import SymbolTable
    count = 200_000
    starts = np.arange(count, dtype=np.uint64) * np.uint64(16)
    table = SymbolTable(starts, np.full(count, (1 << 64) - 1, np.uint64), starts, np.zeros(count, np.int64))
    began = time.monotonic()
    assert table.find(np.arange(count, dtype=np.uint64) * np.uint64(16) + np.uint64(3)).tolist() == list(range(count))
    sizes = np.ones(count, np.uint64)
    sizes[0] = 1 << 62
    table = SymbolTable(starts, sizes, starts, np.zeros(count, np.int64))
    near = table.find(np.array([3, 16, 17, 16 * 60 + 5], dtype=np.uint64))
    assert near.tolist() == [0, 1, 0, 0]
    table.find(np.arange(count, dtype=np.uint64) * np.uint64(16) + np.uint64(3))
    assert time.monotonic() - began < 10


def test_a_bomb_in_minidebuginfo(tmp_path: Path) -> None:
    import lzma
    import subprocess
    path = compiled(tmp_path, "program", "-rdynamic")
    strip(path)
    with lzma.open(tmp_path / "bomb.xz", "wb", format=lzma.FORMAT_XZ, preset=1) as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    subprocess.run(["objcopy", "--add-section", f".gnu_debugdata={tmp_path / 'bomb.xz'}", str(path)], check=True)
    with pytest.raises(BpfwrightError, match=r"malformed ELF file") as raised:
        ElfSymbols(path)
    assert "absurdly large" in raised.value.why or "Memory" in raised.value.why


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    import os
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BpfwrightError, match="no regular file"):
        ElfSymbols(tmp_path / "fifo")
    shutil.rmtree(tmp_path)
