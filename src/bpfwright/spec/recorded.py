"""Kernel objects as tests write them: a type's name and the fields that matter."""
from __future__ import annotations

from bpfwright._typing import Any

__all__ = ["Recorded"]


class Recorded:
    """A kernel object for the userspace machine: `Recorded("task_struct", pid=7, comm="bash", mm=Recorded(...))`.

    Fields are named as in C, with dots into structs inside (`**{"thread_info.status": 2}`). Values are numbers, text,
    bytes, addresses, and other objects: for a pointer's field, what it points to. The rest is zero. The types come from
    the machine's kernel_btf or, without it, from what the object that is tested declares.
    """

    __slots__ = ("address", "fields", "type")

    def __init__(self, type: str, **fields: Any) -> None:
        self.type = type
        self.fields = fields
        self.address = 0

    def __repr__(self) -> str:
        return f"Recorded({self.type!r}, {', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"
