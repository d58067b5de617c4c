"""What is used of `typing` and `collections.abc`, without importing them: that costs 10 ms, a fifth of a cached start.

Type checkers see typing's own. At run time the stand-ins do what this package needs and no more: classes take `[...]`,
`NamedTuple` makes tuples with names. What users write with typing's own names works the same.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator as AsyncIterator,
        Callable as Callable,
        Collection as Collection,
        Generator as Generator,
        Iterable as Iterable,
        Iterator as Iterator,
        Mapping as Mapping,
        MutableMapping as MutableMapping,
        MutableSequence as MutableSequence,
        Sequence as Sequence,
    )
    from typing import (
        Any as Any,
        ClassVar as ClassVar,
        Concatenate as Concatenate,
        Generic as Generic,
        Literal as Literal,
        NamedTuple as NamedTuple,
        NoReturn as NoReturn,
        ParamSpec as ParamSpec,
        Protocol as Protocol,
        Self as Self,
        TextIO as TextIO,
        TypeVar as TypeVar,
        cast as cast,
        overload as overload,
    )
else:
    from _collections_abc import (  # loaded by site already
        AsyncIterator,
        Callable,
        Collection,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        MutableMapping,
        MutableSequence,
        Sequence,
    )

    class _Form:
        """Stands in annotations only; `Form[...]` is the form again."""

        def __getitem__(self, _):
            return self

        def __or__(self, _):
            return self

        __ror__ = __or__

    Any = ClassVar = Concatenate = NoReturn = Self = TextIO = _Form()

    class TypeVar(_Form):
        """A name for checkers."""

        def __init__(self, name, **_):
            self.__name__ = name

    class _Literal:
        """`Literal[16]` holds 16 in `__args__`, as typing's does."""

        def __init__(self, *values):
            self.__args__ = values

        def __getitem__(self, value):
            return _Literal(*value) if isinstance(value, tuple) else _Literal(value)

        def __eq__(self, other):
            return self.__args__ == getattr(other, "__args__", None)

        def __hash__(self):
            return hash(self.__args__)

        def __repr__(self):
            return f"L[{', '.join(map(repr, self.__args__))}]"

    Literal = _Literal()

    ParamSpec = TypeVar

    class Generic:
        """`Base[T]` is an alias of `Base` that keeps `T`."""

        __slots__ = ()
        __class_getitem__ = classmethod(type(list[int]))

    class Protocol(Generic):
        __slots__ = ()

    def overload(function):
        return function

    def cast(_, value):
        return value

    try:
        from _collections import _tuplegetter
    except ImportError:  # not CPython
        from operator import itemgetter

        def _tuplegetter(index, _):
            return property(itemgetter(index))

    class _Named(type):
        """Turns annotations into fields, and what stands behind `=` into their defaults."""

        def __new__(meta, name, bases, space):
            if bases == (tuple,):
                return super().__new__(meta, name, bases, space)
            fields = tuple(space.get("__annotations__", ()))
            defaults = {field: space.pop(field) for field in fields if field in space}
            for index, field in enumerate(fields):
                space[field] = _tuplegetter(index, None)
            space |= {"__slots__": (), "__match_args__": fields, "_fields": fields, "_field_defaults": defaults}
            return super().__new__(meta, name, bases, space)

    class NamedTuple(tuple, metaclass=_Named):
        """As typing's; a class is made in microseconds, because nothing is compiled for it."""

        __slots__ = ()
        _fields = ()

        def __new__(cls, *given, **named):
            if named or len(given) != len(cls._fields):
                given = cls._complete(given, named)
            return tuple.__new__(cls, given)

        @classmethod
        def _complete(cls, given, named):
            rest = cls._fields[len(given):]
            values = {**cls._field_defaults, **named}
            missing = [field for field in rest if field not in values]
            foreign = [field for field in named if field not in rest]
            if missing or foreign or len(given) > len(cls._fields):
                raise TypeError(f"{cls.__name__}({', '.join(cls._fields)}): got {len(given)} values"
                                + (f", missing {', '.join(missing)}" if missing else "")
                                + (f", not expected {', '.join(foreign)}" if foreign else ""))
            return (*given, *[values[field] for field in rest])

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **changed):
            return type(self)(**{**self._asdict(), **changed})

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            inside = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({inside})"

__all__ = ["TYPE_CHECKING", "Any", "AsyncIterator", "Callable", "ClassVar", "Collection", "Concatenate", "Generator",
           "Generic", "Iterable", "Iterator", "Literal", "Mapping", "MutableMapping", "MutableSequence",
           "NamedTuple", "NoReturn", "ParamSpec", "Protocol", "Self", "Sequence", "TextIO", "TypeVar",
           "cast", "overload"]
