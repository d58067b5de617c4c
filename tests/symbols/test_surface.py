"""The names of bpfwright.symbols, that they can be had, and that asking for the room loads nothing."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bpfwright import symbols

PUBLIC = """
    ElfSymbols FileCache KernelSymbols Mapping ProcessSymbols Resolved SourceLine Symbol demangle find_in_kernel
    knows_cxx
"""
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "symbols.md"


def test_the_public_names_are_these() -> None:
    assert sorted(symbols.__all__) == sorted(dir(symbols)) == PUBLIC.split()
    assert all(getattr(symbols, name) is not None for name in symbols.__all__)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        symbols.missing  # type: ignore[attr-defined]  # noqa: B018


def test_the_reference_has_the_modules_of_all_of_them() -> None:
    there = re.findall(r"^::: bpfwright\.(\S+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(there) == sorted({getattr(symbols, name).__module__.removeprefix("bpfwright.")
                                    for name in symbols.__all__})


def test_the_room_is_entered_without_numpy() -> None:
    code = "import sys, bpfwright.symbols; assert not {'numpy', 'elftools', 'ctypes'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_some_addresses_of_the_kernel_need_no_numpy(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("ffffffff81000000 T _text\n")
    code = ("import sys; from bpfwright.symbols import find_in_kernel; "
            f"assert find_in_kernel([0xffffffff81000001], {str(tmp_path / 'list')!r}); "
            "assert not {'numpy', 'elftools', 'ctypes'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)
