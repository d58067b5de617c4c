"""Hands an object's type information to the kernel: as it is, or rewritten where the kernel refuses that."""
from __future__ import annotations

import errno
import os
from struct import pack, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import Callable
from bpfwright.errors import BtfError, KernelError
from bpfwright.kernel import sys

__all__ = ["function_type", "load_types"]


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


def function_type(program_fd: int, name: str) -> int:
    """The BTF number of a loaded program's function; BtfError when it has none of that name."""
    number = unpack_from("=I", sys.obj_info(program_fd, 224), 128)[0]
    if not number:
        raise BtfError("the program to be replaced has no type information")
    fd = sys.fd_by_id(B.BPF_BTF_GET_FD_BY_ID, number)
    try:
        size = unpack_from("=QI", sys.obj_info(fd, 32))[1]
        data = bytearray(size)
        sys.obj_info(fd, 32, pack("=QI", sys.address(data), size))
    finally:
        os.close(fd)
    from bpfwright.formats.btf import Btf, Kind
    return Btf(bytes(data)).find(name, Kind.FUNC)


def _rewritten(old: bool) -> Callable[[bytes], bytes]:
    def form(data: bytes) -> bytes:
        from bpfwright.kernel.typerewriting import rewritten
        return rewritten(data, old=old)

    return form


_FORMS: tuple[Callable[[bytes], bytes], ...] = (bytes, _rewritten(False), _rewritten(True))
