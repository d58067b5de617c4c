"""Config: values that are set before load and constant for the verifier, so that dead branches vanish."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar
from bpfwright.errors import UsageError, WrongType
from bpfwright.types.ctype import CType, caller_namespaces, ctype_of, defining_frame, own_annotations

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:
    def dataclass_transform(**_: object):
        return lambda cls: cls

__all__ = ["Config"]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Config:
    """Options of a program: every member has a default; an instance is frozen.

    An instance that a program names is its default; `attach(..., config=Limits(per_second=10))` replaces it by type.
    """

    __members__: ClassVar[dict[str, object]] = {}
    __defaults__: ClassVar[dict[str, Any]] = {}
    __spaces__: ClassVar[list[dict[str, Any]]] = []

    def __init_subclass__(cls) -> None:
        own = own_annotations(cls)
        missing = [name for name in own if name not in cls.__dict__]
        if missing:
            raise UsageError(f"{cls.__name__}.{missing[0]} has no default", cure="Write `per_second: u64 = 1000`.")
        cls.__members__ = {**cls.__members__, **own}
        cls.__defaults__ = {**cls.__defaults__, **{name: cls.__dict__[name] for name in own}}
        cls.__spaces__ = caller_namespaces(defining_frame(1))

    def __init__(self, **values: Any) -> None:
        types = self.types()
        for name in values:
            if name not in types:
                raise WrongType(f"{type(self).__name__} has no member {name!r}")
        for name, ctype in types.items():
            value = values.get(name, self.__defaults__[name])
            ctype.to_bytes(value)
            object.__setattr__(self, name, value)

    @classmethod
    def types(cls) -> dict[str, CType]:
        """The members' types by name."""
        return {name: ctype_of(text, cls.__spaces__) for name, text in cls.__members__.items()}

    def __setattr__(self, name: str, value: object) -> None:
        kind = type(self).__name__
        raise WrongType(f"{kind} is frozen", cure=f"Make another: {kind}({name}={value!r}).")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__.items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in self.__dict__.items())})"
