"""A security hook really prevents: one file cannot be opened while the program is attached, others can."""
from __future__ import annotations

import errno
import os
import tempfile

HOOK = "LSM (file_open denies)"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
struct inode { unsigned long i_ino; } __attribute__((preserve_access_index));
struct file { struct inode *f_inode; } __attribute__((preserve_access_index));

SEC("lsm/file_open")
int guard(__u64 *ctx)
{
    struct file *file = (struct file *)ctx[0];
    __u64 *protected = cell(2);
    if (!mine() || !protected || file->f_inode->i_ino != *protected)
        return 0;
    count();
    return -1;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    # On tmpfs: an overlay would give its files other inode numbers than it tells.
    with (loaded(files) as case, tempfile.NamedTemporaryFile(dir="/dev/shm") as secret,
          tempfile.NamedTemporaryFile(dir="/dev/shm") as other):
        case.seen[2] = os.stat(secret.name).st_ino
        with case.kernel.raw_tracepoint(case.program, ""):
            os.close(os.open(other.name, os.O_RDONLY))
            try:
                os.close(os.open(secret.name, os.O_RDONLY))
            except PermissionError as problem:
                assert problem.errno == errno.EPERM
            else:
                raise AssertionError("the file could be opened")
            assert case.seen[0] == 1
        os.close(os.open(secret.name, os.O_RDONLY))
