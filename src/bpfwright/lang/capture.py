"""What programs reach outside of themselves: maps, shared structs, configs, constants, other functions.

One walk over code objects gives the names of the maps and everything that a cached object depends on, without
reading a syntax tree.
"""
from __future__ import annotations

from types import CodeType, FunctionType, ModuleType

from bpfwright import _cache
from bpfwright._typing import Any
from bpfwright.lang.scope import Scope
from bpfwright.lang.source import portable, source_of
from bpfwright.spec.map import MapDeclaration
from bpfwright.types import is_shared
from bpfwright.types.config import Config
from bpfwright.types.ctype import CType, is_int_enum
from bpfwright.types.structs import Struct

__all__ = ["Captures"]


class Captures:
    """`objects` are maps and shared structs in the order met, `names` what the user calls them (by id).

    With `anywhere`, files of this package have the same names in every installation of it, and so has the digest.
    """

    def __init__(self, functions: list[FunctionType], *, anywhere: bool = False) -> None:
        self.anywhere = anywhere
        self.objects: list[Any] = []
        self.names: dict[int, str] = {}
        self.configs: dict[type[Config], Config] = {}
        self._hash = _cache.hasher()
        self._seen: set[int] = set()
        self._keep: list[Any] = []
        for function in functions:
            self._function(function)

    def digest(self, *more: str) -> str:
        """A hash of everything that the object depends on."""
        final = self._hash.copy()
        for text in more:
            final.update(text.encode() + b"\0")
        digest: str = final.hexdigest()
        return digest

    def _note(self, *parts: object) -> None:
        self._hash.update("\x1f".join(map(str, parts)).encode("utf-8", "surrogateescape") + b"\n")

    def _function(self, function: FunctionType) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        source = source_of(function)
        self._note("function", function.__qualname__, portable(source.file) if self.anywhere else source.file,
                   source.first, source.text)
        scope = Scope(function)
        for name, annotation in function.__annotations__.items():
            self._annotation(name, annotation, scope)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._value("default", value, frozenset())
        names = _names(function.__code__)
        for name in [*scope.closure, *_globals(function.__code__)]:
            value = scope.closure.get(name, function.__globals__.get(name, self))
            if value is not self:
                self._value(name, value, frozenset(names))

    def _annotation(self, name: str, annotation: object, scope: Scope) -> None:
        if isinstance(annotation, str):
            self._note("annotation", name, annotation)
            try:
                annotation = scope.evaluate(annotation)
            except Exception:  # the checker says it with a caret
                return
        self._value(name, annotation, frozenset())

    def _value(self, name: str, value: Any, names: frozenset[str]) -> None:
        if isinstance(value, (bool, int, str, bytes, float, type(None))):
            self._note("constant", name, type(value).__name__, repr(value))
        elif isinstance(value, MapDeclaration):
            self._map(name, value)
        elif isinstance(value, Struct):
            self._struct(name, value)
        elif isinstance(value, Config):
            self.configs.setdefault(type(value), value)
            self._note("config", name, repr(value), [(n, t.name) for n, t in type(value).types().items()])
        elif isinstance(value, FunctionType):
            self._code(name, value)
        elif isinstance(value, ModuleType):
            self._module(name, value, names)
        elif isinstance(value, type):
            self._class(name, value)
        elif isinstance(value, tuple):
            for item in value:
                self._value(name, item, names)
        elif isinstance(value, CType):
            self._note("type", name, value.name, value.size)
        else:
            self._note("other", name, type(value).__module__, type(value).__qualname__)

    def _code(self, name: str, value: FunctionType) -> None:
        if value.__module__.startswith("bpfwright.") and hasattr(value, "__operation__"):
            self._note("helper", name, value.__qualname__)
        else:
            self._note("uses", name, getattr(value, "__subprogram__", False),
                       getattr(value, "__kfunc__", False), getattr(value, "__judged_alone__", False))
            self._function(value)

    def _module(self, name: str, value: ModuleType, names: frozenset[str]) -> None:
        self._note("module", name, value.__name__)
        if value.__name__.startswith("bpfwright"):
            return
        for attribute in sorted(names):
            if attribute in value.__dict__:
                self._value(f"{name}.{attribute}", value.__dict__[attribute], names)

    def _map(self, name: str, value: MapDeclaration) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self.objects.append(value)
        self.names[id(value)] = name.rpartition(".")[2]
        self._note("map", name, type(value).__name__, value.numbers())
        for ctype in (value.key, value.value):
            self._type(ctype)
        if value.inner is not None:
            self._map(f"{name}_inner", value.inner)

    def _type(self, ctype: CType | None) -> None:
        if ctype is None:
            return
        self._note("type", ctype.name, ctype.size)
        cls = getattr(ctype, "cls", None)
        if cls is not None:
            self._class(ctype.name, cls)
        element = getattr(ctype, "element", None)
        if element is not None:
            self._type(element)

    def _struct(self, name: str, value: Struct) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self.names[id(value)] = name.rpartition(".")[2]
        if is_shared(value):
            self.objects.append(value)
            self._note("shared", name, value.shared_memory.initial)  # type: ignore[attr-defined]
            self._class(name, type(value).__mro__[1])
        else:
            self._keep.append(value)
            self._note("struct", name, bytes(value))
            self._class(name, type(value))

    def _class(self, name: str, cls: type[Any]) -> None:
        if id(cls) in self._seen:
            return
        self._seen.add(id(cls))
        self._note("class", name, cls.__module__, cls.__qualname__)
        if is_int_enum(cls):
            self._note("members", [(m.name, m.value) for m in cls])
        elif hasattr(cls, "__event__"):
            self._note("event", cls.__event__, sorted((n, str(t)) for n, t in cls.__own__.items()))
        elif hasattr(cls, "__kernel_name__") or hasattr(cls, "__own__"):
            self._note("fields", getattr(cls, "__kernel_name__", ""), [(n, str(t)) for n, t in cls.__own__.items()],
                       getattr(cls, "__packed__", ""), getattr(cls, "__least_align__", ""))
            if not hasattr(cls, "__kernel_name__"):
                for field in cls.__layout__().fields.values():
                    self._type(field.type)


def _globals(code: CodeType) -> list[str]:
    """The names that a function and what is nested in it look up as globals. An attribute's name is no such: a field
    `packets` has nothing to do with a function `packets` of the module."""
    from opcode import opmap
    extended, load = opmap["EXTENDED_ARG"], opmap["LOAD_GLOBAL"]
    found: dict[str, None] = {}
    raw, more = code.co_code, 0
    for at in range(0, len(raw), 2):
        operation, argument = raw[at], raw[at + 1] | more
        more = argument << 8 if operation == extended else 0
        if operation == load:
            found[code.co_names[argument >> 1]] = None  # the lowest bit is about the stack
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found.update(dict.fromkeys(_globals(inner)))
    return list(found)


def _names(code: CodeType) -> list[str]:
    found = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _names(constant)
    return list(dict.fromkeys(found))
