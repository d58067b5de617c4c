"""Programs of the cases in C: what they share, and clang. The guest never comes here."""
from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

__all__ = ["compile_c"]

CLANG = ("clang-14", "-O2", "-g", "-target", "bpf", "-D__TARGET_ARCH_x86", "-I/usr/include/x86_64-linux-gnu", "-Wall",
         "-Werror", "-Wno-unused-function")

# seen[0] counts, seen[1] is the process to look at, the rest is the program's own.
PRELUDE = """
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 8);
    __type(key, __u32);
    __type(value, __u64);
} seen SEC(".maps");

static __always_inline __u64 *cell(__u32 index) { return bpf_map_lookup_elem(&seen, &index); }
static __always_inline void put(__u32 index, __u64 value) { __u64 *at = cell(index); if (at) *at = value; }
static __always_inline void count(void) { __u64 *at = cell(0); if (at) __sync_fetch_and_add(at, 1); }
static __always_inline int mine(void)
{
    __u64 *at = cell(1);
    return at && *at == bpf_get_current_pid_tgid() >> 32;
}
"""


def compile_c(source: str) -> dict[str, bytes]:
    """The object of `source`, after PRELUDE, as a case's files."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "case.c").write_text(PRELUDE + source)
        done = subprocess.run([*CLANG, "-c", "case.c", "-o", "case.o"], cwd=scratch, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr)
        return {"object": (Path(scratch) / "case.o").read_bytes()}
