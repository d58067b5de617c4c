"""A uretprobe sees what a function in libc returned."""
from __future__ import annotations

import ctypes
import os

HOOK = "uretprobe"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("uretprobe")
int left(struct pt_regs *ctx)
{
    if (!mine())
        return 0;
    put(2, PT_REGS_RC(ctx));
    count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.cases.uprobe import in_file
    from vmtest.running import loaded
    path, offset = in_file(ctypes.CDLL(None).getpgid)
    with loaded(files) as case:
        with case.kernel.uprobe(case.program, path, offset, ret=True):
            group = os.getpgid(0)
            assert (case.seen[0], case.seen[2]) == (1, group)
        os.getpgid(0)
        assert case.seen[0] == 1, "still attached after close"
