"""Global data in the making: members are placed as functions ask for them."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang.emit import GlobalData
from bpfwright.types.ctype import CType

__all__ = ["Layouted"]


class Layouted:
    """A global that grows while functions are lowered: members with their offsets, and first contents."""

    def __init__(self, name: str, section: str, read_only: bool) -> None:
        self.name = name
        self.section = section
        self.read_only = read_only
        self.members: list[tuple[str, CType, int]] = []
        self.contents = bytearray()
        self.known: dict[Any, int] = {}

    def place(self, key: object, name: str, ctype: CType, contents: bytes) -> int:
        """The offset of a member, made at the first asking."""
        found = self.known.get(key)
        if found is None:
            align = max(ctype.align, 1)
            self.contents += bytes(-len(self.contents) % align)
            found = self.known[key] = len(self.contents)
            taken = {member for member, _, _ in self.members}
            unique, number = name, 1
            while unique in taken:
                number += 1
                unique = f"{name}_{number}"
            self.members.append((unique, ctype, found))
            self.contents += contents.ljust(ctype.size, b"\0")
        return found

    def finish(self) -> GlobalData:
        self.contents += bytes(-len(self.contents) % 8)
        return GlobalData(self.name, self.section, self.members, bytes(self.contents), self.read_only)
