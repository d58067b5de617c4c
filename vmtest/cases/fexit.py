"""fexit sees a kernel function's arguments and what it returned."""
from __future__ import annotations

import os
import tempfile

HOOK = "fexit"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("fexit/vfs_truncate")
int left(__u64 *ctx)
{
    if (!mine())
        return 0;
    put(2, ctx[1]);
    put(3, ctx[2]);
    count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    # A file on tmpfs: an overlay would call the function once more for the file below it.
    with loaded(files) as case, tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        case.seen[3] = 99
        with case.kernel.raw_tracepoint(case.program, ""):
            os.truncate(file.name, 7)
            assert [case.seen[index] for index in (0, 2, 3)] == [1, 7, 0]
            refused = os.path.dirname(file.name)
            try:
                os.truncate(refused, 8)
            except IsADirectoryError as problem:
                # The function returns an int: the upper half of the register is not its own.
                assert case.seen[3] & 0xFFFFFFFF == 2**32 - (problem.errno or 0)
            assert case.seen[2] == 8
        os.truncate(file.name, 1)
        assert case.seen[0] == 2, "still attached after close"
