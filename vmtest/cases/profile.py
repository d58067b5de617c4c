"""Profiles on stock kernels: a chain of functions by .eh_frame tables and by frame pointers, waiting too."""
from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open
from vmtest.profiling import profiled, share

HOOK = ""  # no row of its own
SINCE = "5.10"
CHAIN = ["main", "first", "second", "third", "spin"]
C = """
#include <stdint.h>
#include <time.h>
#define APART __attribute__((noinline))
volatile uint64_t sink;
APART uint64_t spin(uint64_t n) {
    uint64_t x = n;
    struct timespec rest = {0, 1000000};
    if (n == 0) { nanosleep(&rest, 0); return 1; }
    for (uint64_t i = 0; i < 100000; i++) { x = x * 31 + i; __asm__ volatile("" : "+r"(x)); }
    return x;
}
APART uint64_t third(uint64_t n) { volatile char room[300]; room[n % 300] = 1; return spin(n) + room[0]; }
APART uint64_t second(uint64_t n) { uint64_t a[4] = {n, n, n, n}; return third(a[n % 4]) + 1; }
APART uint64_t first(uint64_t n) { return second(n) * 3; }
int main(int argc, char **argv) {
    for (uint64_t n = 1;; n++) sink += first(argc > 1 ? 0 : n);
}
"""


def build() -> dict[str, bytes]:
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "chain.c", Path(folder) / "chain"
        source.write_text(C)
        for name, flags in (("tables", ["-fomit-frame-pointer"]),
                            ("frames", ["-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"])):
            subprocess.run(["clang-14", "-O1", "-static", *flags, str(source), "-o", str(made)], check=True)
            files[name] = made.read_bytes()
    return files


def check(files: dict[str, bytes]) -> None:
    from bpfwright import _llvm
    folder = tempfile.mkdtemp()
    try:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
            (Path(folder) / name).chmod(0o755)
        chains(folder)
        waits(folder)
    finally:
        _llvm.stop()
        shutil.rmtree(folder)


def chains(folder: str) -> None:
    from bpfwright.facets.profile import Options
    for name in ("tables", "frames"):
        taken = profiled(Options(unwind=name, python=False), f"{folder}/{name}")
        assert share(taken, CHAIN) > 0.8, (name, taken.quality, list(taken)[:4])
    by_frames = profiled(Options(unwind="frames", python=False), f"{folder}/tables")
    assert share(by_frames, CHAIN) < 0.5, "the chain can be had without tables: this shows nothing"


def waits(folder: str) -> None:
    from bpfwright.facets.profile import Options
    taken = profiled(Options(off_cpu=True, python=False), f"{folder}/tables", "wait")
    assert share(taken, CHAIN) > 0.8, (taken.quality, list(taken)[:4])
    assert any("nanosleep" in frame.name for stack in taken.stacks for frame in stack), list(taken)[:4]
