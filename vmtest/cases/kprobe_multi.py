"""One link puts a program on many kernel functions."""
from __future__ import annotations

import os
import struct

HOOK = "kprobe.multi"
SINCE = "6.12"
BPF_TRACE_KPROBE_MULTI = 42


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("kprobe.multi/__x64_sys_getpgi*")
int entered(struct pt_regs *ctx)
{
    if (mine())
        count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from bpfwright.kernel import sys
    from vmtest.running import loaded
    names = [bytearray(b"__x64_sys_getpgid\0"), bytearray(b"__x64_sys_getsid\0")]
    pointers = bytearray(struct.pack("=2Q", *map(sys.address, names)))
    with loaded(files) as case:
        symbols = struct.pack("=IIQQQ", 0, len(names), sys.address(pointers), 0, 0)
        with case.kernel.link(case.program, BPF_TRACE_KPROBE_MULTI, extra=symbols):
            os.getpgid(1)
            os.getsid(1)
            assert case.seen[0] == 2
        os.getpgid(1)
        assert case.seen[0] == 2, "still attached after close"
