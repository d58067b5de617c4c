"""KernelStruct: a partial picture of a kernel type; CO-RE finds the fields on the kernel that runs."""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar
from bpfwright.errors import UsageError
from bpfwright.types.ctype import CType, caller_namespaces, ctype_of, defining_frame, own_annotations
from bpfwright.types.structs import Layout, lay_out

__all__ = ["KernelStruct"]


class KernelStruct:
    """A kernel type of which only the named fields are known here.

    `class task_rt(KernelStruct, type="task_struct")` draws another picture of the same kernel type. A program reads its
    fields with plain attribute access; a field that the running kernel lacks is a load-time error unless the program
    asks `exists(...)` first.
    """

    __kernel_name__: ClassVar[str] = ""
    __own__: ClassVar[dict[str, object]] = {}
    __spaces__: ClassVar[Any] = ()
    __laid_out__: ClassVar[Layout | None] = None
    __union__: ClassVar[bool] = False

    def __init_subclass__(cls, *, type: str | None = None, union: bool = False) -> None:
        cls.__kernel_name__ = type or cls.__name__
        mangled = f"_{cls.__name__.lstrip('_')}__"
        own = own_annotations(cls)
        cls.__own__ = {**cls.__own__, **{name.replace(mangled, "__", 1) if name.startswith(mangled) else name: text
                                         for name, text in own.items()}}
        cls.__spaces__ = caller_namespaces(defining_frame(1))
        cls.__laid_out__ = None
        cls.__union__ = union

    def __init__(self) -> None:
        raise UsageError(f"{type(self).__name__} is a kernel type: programs read it, nobody makes one")

    @classmethod
    def __layout__(cls) -> Layout:
        if cls.__laid_out__ is None:
            spaces = [{cls.__name__: cls}, *cls.__spaces__]
            members: list[tuple[str, CType]] = [(name, ctype_of(text, spaces)) for name, text in cls.__own__.items()]
            cls.__laid_out__ = lay_out(cls.__name__, members, False, 1, cls.__union__)
        return cls.__laid_out__
