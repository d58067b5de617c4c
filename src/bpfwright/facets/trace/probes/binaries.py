"""Programs and libraries that attach points name: which files are meant, and what stands in them."""
from __future__ import annotations

import os
from functools import cached_property

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import BpfwrightError, ElfError
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.plan import CHILD
from bpfwright.facets.trace.probes.resolve import is_pattern
from bpfwright.formats.elf.program import PT_LOAD, FileBytes, MemoryBytes, Program

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.formats.elf.usdt import StaticProbe

__all__ = ["Binary", "binaries_of", "mapped_files", "traced"]

_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
_MOST_FILES = 2000


class Binary:
    """One file. `path` opens it, also where it is another mount namespace's; `shown` is what its users call it."""

    def __init__(self, path: str, shown: str = "") -> None:
        self.path = path
        self.shown = shown or path

    @cached_property
    def data(self) -> bytes:
        """All of it."""
        try:
            with FileBytes(self.path) as file:
                return file.read(0, file.size)
        except OSError as problem:
            raise ElfError("the file cannot be read", why=problem.strerror or "") from None

    @cached_property
    def program(self) -> Program:
        """What its headers say."""
        return Program(MemoryBytes(self.data))

    @cached_property
    def debug_path(self) -> str:
        """The file with its DWARF: itself, or the separate one that belongs to it; empty without one."""
        from bpfwright.symbols.debugfiles import find_debug_file
        if any(section.name in (b".debug_info", b".zdebug_info") for section in self.program.sections):
            return self.path
        return find_debug_file(self.program, os.path.realpath(self.path), ("",))

    @cached_property
    def _tables(self) -> list[bytes]:
        """The images whose symbol tables say what stands in it."""
        from bpfwright.symbols.debugfiles import find_debug_file, read_minidebuginfo
        found = [self.data]
        if any(section.type == 2 for section in self.program.sections):  # SHT_SYMTAB
            return found
        separate = find_debug_file(self.program, os.path.realpath(self.path), ("",))
        try:
            if separate:
                with FileBytes(separate) as file:
                    return [*found, file.read(0, file.size)]
            inner = read_minidebuginfo(self.program)
        except (OSError, ElfError):
            return found
        return [*found, inner.source.read(0, inner.source.size)] if inner is not None else found

    @cached_property
    def functions(self) -> dict[str, int]:
        """The address of each function, by the name that it has in the file."""
        from bpfwright.formats.elf.image import symbols
        found: dict[str, int] = {}
        for image in self._tables:
            for name, address in symbols(image):
                found.setdefault(name.partition(b"@")[0].decode("utf-8", "replace"), address)
        return found

    @cached_property
    def static_probes(self) -> list[StaticProbe]:
        """Its notes of static tracepoints."""
        from bpfwright.formats.elf.usdt import static_probes
        return static_probes(self.program)

    def object_address(self, name: str) -> int | None:
        """The address of a variable, or of a function."""
        found = self.symbol(name)
        return found[0] if found is not None else None

    def symbol(self, name: str) -> tuple[int, int] | None:
        """Address and size of a variable or function."""
        from bpfwright.formats.elf.image import sized_symbols
        wanted = name.encode("utf-8", "surrogateescape")
        for image in self._tables:
            for found, address, size in sized_symbols(image):
                if found == wanted or found.partition(b"@")[0] == wanted:
                    return address, size
        return None

    def address(self, offset: int) -> int:
        """Which address the code at an offset of the file has. ElfError where it is not loaded."""
        for segment in self.program.segments:
            if segment.type == PT_LOAD and segment.flags & 1 and \
                    segment.offset <= offset < segment.offset + segment.size:
                return offset - segment.offset + segment.address
        raise ElfError(f"offset {offset:#x} is in no code")

    def offset(self, address: int) -> int:
        """Where the code at an address stands in the file. ElfError where there is none."""
        for segment in self.program.segments:
            if segment.type == PT_LOAD and segment.flags & 1 and \
                    segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        raise ElfError(f"address {address:#x} is in no code")


def traced(host: Host) -> int:
    """The process that probes are for: the one of -p, CHILD with -c, -1 for all."""
    if host.options.pid is not None:
        return host.options.pid
    return CHILD if host.options.traces_child else -1


def binaries_of(host: Host, node: tree.AttachPoint, name: str) -> list[Binary]:
    """The files that a name means: a path, perhaps with wildcards, a library's name, a program on PATH, with -p the
    traced process's own (no name) or all that it has mapped (`*`). Refused when there is none."""
    pid = host.options.pid
    if not name or name == "*":
        if pid is None and host.options.program and not name:
            return [_kept(host, os.path.realpath(host.options.program), "")]
        if pid is None:
            cure = "Write `uprobe:/path/to/program:function`, or name a process with -p."
            raise refuse(node.span, "which binary is not said", cure)
        try:
            return mapped_files(pid) if name else [Binary(f"/proc/{pid}/exe", os.readlink(f"/proc/{pid}/exe"))]
        except OSError:
            raise refuse(node.span, f"there is no process {pid}", "It has ended, or is not yours.") from None
    if is_pattern(name):
        return _globbed(node, name)
    home = _home(pid)
    for candidate in _candidates(name, home):
        try:
            with open(candidate, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    return [_kept(host, candidate, candidate[len(home):] or candidate)]
        except OSError:
            continue
    if os.path.exists(name):
        raise refuse(node.span, f"{name} is no program or library", "Name an ELF file: scripts have an interpreter.")
    raise refuse(node.span, f"there is no program or library `{name}`", "Write its path.")


def _kept(host: Host, path: str, shown: str) -> Binary:
    """The file, read once for all attach points of a script."""
    known: dict[str, Binary] = host.__dict__.setdefault("binaries", {})
    return known.setdefault(path, Binary(path, shown))


def _home(pid: int | None) -> str:
    """What stands before the paths of a process that sees other files than this one does."""
    if pid is None:
        return ""
    try:
        if os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt") or \
                os.readlink(f"/proc/{pid}/root") != "/":
            return f"/proc/{pid}/root"
    except OSError:
        pass
    return ""


def _candidates(name: str, home: str) -> list[str]:
    if "/" in name:
        return [f"{home}{os.path.abspath(name)}" if home else os.path.realpath(name), os.path.realpath(name)]
    from bpfwright.hooks.uprobe import find_library
    found = [home + folder + f"/{each}" for folder in _FOLDERS for each in (name, f"{name}.so")] if home else []
    for each in (name, f"{name}.so"):
        try:
            found.append(os.path.realpath(find_library(each)))
        except BpfwrightError:
            continue
    return found + _numbered(name)


def _numbered(name: str) -> list[str]:
    """`libc` is libc.so.6: the names with a number that the loader's folders hold."""
    found = []
    for folder in _FOLDERS:
        try:
            found += [os.path.realpath(f"{folder}/{entry}") for entry in os.listdir(folder)
                      if entry.startswith(f"{name}.so.")]
        except OSError:
            continue
    return sorted(found, key=len)


def _globbed(node: tree.AttachPoint, pattern: str) -> list[Binary]:
    from glob import glob
    found: dict[str, Binary] = {}
    for path in sorted(glob(pattern))[:_MOST_FILES]:
        real = os.path.realpath(path)
        if real not in found and _is_elf(real):
            found[real] = Binary(real)
    if not found:
        raise refuse(node.span, f"no program or library is called `{pattern}`", "Write a path: `/usr/lib/*/libc.so.6`.")
    return list(found.values())


def mapped_files(pid: int) -> list[Binary]:
    """The programs and libraries that a process executes. OSError when it is gone."""
    from bpfwright.symbols.mappings import read_mappings
    with open(f"/proc/{pid}/maps", "rb") as file:
        mappings = read_mappings(file.read())
    found: dict[tuple[object, int], Binary] = {}
    for one in mappings:
        if one.executable and one.of_file and (one.device, one.inode) not in found:
            path = next((path for path in (one.path, f"/proc/{pid}/root{one.path}") if _is_file(path, one.inode)),
                        f"/proc/{pid}/map_files/{one.start:x}-{one.end:x}")
            if _is_elf(path):
                found[one.device, one.inode] = Binary(path, one.path)
    return list(found.values())


def _is_file(path: str, inode: int) -> bool:
    try:
        return os.stat(path).st_ino == inode
    except OSError:
        return False


def _is_elf(path: str) -> bool:
    try:
        with FileBytes(path) as file:
            return file.read(0, 4) == b"\x7fELF"
    except (OSError, ElfError):
        return False
