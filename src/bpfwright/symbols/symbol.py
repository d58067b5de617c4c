"""What an address is in."""
from __future__ import annotations

from bpfwright._typing import NamedTuple

__all__ = ["Symbol"]


class Symbol(NamedTuple):
    """What an address is in: `offset` bytes behind the begin of `name`, which belongs to `module`.

    `module` is a kernel module (empty for the kernel itself), the path of a file, `[anon]`, `[vdso]`, `[jit]` and the
    like, or `[unknown]`. Without a name, `offset` is the address in the file, as debuggers count it, else counts from
    the mapping's begin; in `[unknown]` it is the address itself.
    """

    name: str
    offset: int
    module: str

    def __str__(self) -> str:
        where = f"{self.name}+{self.offset:#x}" if self.name else f"{self.offset:#x}"
        return f"{where} ({self.module})" if self.module else where
