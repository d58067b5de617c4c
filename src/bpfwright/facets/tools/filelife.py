"""Files that do not live long: made and removed while it runs.

Removal is seen in all file systems where the kernel allows fentry, else on ext4.

examples:
  bpfwright tool filelife              every file that is removed
  bpfwright tool filelife -p 181       removed by process 181
"""
from bpfwright.types import L, Struct, char, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import OPENS, Registers, call, native
from bpfwright.facets.tools._files import file_of
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import address_of, current, kernel_text, now_ns
from bpfwright.hooks import fentry, raw_tracepoint
from bpfwright.maps import LruHash, RingBuf
from bpfwright.vmlinux import dentry

FMODE_CREATED = 0x100000


class Removed(Struct):
    lived: u64
    pid: u32
    comm: char[L[16]]
    name: char[L[64]]


born = LruHash[u64, u64](max_entries=65_536)
removals = RingBuf[Removed](size_bytes=1 << 22)


@raw_tracepoint.program("sys_exit")
def opened(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    if call(regs) in OPENS and ret >= 0 and native():
        file = file_of(u64(ret))
        if file.f_mode & FMODE_CREATED != 0:
            born[address_of(file.f_inode)] = now_ns()


def removed(entry: dentry) -> None:
    since = born.pop(address_of(entry.d_inode), None)
    if since is not None and wanted():
        removals.emit(Removed(now_ns() - since, pid(), current.comm, kernel_text(entry.d_name.name, 64)))


@fentry.program("vfs_unlink")
def unlinked(ctx: fentry.Context, entry: ptr[dentry]) -> None:
    removed(entry)


@raw_tracepoint.program("ext4_unlink_enter")
def unlinked_on_ext4(ctx: raw_tracepoint.Context, entry: ptr[dentry]) -> None:
    removed(entry)


TOOL = Rows(removals, [(opened, unlinked), (opened, unlinked_on_ext4)], (
    Column("TIME", "<8", "@clock"), Column("PID", "<7"), Column("COMM", "<16"),
    Column("AGE(s)", "<7.2f", lambda e: e.lived / 1e9), Column("FILE", of="name")), rank="age_s")
