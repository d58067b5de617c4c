"""Programs on kernel functions and security hooks; each counts in a cell of `seen` what it saw."""
from __future__ import annotations

from bpfwright import Struct, ptr, u64
from bpfwright.helpers import current
from bpfwright.hooks import fentry, kprobe, lsm
from bpfwright.maps import Array
from bpfwright.vmlinux import file, path

__all__ = ["guard", "returned", "truncated"]


class Seen(Struct):
    count: u64
    process: u64
    value: u64


seen = Array[Seen](max_entries=1)


@kprobe.exit("__x64_sys_getpgid")
def returned(ctx: kprobe.Context, group: u64) -> None:
    entry = seen.get(0)
    if entry is not None and entry.process == current.pid:
        entry.count += 1
        entry.value = group


@fentry.program("vfs_truncate")
def truncated(ctx: fentry.Context, where: ptr[path], length: u64) -> None:
    entry = seen.get(0)
    if entry is not None and entry.process == current.pid:
        entry.count += 1
        entry.value = length


@lsm.program("file_open")
def guard(ctx: lsm.Context, target: ptr[file]) -> lsm.Action:
    entry = seen.get(0)
    if entry is None or entry.process != current.pid or target.f_inode.i_ino != entry.value:
        return lsm.ALLOW
    entry.count += 1
    return lsm.DENY
