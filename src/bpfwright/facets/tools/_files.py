"""The file behind a descriptor of the current process: its name and whether it is a regular one."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.helpers import address_of, current, kernel_object, kernel_text, kernel_word, offset_of, subprogram
from bpfwright.maps import LruHash, PerCpuArray
from bpfwright.types import KernelStruct, L, Struct, array, char, ptr, u32, u64
from bpfwright.vmlinux import dentry, file, inode, mount

__all__ = ["base_name", "file_of", "is_regular", "keep_folder", "whole_path"]

_KIND, _REGULAR = 0o170000, 0o100000


class Table(KernelStruct, type="fdtable"):
    """Descriptors; `fd` is an array of pointers to files."""

    fd: ptr[file]


class Files(KernelStruct, type="files_struct"):
    """What a process has open."""

    fdt: ptr[Table]


def file_of(fd: u64) -> file:
    """The open file of a descriptor, which the caller knows to be open."""
    table = kernel_object(Files, address_of(current.task.files)).fdt
    return kernel_object(file, kernel_word(address_of(table.fd) + 8 * (fd & 0xFFFFFFF)))


def base_name(of: file) -> str:
    """The last part of its path."""
    return kernel_text(of.f_path.dentry.d_name.name, 64)


def is_regular(of: inode) -> bool:
    """Whether it is a regular file: no pipe, socket or device."""
    return u32(of.i_mode) & _KIND == _REGULAR


HERE, _DEEP = 0xFFFF_FF9C, 24  # AT_FDCWD; so many folders above one another are kept


class Name(Struct):
    """A folder's own name."""

    text: char[L[64]]


class Folder(Struct):
    """Names from a folder upwards; `count` of them, one more than there is room for when some are missing."""

    count: u64
    names: array[Name, L[24]]


_work = PerCpuArray[Folder](max_entries=1)
_folders = LruHash[u64, Folder](max_entries=4096)


@subprogram
def climb(entry: u64, mounted: u64) -> u32:
    """The names from a folder up to the root of all file systems, into `_work`."""
    work = _work.local(0)
    work.count = 0
    for _step in range(32):
        place = kernel_object(mount, mounted)
        if entry == address_of(place.mnt.mnt_root):
            above = address_of(place.mnt_parent)
            if above == mounted:
                return 0
            entry = address_of(place.mnt_mountpoint)
            mounted = above
        else:
            here = kernel_object(dentry, entry)
            at = work.count
            if at < 24:
                work.names[at].text = kernel_text(here.d_name.name, 64)
            work.count = at + 1
            entry = address_of(here.d_parent)
    work.count = _DEEP + 1
    return 1


def keep_folder(at: u64, fd: u32) -> None:
    """Keep the path of a descriptor's folder, or of the current one, for who asks for it by `at`."""
    if fd == HERE:
        here = current.task.fs.pwd
        climb(address_of(here.dentry), address_of(here.mnt) - offset_of(mount, "mnt"))
    else:
        opened = file_of(u64(fd)).f_path
        climb(address_of(opened.dentry), address_of(opened.mnt) - offset_of(mount, "mnt"))
    _folders[at] = _work.local(0)


def kept_folder(running: Any, at: int) -> str:
    """The path that was kept; "" when there is none, `...` in front when it was too deep."""
    found = running.session[_folders].pop(at, None)
    if found is None:
        return ""
    names = [found.names[place].text for place in range(min(found.count, _DEEP))]
    return "/".join(["..." if found.count > _DEEP else "", *reversed(names)])


def whole_path(running: Any, record: Any) -> str:
    """A record's path, with the folder that was kept by its time."""
    return record.path if record.path.startswith("/") else f"{kept_folder(running, record.at)}/{record.path}"
