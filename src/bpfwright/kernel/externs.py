"""What the running kernel supplies to an object: functions and variables by BTF, addresses, its configuration."""
from __future__ import annotations

import os
from struct import pack

from bpfwright._abi import bpf as B
from bpfwright.errors import BtfError, NotSupported, RelocationError
from bpfwright.formats.btf import Btf, Kind
from bpfwright.spec.linking import POISON_CALL, Reference, bare_name
from bpfwright.kernel.types import KernelTypes
from bpfwright.spec.objects import Extern, MapSpec, ObjectSpec

__all__ = ["Externs", "kernel_configuration", "kernel_version"]

_MAX_VALUE = 4096


class Externs:
    """Resolves the externs of one object; `fd_array` gains the modules whose functions are called."""

    def __init__(self, spec: ObjectSpec, types: KernelTypes, fd_array: list[int]) -> None:
        self._types = types
        self._fd_array = fd_array
        self._externs = {extern.name: extern for extern in spec.externs}
        self._btf = Btf(spec.btf) if spec.btf else None
        self.config: MapSpec | None = None
        self.config_places: dict[str, int] = {}

    def resolve(self, used: set[tuple[str, str]]) -> dict[tuple[str, str], Reference]:
        """The reference of each (kind, name); kconfig values go to `config` and `config_places` instead."""
        found: dict[tuple[str, str], Reference] = {}
        configured: list[Extern] = []
        for kind, name in sorted(used):
            extern = self._externs.get(name)
            if extern is None:
                raise RelocationError(f"nothing is known about {name!r}")
            if kind == "kfunc":
                found[kind, name] = self._function(extern)
            elif extern.kind == "kconfig":
                configured.append(extern)
            else:
                found[kind, name] = self._symbol(extern)
        if configured:
            self._configure(configured)
        return found

    def _function(self, extern: Extern) -> Reference:
        target = self._types.find(bare_name(extern.name), Kind.FUNC)
        if target is None:
            if extern.weak:
                return Reference(0, POISON_CALL)
            raise NotSupported(f"this kernel has no function {extern.name!r} for programs",
                               why="it is not in the kernel's type information or any module's")
        type_id, module = target
        return Reference(B.BPF_PSEUDO_KFUNC_CALL, type_id, offset=self._slot(module))

    def _slot(self, module: str) -> int:
        if not module:
            return 0
        fd = self._types.module_fd(module)
        if fd not in self._fd_array:
            self._fd_array.append(fd)
        return self._fd_array.index(fd)

    def _symbol(self, extern: Extern) -> Reference:
        typed = self._typed(extern)
        if typed:
            target = self._types.find(bare_name(extern.name), typed)
            if target is not None:
                return Reference(B.BPF_PSEUDO_BTF_ID, target[0], self._types.module_fd(target[1]))
            where = 0
        else:
            where = symbol_address(bare_name(extern.name))
        if not where and not extern.weak:
            raise NotSupported(f"this kernel has no symbol {extern.name!r}",
                               why="neither its type information nor /proc/kallsyms (read with privilege) names it")
        low = where & 0xFFFFFFFF
        return Reference(0, low - (1 << 32) if low >= 1 << 31 else low, where >> 32)

    def _typed(self, extern: Extern) -> int:
        """The kind of the kernel's side: a variable's with a type, a function's; 0 for `extern const void x`."""
        if not self._btf or not extern.type_id:
            return 0
        if self._btf.kind(extern.type_id) == Kind.FUNC:
            return Kind.FUNC
        beneath = self._btf.resolve(self._btf.type_of(extern.type_id))
        return Kind.VAR if beneath else 0

    def _configure(self, externs: list[Extern]) -> None:
        """Lay the wanted values out as one read-only data map."""
        assert self._btf
        contents = bytearray()
        for extern in externs:
            type_id = self._btf.type_of(extern.type_id)
            size = self._btf.size(type_id)
            if size > _MAX_VALUE:
                raise BtfError(f"{extern.name} is declared with {size} bytes, which no configuration value has")
            contents += bytes(-len(contents) % 8)
            self.config_places[extern.name] = len(contents)
            contents += self._value(extern, type_id, size)
        self.config = MapSpec(".kconfig", B.BPF_MAP_TYPE_ARRAY, 4, len(contents), 1, flags=B.BPF_F_RDONLY_PROG,
                              contents=bytes(contents), frozen=True, data_section=".kconfig")

    def _value(self, extern: Extern, type_id: int, size: int) -> bytes:
        assert self._btf
        name = extern.name
        if name == "LINUX_KERNEL_VERSION":
            return pack("=I", kernel_version()).ljust(size, b"\0")[:size]
        if name.startswith("LINUX_HAS_"):
            return pack("=Q", _virtual(name))[:size]
        text = kernel_configuration().get(name)
        if text is None:
            if extern.weak:
                return bytes(size)
            raise NotSupported(f"this kernel's configuration does not set {name}",
                               why="or neither /proc/config.gz nor /boot/config-* can be read",
                               cure="Declare it __weak to read it as 0.")
        return encode_value(self._btf, name, type_id, size, text)


def encode_value(btf: Btf, name: str, type_id: int, size: int, text: str) -> bytes:
    """A configuration line's right side as the bytes of a variable of that type."""
    beneath = btf.resolve(type_id)
    kind = btf.kind(beneath)
    if text.startswith('"'):
        if kind != Kind.ARRAY:
            raise BtfError(f"{name} is a string in the kernel's configuration, not a {Kind.NAMES[kind]}")
        return text.strip('"').encode()[:max(size - 1, 0)].ljust(size, b"\0")
    if text in ("y", "n", "m"):
        if kind in Kind.ENUMS:                                  # enum libbpf_tristate
            return pack("=i", {"n": 0, "y": 1, "m": 2}[text])[:size]
        if kind == Kind.INT and btf.int_encoding(beneath).is_char:
            return text.encode().ljust(size, b"\0")
        return pack("=Q", text == "y")[:size]
    try:
        number = int(text, 0)
    except ValueError:
        raise BtfError(f"{name} is {text!r} in the kernel's configuration, which is no number") from None
    if not -(1 << 8 * size - 1) <= number < 1 << 8 * size:
        raise BtfError(f"{name} is {number}, which does not fit {size} bytes")
    return (number & (1 << 64) - 1).to_bytes(8, "little" if pack("=H", 1) == b"\1\0" else "big")[:size]


def kernel_version() -> int:
    """KERNEL_VERSION(major, minor, patch); for LINUX_KERNEL_VERSION in foreign objects, never for decisions."""
    parts = os.uname().release.split("-")[0].split(".")
    major, minor, patch = (int("".join(filter(str.isdigit, part)) or 0) for part in (parts + ["0", "0"])[:3])
    return major << 16 | minor << 8 | min(patch, 255)


def _virtual(name: str) -> int:
    if name == "LINUX_HAS_SYSCALL_WRAPPER":
        prefix = {"x86_64": "__x64_", "aarch64": "__arm64_", "s390x": "__s390x_", "riscv64": "__riscv_"}
        return int(bool(symbol_address(prefix.get(os.uname().machine, "__") + "sys_bpf")))
    if name == "LINUX_HAS_BPF_COOKIE":
        from bpfwright.kernel.features import Features
        return int(Features().named("perf links").works)
    return 0


def kernel_configuration() -> dict[str, str]:
    """CONFIG_X -> value as it stands in the running kernel's configuration; empty when there is none to read."""
    import gzip         # few objects ask
    text = ""
    for path in ("/proc/config.gz", f"/boot/config-{os.uname().release}"):
        try:
            with (gzip.open(path, "rt") if path.endswith(".gz") else open(path, encoding="utf-8")) as file:
                text = file.read()
            break
        except OSError:
            continue
    return dict(line.split("=", 1) for line in text.splitlines() if line.startswith("CONFIG_") and "=" in line)


def symbol_address(name: str) -> int:
    """An address from /proc/kallsyms, 0 when it has none or hides them."""
    needle = f" {name}".encode("utf-8", "surrogateescape")
    try:
        with open("/proc/kallsyms", "rb") as file:
            for line in file:
                if line.rstrip().endswith(needle) and line.split()[2] == needle.strip():
                    return int(line.split()[0], 16)
    except OSError:
        pass
    return 0
