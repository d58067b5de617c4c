"""Hands an object's type information to the kernel: as it is, or rewritten where the kernel refuses that."""
from __future__ import annotations

import errno
import os
from struct import pack, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Callable
from bpfwright.errors import BtfError, KernelError
from bpfwright.kernel import sys

if TYPE_CHECKING:
    from bpfwright.formats.btf import Btf

__all__ = ["function_type", "load_types", "program_types"]


def load_types(data: bytes, token_fd: int = 0) -> int:
    """A descriptor of the kernel's copy, or 0 where the kernel refuses all of it (programs load without)."""
    failure: KernelError | None = None
    for form in _FORMS:
        try:
            return sys.btf_load(form(data), token_fd=token_fd)
        except KernelError as error:
            failure = error
            if error.errno in (errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
                break
    assert failure
    if failure.errno == errno.EPERM:
        from bpfwright.kernel.explain import privilege_error
        raise privilege_error("loading type information", failure)
    if failure.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        raise failure
    return 0


def program_types(number: int) -> tuple[Btf, int]:
    """The types of a loaded program, by its id, and the number of its main function there; BtfError without any."""
    fd = sys.fd_by_id(B.BPF_PROG_GET_FD_BY_ID, number)
    try:
        btf = _types_of(fd)
        record = bytearray(8)  # struct bpf_func_info: the first is the main function's
        sys.obj_info(fd, 224, pack("=132xIQI", len(record), sys.address(record), 1))
        return btf, unpack_from("=II", record)[1]
    finally:
        os.close(fd)


def function_type(program_fd: int, name: str) -> int:
    """The BTF number of a loaded program's function; BtfError when it has none of that name."""
    from bpfwright.formats.btf import Kind
    return _types_of(program_fd).find(name, Kind.FUNC)


def _types_of(program_fd: int) -> Btf:
    number = unpack_from("=I", sys.obj_info(program_fd, 224), 128)[0]
    if not number:
        raise BtfError("the program has no type information")
    fd = sys.fd_by_id(B.BPF_BTF_GET_FD_BY_ID, number)
    try:
        size = unpack_from("=QI", sys.obj_info(fd, 32))[1]
        data = bytearray(size)
        sys.obj_info(fd, 32, pack("=QI", sys.address(data), size))
    finally:
        os.close(fd)
    from bpfwright.formats.btf import Btf
    return Btf(bytes(data))


def _rewritten(old: bool) -> Callable[[bytes], bytes]:
    def form(data: bytes) -> bytes:
        from bpfwright.kernel.typerewriting import rewritten
        return rewritten(data, old=old)

    return form


_FORMS: tuple[Callable[[bytes], bytes], ...] = (bytes, _rewritten(False), _rewritten(True))
