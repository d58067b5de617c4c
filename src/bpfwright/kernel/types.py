"""The running kernel's type information: vmlinux and modules, found when first asked for."""
from __future__ import annotations

import os
from struct import pack, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import BtfError, KernelError, NotSupported
from bpfwright.kernel import sys

if TYPE_CHECKING:
    from bpfwright.formats.btf import Btf

__all__ = ["KernelTypes"]

_DIRECTORY = "/sys/kernel/btf"
_TYPEDEF, _FUNC = 8, 12  # BTF kinds; a program that names no kernel type needs no reader


class KernelTypes:
    """BTF of the kernel and its modules, and the descriptors that name a module's to the kernel."""

    __slots__ = ("_btf", "_directory", "_fds", "_modules")

    def __init__(self, directory: str = _DIRECTORY) -> None:
        self._directory = directory
        self._btf: Btf | None = None
        self._modules: dict[str, Btf] = {}
        self._fds: dict[str, int] = {}

    @property
    def vmlinux(self) -> Btf:
        """The kernel's own; NotSupported when it was built without."""
        if self._btf is None:
            path = f"{self._directory}/vmlinux"
            if not os.path.exists(path):
                raise NotSupported("this kernel has no type information", since="4.18",
                                   why=f"{path} is missing: it was built without CONFIG_DEBUG_INFO_BTF")
            from bpfwright.formats.btf import Btf
            self._btf = Btf.open(path)
        return self._btf

    def module_names(self) -> list[str]:
        """The modules that have type information."""
        try:
            return sorted(name for name in os.listdir(self._directory) if name != "vmlinux")
        except OSError:
            return []

    def module(self, name: str) -> Btf:
        """A module's types, numbered after the kernel's."""
        if name not in self._modules:
            from bpfwright.formats.btf import Btf
            self._modules[name] = Btf.open(f"{self._directory}/{name}", self.vmlinux)
        return self._modules[name]

    def modules(self) -> list[Btf]:
        """The types of every loaded module."""
        found = []
        for name in self.module_names():
            try:
                found.append(self.module(name))
            except BtfError:
                continue        # unloaded meanwhile
        return found

    def find(self, name: str, kind: int) -> tuple[int, str] | None:
        """(type number, module or "") of a kernel type; modules are searched only when the kernel has none."""
        for type_id in self.vmlinux.find_all(name, kind):
            return type_id, ""
        for module in self.module_names():
            try:
                btf = self.module(module)
            except BtfError:
                continue        # unloaded meanwhile
            for type_id in btf.find_all(name, kind):
                if type_id >= btf.first_id:
                    return type_id, module
        return None

    def module_fd(self, module: str) -> int:
        """A descriptor of a module's BTF, open until close(); 0 for the kernel's own."""
        if not module:
            return 0
        if module not in self._fds:
            self._fds[module] = _btf_fd(module)
        return self._fds[module]

    def attach_target(self, kind: int, attach_type: int, name: str) -> tuple[int, str]:
        """The BTF number (and module) that a tracing, LSM or iterator program names as its target."""
        prefix, wanted = _TARGETS.get((kind, attach_type), ("", _FUNC))
        found = self.find(prefix + name, wanted)
        if found is None:
            raise BtfError(f"this kernel has no {_KINDS.get(attach_type, 'function')} {name!r} to attach to",
                           why=f"{prefix + name} is not in its type information",
                           cure="The function may be inlined, or called otherwise in this kernel.")
        return found

    def close(self) -> None:
        """Give the descriptors back."""
        fds, self._fds = self._fds, {}
        for fd in fds.values():
            os.close(fd)


_TARGETS = {
    (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_RAW_TP): ("btf_trace_", _TYPEDEF),
    (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_ITER): ("bpf_iter_", _FUNC),
    (B.BPF_PROG_TYPE_LSM, B.BPF_LSM_MAC): ("bpf_lsm_", _FUNC),
    (B.BPF_PROG_TYPE_LSM, B.BPF_LSM_CGROUP): ("bpf_lsm_", _FUNC),
}
_KINDS = {B.BPF_TRACE_RAW_TP: "tracepoint", B.BPF_TRACE_ITER: "iterator", B.BPF_LSM_MAC: "security hook"}


def _btf_fd(wanted: str) -> int:
    """Walk the kernel's BTF objects for a module's name."""
    number = sys.next_id(B.BPF_BTF_GET_NEXT_ID, 0)
    while number:
        try:
            fd = sys.fd_by_id(B.BPF_BTF_GET_FD_BY_ID, number)
        except KernelError:
            fd = -1         # gone meanwhile
        if fd >= 0:
            name = bytearray(64)
            info = sys.obj_info(fd, 32, pack("=QIIQII", 0, 0, 0, sys.address(name), len(name), 1))
            if unpack_from("=I", info.ljust(32, b"\0"), 28)[0] and name.partition(b"\0")[0] == wanted.encode():
                return fd
            os.close(fd)
        number = sys.next_id(B.BPF_BTF_GET_NEXT_ID, number)
    raise BtfError(f"module {wanted} has been unloaded")
