"""DevMap and CpuMap: where XDP redirects to."""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar, Iterator
from bpfwright.errors import TargetError
from bpfwright.maps import _shared as s
from bpfwright.maps.array import INDEX
from bpfwright.spec.dialect import Operation
from bpfwright.spec.map import MapDeclaration
from bpfwright.types.ctype import CType

__all__ = ["CpuMap", "DevMap", "DevMapHash"]


class _Indexed(MapDeclaration):
    parameters: ClassVar[tuple[str, ...]] = ()
    __operations__: ClassVar[dict[str, Operation]] = {"__contains__": s.CONTAINS}

    def __init__(self, *, max_entries: int) -> None:
        super().__init__(max_entries=max_entries)

    @property
    def key(self) -> CType:
        """The index."""
        return INDEX

    @property
    def value(self) -> CType:
        """What the kernel holds: an interface's number, or a queue's length."""
        return INDEX

    def key_address(self, b: Any, site: Any, name: str) -> int:
        """A pointer to the index."""
        found: int = site.address(name, self.key)
        return found

    def _raw(self, index: int) -> bytes:
        return index.to_bytes(4, "little")

    def __delitem__(self, index: int) -> None:
        if not self.handle.delete(self._raw(index)):
            raise KeyError(index)

    def __contains__(self, index: int) -> bool:
        return self.handle.lookup(self._raw(index)) is not None

    def __iter__(self) -> Iterator[int]:
        for raw in self.handle.keys():  # noqa: SIM118
            if self.handle.lookup(raw):
                yield int.from_bytes(raw, "little")


class DevMap(_Indexed):
    """Interfaces by index, for xdp.redirect(). Outside they are names. Since Linux 4.14."""

    kind: ClassVar[int] = 14

    def __setitem__(self, index: int, ifname: str) -> None:
        from socket import if_nametoindex
        try:
            number = if_nametoindex(ifname)
        except OSError:
            raise TargetError(f"there is no interface {ifname!r}") from None
        self.handle.update(self._raw(index), number.to_bytes(4, "little"))

    def __getitem__(self, index: int) -> str:
        from socket import if_indextoname
        raw = self.handle.lookup(self._raw(index))
        if not raw or not int.from_bytes(raw[:4], "little"):
            raise KeyError(index)
        return if_indextoname(int.from_bytes(raw[:4], "little"))


class DevMapHash(DevMap):
    """DevMap with any number as its key. Since Linux 5.4."""

    kind: ClassVar[int] = 25


class CpuMap(_Indexed):
    """CPUs by number, for xdp.redirect(): the packet goes on there. The value is its queue's length. Since 4.15."""

    kind: ClassVar[int] = 16

    def __setitem__(self, cpu: int, queue_size: int) -> None:
        self.handle.update(self._raw(cpu), queue_size.to_bytes(4, "little"))

    def __getitem__(self, cpu: int) -> int:
        raw = self.handle.lookup(self._raw(cpu))
        if not raw or not int.from_bytes(raw[:4], "little"):
            raise KeyError(cpu)
        return int.from_bytes(raw[:4], "little")
