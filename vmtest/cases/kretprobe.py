"""A kretprobe sees what a kernel function returned."""
from __future__ import annotations

import os

HOOK = "kretprobe"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("kretprobe/__x64_sys_getpgid")
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
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.kprobe(case.program, "__x64_sys_getpgid", ret=True):
            group = os.getpgid(0)
            assert (case.seen[0], case.seen[2]) == (1, group)
        os.getpgid(0)
        assert case.seen[0] == 1, "still attached after close"
