"""A tracepoint of one system call sees its arguments."""
from __future__ import annotations

import os

HOOK = "tracepoint"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
struct enter { __u64 common; long number; unsigned long arguments[6]; };

SEC("tracepoint/syscalls/sys_enter_getpgid")
int entered(struct enter *ctx)
{
    if (!mine())
        return 0;
    put(2, ctx->arguments[0]);
    count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.tracepoint(case.program, "syscalls", "sys_enter_getpgid"):
            os.getpgid(1)
            assert (case.seen[0], case.seen[2]) == (1, 1)
        os.getpgid(1)
        assert case.seen[0] == 1, "still attached after close"
