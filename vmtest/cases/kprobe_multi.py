"""One link puts a program on many kernel functions."""
from __future__ import annotations

import os

HOOK = "kprobe.multi"
SINCE = "6.12"


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
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.kprobe_multi(case.program, ["__x64_sys_getpgid", "__x64_sys_getsid"]):
            os.getpgid(1)
            os.getsid(1)
            assert case.seen[0] == 2
        os.getpgid(1)
        assert case.seen[0] == 2, "still attached after close"
