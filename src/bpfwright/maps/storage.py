"""TaskStorage and SkStorage: a value that lives with a task or socket, and dies with it."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from bpfwright.maps import _shared as s
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import BOOLEAN, KernelObject, Meaning, Optional, Reference
from bpfwright.types.ctype import CType, Int, RecordType

__all__ = ["SkStorage", "TaskStorage"]

V = TypeVar("V")
_NO_PREALLOC, _CREATE = 1, 1


def _get(create: bool) -> Operation:
    def check(site: Any) -> Meaning:
        site.bind("owner")
        map_ = s.declaration(site)
        owner = site.meaning("owner")
        if not isinstance(owner, KernelObject) or owner.cls.__kernel_name__ not in map_.owners:
            site.refuse(f"{type(map_).__name__} belongs to a {map_.owners[0]}", map_.example)
        if not isinstance(map_.value, RecordType):
            site.refuse(f"{type(map_).__name__} holds a Struct", "Write a Struct with the one field.")
        return Optional(Reference(map_.value, "map"))

    def lower(b: Any, site: Any) -> Value:
        map_ = s.declaration(site)
        found = b.helper_pointer(map_.helpers[0], s.map_pointer(b, site), site.value("owner").only, b.null(),
                                 b.number(_CREATE if create else 0))
        return Value(site.node.meaning, found)

    return Operation(check, lower)


def _check_delete(site: Any) -> Meaning:
    site.bind("owner")
    return BOOLEAN


def _lower_delete(b: Any, site: Any) -> Value:
    map_ = s.declaration(site)
    failed = b.helper(map_.helpers[1], s.map_pointer(b, site), site.value("owner").only)
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


class _Storage(MapDeclaration, Generic[V]):
    parameters: ClassVar[tuple[str, ...]] = ("V",)
    owners: ClassVar[tuple[str, ...]] = ()
    helpers: ClassVar[tuple[int, int]] = (0, 0)
    example: ClassVar[str] = ""
    __operations__: ClassVar[dict[str, Operation]] = {
        "get": _get(False), "get_or_create": _get(True), "delete": Operation(_check_delete, _lower_delete),
    }

    def __init__(self) -> None:
        super().__init__(max_entries=1, flags=_NO_PREALLOC)
        self.max_entries = 0

    @property
    def key(self) -> CType:
        """A descriptor (pidfd or socket), on this side."""
        return Int("i32", 4, True)

    def numbers(self) -> dict[str, int]:
        """Storage has no number of entries."""
        return {"type": self.kind, "map_flags": self.flags}

    if TYPE_CHECKING:
        def get(self, task: object) -> V | None:
            """The owner's value, None when it has none."""
        def get_or_create(self, task: object) -> V | None:
            """The owner's value, zero at first; None when there is no memory."""
        def delete(self, task: object) -> bool:
            """Give the value up."""

    def of(self, fd: int) -> Any:
        """The value of the owner that a descriptor names; None when it has none."""
        assert self.value is not None
        raw = self.handle.lookup(fd.to_bytes(4, "little"))
        return None if raw is None else self.value.from_bytes(raw)


class TaskStorage(_Storage[V]):
    """A value for each task. Outside: `seen.of(pidfd)`. Since Linux 5.11."""

    kind: ClassVar[int] = 29
    owners: ClassVar[tuple[str, ...]] = ("task_struct",)
    helpers: ClassVar[tuple[int, int]] = (156, 157)
    example: ClassVar[str] = "Write seen.get_or_create(current.task)."


class SkStorage(_Storage[V]):
    """A value for each socket. Outside: `seen.of(socket.fileno())`. Since Linux 5.2."""

    kind: ClassVar[int] = 24
    owners: ClassVar[tuple[str, ...]] = ("sock", "sock_common", "tcp_sock")
    helpers: ClassVar[tuple[int, int]] = (107, 108)
    example: ClassVar[str] = "Pass the struct sock of a typed argument."

