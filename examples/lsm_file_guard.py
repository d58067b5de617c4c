"""Nobody opens one file, root neither: `sudo python lsm_file_guard.py FILE [SECONDS]`. Needs `bpf` in lsm=."""
import os
import sys
import time

from bpfwright import Struct, attach, ptr, u32, u64
from bpfwright.hooks import lsm
from bpfwright.maps import Hash
from bpfwright.vmlinux import file


class Inode(Struct):
    number: u64
    device: u32


guarded = Hash[Inode, u64](max_entries=1024)


@lsm.program("file_open")
def guard(ctx: lsm.Context, target: ptr[file]) -> lsm.Action:
    denied = guarded.get(Inode(target.f_inode.i_ino, target.f_inode.i_sb.s_dev))
    if denied is None:
        return lsm.ALLOW
    guarded.increment(Inode(target.f_inode.i_ino, target.f_inode.i_sb.s_dev))
    return lsm.DENY


def inode(path: str) -> Inode:
    found = os.stat(path)
    return Inode(found.st_ino, os.major(found.st_dev) << 20 | os.minor(found.st_dev))


if __name__ == "__main__":
    with attach(guard):
        guarded[inode(sys.argv[1])] = 0
        time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 10)
        print(f"{guarded[inode(sys.argv[1])]} opens denied")
