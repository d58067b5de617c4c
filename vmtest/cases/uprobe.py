"""A uprobe sees the arguments of a function in libc."""
from __future__ import annotations

import ctypes
import os

HOOK = "uprobe"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("uprobe")
int entered(struct pt_regs *ctx)
{
    if (!mine())
        return 0;
    put(2, PT_REGS_PARM1(ctx));
    count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    path, offset = in_file(ctypes.CDLL(None).getpgid)
    with loaded(files) as case:
        with case.kernel.uprobe(case.program, path, offset):
            os.getpgid(1)
            assert (case.seen[0], case.seen[2]) == (1, 1)
        os.getpgid(1)
        assert case.seen[0] == 1, "still attached after close"


def in_file(function: object) -> tuple[str, int]:
    """The file that a C function of this process comes from, and its offset there."""
    address = ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, _, offset, _, _, *path = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if start <= address < end:
                return path[0], address - start + int(offset, 16)
    raise AssertionError(f"{address:#x} is not mapped")
