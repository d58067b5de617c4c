"""Source lines of the running kernel, where its image with DWARF is installed (Debian's linux-image-...-dbg, say)."""
from __future__ import annotations

import os

from bpfwright._typing import TYPE_CHECKING, Sequence
from bpfwright.errors import BpfwrightError
from bpfwright.formats.elf.program import FileBytes, Program
from bpfwright.symbols.elf import ElfSymbols

if TYPE_CHECKING:
    from bpfwright.formats.dwarf.lines import SourceLine
    from bpfwright.symbols.kernel import KernelSymbols

__all__ = ["KernelLines", "running_build_id"]

_NOTES = "/sys/kernel/notes"
_BUILD_ID = 3             # NT_GNU_BUILD_ID
_FIRSTS = ("_stext", "_text")  # one of them is in every list of symbols


class KernelLines:
    """The lines of the kernel that `symbols` lists. Modules are not in its image, and have none.

    `places` are where an image may be, `build_id` is the kernel's own: an image of another build is left alone.
    """

    __slots__ = ("_image", "_moved")

    def __init__(self, symbols: KernelSymbols, places: Sequence[str] | None = None,
                 build_id: bytes | None = None) -> None:
        wanted = running_build_id() if build_id is None else build_id
        self._image: ElfSymbols | None = None
        self._moved = 0
        for place in _places(wanted) if places is None else places:
            found = _image(place, wanted)
            if found is None:
                continue
            first = next((name for name in _FIRSTS if found.addresses(name) and symbols.addresses(name, "")), "")
            if first:
                self._image, self._moved = found, symbols.address(first, "") - found.address(first)
                return

    def __bool__(self) -> bool:
        """Whether there is an image of this kernel."""
        return self._image is not None

    def at(self, address: int) -> list[SourceLine]:
        """As ElfSymbols.lines() has it; empty without an image, and for what is not in it."""
        return [] if self._image is None or address < self._moved else self._image.lines(address - self._moved)


def running_build_id() -> bytes:
    """What tells this kernel's image from others; empty where it does not say."""
    try:
        with open(_NOTES, "rb") as file:
            data = file.read()
    except OSError:
        return b""
    at = 0
    while at + 12 <= len(data):
        name, size, kind = (int.from_bytes(data[at + place:at + place + 4], "little") for place in (0, 4, 8))
        body = at + 12 + (name + 3 & ~3)
        if kind == _BUILD_ID and data[at + 12:at + 12 + name] == b"GNU\0":
            return data[body:body + size]
        at = body + (size + 3 & ~3)
    return b""


def _places(build_id: bytes) -> list[str]:
    release, digits = os.uname().release, build_id.hex()
    return [f"/usr/lib/debug/.build-id/{digits[:2]}/{digits[2:]}.debug", f"/usr/lib/debug/boot/vmlinux-{release}",
            f"/usr/lib/debug/lib/modules/{release}/vmlinux", f"/lib/modules/{release}/build/vmlinux",
            f"/boot/vmlinux-{release}"]


def _image(path: str, build_id: bytes) -> ElfSymbols | None:
    try:
        with FileBytes(path) as file:
            if not build_id or Program(file).build_id != build_id:
                return None
        return ElfSymbols(path)
    except (OSError, BpfwrightError):
        return None
