"""fentry sees a kernel function's typed arguments."""
from __future__ import annotations

import os
import tempfile

HOOK = "fentry"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("fentry/vfs_truncate")
int entered(__u64 *ctx)
{
    if (!mine())
        return 0;
    put(2, ctx[1]);
    count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    # A file on tmpfs: an overlay would call the function once more for the file below it.
    with loaded(files) as case, tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        with case.kernel.raw_tracepoint(case.program, ""):
            os.truncate(file.name, 7)
            assert (case.seen[0], case.seen[2]) == (1, 7), "the length is the second argument"
            os.truncate(file.name, 4096)
            assert (case.seen[0], case.seen[2]) == (2, 4096)
        os.truncate(file.name, 1)
        assert case.seen[0] == 2, "still attached after close"
