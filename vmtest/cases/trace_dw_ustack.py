"""bpftrace's dw_ustack on stock kernels: a chain without frame pointers, in a uprobe, a tracepoint and at samples."""
from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "5.10"
CHAIN = ["leaf", "third", "second", "first", "main"]
C = """
#include <stdint.h>
#include <unistd.h>
#define APART __attribute__((noinline))
volatile uint64_t sink;
APART uint64_t leaf(uint64_t n) { volatile char room[64]; room[n % 64] = 1; usleep(1000); return n * 3 + room[0]; }
APART uint64_t third(uint64_t n) { volatile char room[300]; room[n % 300] = 1; return leaf(n) + room[0]; }
APART uint64_t second(uint64_t n) { uint64_t a[4] = {n, n, n, n}; return third(a[n % 4]) + 1; }
APART uint64_t first(uint64_t n) { return second(n) * 3; }
int main(void) { for (uint64_t n = 1;; n++) sink += first(n); }
"""


def build() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "chain.c", Path(folder) / "chain"
        source.write_text(C)
        subprocess.run(["clang-14", "-O1", "-static", "-fomit-frame-pointer", str(source), "-o", str(made)], check=True)
        return {"chain": made.read_bytes()}


def check(files: dict[str, bytes]) -> None:
    from bpfwright import _llvm
    from bpfwright.facets.trace.tracing import trace
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chain"
            path.write_bytes(files["chain"])
            path.chmod(0o755)
            with subprocess.Popen([str(path)]) as child:
                try:
                    time.sleep(0.5)
                    found = trace(f"uprobe:{path}:leaf {{ @u[dw_ustack] = count() }} "
                                  f"tracepoint:syscalls:sys_enter_clock_nanosleep /pid == {child.pid}/ "
                                  "{ @t[dw_ustack] = count() } interval:s:1 { exit() }", pid=child.pid)
                finally:
                    child.kill()
    finally:
        _llvm.stop()
    for name in ("@u", "@t"):
        stacks = [[frame.split("+")[0] for frame in stack] for stack in found[name]]
        assert stacks and all(stack[stack.index("leaf"):][:5] == CHAIN for stack in stacks), (name, stacks)
