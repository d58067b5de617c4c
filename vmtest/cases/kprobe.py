"""A kprobe sees the argument of a system call's own function."""
from __future__ import annotations

import os

HOOK = "kprobe"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("kprobe/__x64_sys_getpgid")
int entered(struct pt_regs *ctx)
{
    struct pt_regs *user = (struct pt_regs *)PT_REGS_PARM1(ctx);
    __u64 argument = 0;
    if (!mine())
        return 0;
    bpf_probe_read_kernel(&argument, sizeof argument, &PT_REGS_PARM1(user));
    put(2, argument);
    count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.kprobe(case.program, "__x64_sys_getpgid"):
            for _ in range(10):
                os.getpgid(1)
            assert (case.seen[0], case.seen[2]) == (10, 1)
        os.getpgid(1)
        assert case.seen[0] == 10, "still attached after close"
