"""What all map types share: a declaration is a spec; inside a session it answers for the map that the session holds."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, ClassVar, Self, TypeVar
from bpfwright.errors import SessionError, UsageError, WrongType
from bpfwright.spec.dialect import Operation
from bpfwright.spec.machine import LoadedMap
from bpfwright.types.ctype import CType, caller_namespaces, ctype_of, defining_frame

__all__ = ["Binding", "MapDeclaration"]


class Binding:
    """A declared map in one session: its handle, and how many stores found no room."""

    __slots__ = ("handle", "lost")

    def __init__(self, handle: LoadedMap, lost: Callable[[], int]) -> None:
        self.handle = handle
        self.lost = lost


class MapDeclaration:
    """A map type's class, and a declared map as its instance.

    `Hash[u32, Blocked]` is a class with arguments; calling it declares a map. Subclasses give `kind` (bpf_map_type),
    `parameters` (names of the arguments), `__operations__` and the methods of the outside.
    """

    kind: ClassVar[int] = 0
    parameters: ClassVar[tuple[str, ...]] = ()
    arguments: ClassVar[tuple[object, ...]] = ()
    spaces: ClassVar[list[dict[str, Any]]] = []
    space: ClassVar[str] = "map"
    fixed_length: ClassVar[bool] = False
    __operations__: ClassVar[dict[str, Operation]] = {}
    _made: ClassVar[dict[Any, type[Any]]] = {}

    max_entries: int
    flags: int
    providers: ClassVar[list[Callable[[MapDeclaration], Binding]]] = []

    def __class_getitem__(cls, arguments: Any) -> type[Self]:
        given = arguments if isinstance(arguments, tuple) else (arguments,)
        if all(isinstance(g, TypeVar) for g in given):
            return cls  # a base of a generic subclass: its arguments are still to come
        if len(given) != len(cls.parameters):
            raise UsageError(f"{cls.__name__} takes {' and '.join(cls.parameters) or 'no arguments'}, "
                             f"not {len(given)} argument{'s' if len(given) != 1 else ''}",
                             cure=f"Write {cls.__name__}[{', '.join(cls.parameters)}].")
        made = type(cls.__name__, (cls,), {"arguments": given, "__module__": cls.__module__,
                                           "spaces": caller_namespaces(defining_frame(1))
                                           if any(isinstance(g, str) for g in given) else []})
        return made

    def __init__(self, *, max_entries: int, flags: int = 0) -> None:
        if len(self.arguments) != len(self.parameters):
            raise UsageError(f"{type(self).__name__} needs its types",
                             cure=f"Write {type(self).__name__}[{', '.join(self.parameters)}](...).")
        if isinstance(max_entries, bool) or not isinstance(max_entries, int) or not 0 < max_entries < 1 << 32:
            raise WrongType(f"max_entries is an integer from 1 to 4294967295, not {max_entries!r}")
        self.max_entries = max_entries
        self.flags = flags
        self.bindings: list[Binding] = []
        self._bound: Binding | None = None
        self._types: dict[str, CType] = {}

    def _argument(self, name: str) -> CType:
        found = self._types.get(name)
        if found is None:
            found = self._types[name] = ctype_of(self.arguments[self.parameters.index(name)], self.spaces)
        return found

    @property
    def key(self) -> CType | None:
        """The key's C type; None for maps without keys."""
        return self._argument("K") if "K" in self.parameters else None

    @property
    def value(self) -> CType | None:
        """The value's C type; None for maps without values."""
        return self._argument("V") if "V" in self.parameters else None

    @property
    def inner(self) -> MapDeclaration | None:
        """The shape of the maps inside, for maps of maps."""
        return None

    def numbers(self) -> dict[str, int]:
        """The numbers of the map's definition, by libbpf's names."""
        found = {"type": self.kind, "max_entries": self.max_entries}
        return {**found, "map_flags": self.flags} if self.flags else found

    # the session's side

    def bound(self, binding: Binding) -> Self:
        """The same map, answering for one session only."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._bound = binding
        return twin

    @property
    def handle(self) -> Any:
        """The LoadedMap of the session that holds it. SessionError when none or several do."""
        return self.binding.handle

    @property
    def lost(self) -> int:
        """How many stores found no room, counted in the kernel."""
        return self.binding.lost()

    @property
    def binding(self) -> Binding:
        """What the session that holds the map has of it; a map that no program names is made when first used."""
        if self._bound is not None:
            return self._bound
        if len(self.bindings) == 1:
            return self.bindings[0]
        if not self.bindings:
            if len(self.providers) == 1:
                return self.providers[0](self)
            raise SessionError(f"this {type(self).__name__} is in no session",
                               cure="Use it inside `with load(...)` or `with attach(...)`.")
        raise SessionError(f"two sessions hold this {type(self).__name__}", cure="Write session[name] to say which.")

    def __eq__(self, other: object) -> bool:
        """The same declaration; contents are compared by `dict(a.items()) == dict(b.items())`."""
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        names = [getattr(a, "__name__", None) or str(a) for a in self.arguments]
        shown = f"[{', '.join(names)}]" if names else ""
        return f"{type(self).__name__}{shown}(max_entries={self.max_entries})"
