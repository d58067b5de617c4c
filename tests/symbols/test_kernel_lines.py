"""Source lines of a kernel whose image is there: a program stands for it, at other addresses than it was linked for."""
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bpfwright.formats.elf.program import FileBytes, Program
from bpfwright.symbols import ElfSymbols, KernelSymbols
from bpfwright.symbols.kernel_lines import KernelLines, running_build_id

MOVED = 0xFFFF_FFFF_8000_0000
C = """
volatile int sink;
void _stext(void) { sink = 1; }
static inline __attribute__((always_inline)) void inner(int n) { sink = n; sink++; }
__attribute__((noinline)) void vfs_outer(int n) {
    inner(n);
    sink++;
}
void _start(void) { _stext(); vfs_outer(1); }
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    (folder / "kernel.c").write_text(C)
    subprocess.run(["clang-14", "-g", "-O2", "-nostdlib", "-static", "-Wl,--build-id", str(folder / "kernel.c"), "-o",
                    str(folder / "vmlinux")], check=True)
    return folder / "vmlinux"


def kernel_at(folder: Path, image: Path) -> tuple[KernelSymbols, bytes]:
    """What the kernel would say of itself: its symbols, and its build id."""
    symbols = ElfSymbols(str(image))
    listed = folder / "kallsyms"
    listed.write_text("".join(f"{symbols.address(name) + MOVED:016x} T {name}\n" for name in ("_stext", "vfs_outer")))
    with FileBytes(str(image)) as file:
        return KernelSymbols(listed), Program(file).build_id


def test_lines_of_moved_code(tmp_path: Path, image: Path) -> None:
    symbols, build_id = kernel_at(tmp_path, image)
    lines = KernelLines(symbols, [str(tmp_path / "missing"), str(image)], build_id)
    assert lines
    found = lines.at(symbols.address("vfs_outer"))
    assert [line.function for line in found] == ["inner", "vfs_outer"] and [line.line for line in found] == [4, 6]
    assert found[0].file.endswith("kernel.c")
    assert lines.at(0xFFFF_8880_0000_0000) == [] and lines.at(5) == []


def test_an_image_of_another_kernel_is_left_alone(tmp_path: Path, image: Path) -> None:
    symbols, build_id = kernel_at(tmp_path, image)
    for places, wanted in (([str(image)], b"another build"), ([], build_id), ([__file__], build_id),
                           ([str(image)], b"")):
        lines = KernelLines(symbols, places, wanted)
        assert not lines and lines.at(symbols.address("vfs_outer")) == []


def test_this_kernel_says_its_build_id() -> None:
    assert len(running_build_id()) in (0, 16, 20)
