"""A raw tracepoint over all system calls sees their numbers."""
from __future__ import annotations

import os

HOOK = "raw tracepoint"
SINCE = "5.10"
SOURCE = """
SEC("@section@")
int entered(@context@ *ctx)
{
    if (!mine() || @number@ != 121)  /* getpgid */
        return 0;
    count();
    return 0;
}
"""


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    text = SOURCE.replace("@section@", "raw_tp/sys_enter").replace("@context@", "struct bpf_raw_tracepoint_args")
    return compile_c(text.replace("@number@", "ctx->args[1]"))


def check(files: dict[str, bytes]) -> None:
    watch(files, "sys_enter")


def watch(files: dict[str, bytes], name: str) -> None:
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.raw_tracepoint(case.program, name):
            os.getpgid(1)
            assert case.seen[0] == 1
        os.getpgid(1)
        assert case.seen[0] == 1, "still attached after close"
