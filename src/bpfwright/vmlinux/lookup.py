"""Finds one kernel type or kfunc by name: in the shipped stub file, else in the running kernel's BTF.

The stub file is the database. Its classes stand in order of their names, so a name is found by bisection in the mapped
file, and only that class is made; what it refers to is made when it is first looked at.
"""
from __future__ import annotations

import mmap
import os
import re

from bpfwright import types as _types
from bpfwright._typing import Any
from bpfwright.errors import BtfError, TargetError, UsageError
from bpfwright.types import KernelStruct
from bpfwright.types.ctype import ArrayType, BitsType, CharArray, Pointer, ctype_of

__all__ = ["find", "is_shipped"]

_BTF = "/sys/kernel/btf/vmlinux"
_ALIAS = "_t_"
_ALIASED = re.compile(rf"\b{_ALIAS}(?=\w)")
_made: dict[str, Any] = {}
_stub: mmap.mmap | None = None
_kernel: Any = None


def _text() -> mmap.mmap:
    global _stub
    if _stub is None:
        with open(os.path.join(os.path.dirname(__file__), "__init__.pyi"), "rb") as file:
            _stub = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _stub


def _class_at(name: str) -> int:
    """Where the line `class NAME(` begins, or -1."""
    text = _text()
    wanted = name.encode("utf-8", "surrogateescape")
    low, high = 0, text.rfind(b"\nclass ") + 1
    while low <= high:
        middle = text.find(b"\nclass ", (low + high) // 2 - 1 if low + high > 1 else 0, high + 7)
        if middle < 0:  # nothing begins in the upper half
            middle = text.rfind(b"\nclass ", max(low - 1, 0), (low + high) // 2 + 6)
            if middle < 0:
                return -1
        start = middle + 1
        found = text[start + 6:text.find(b"(", start)]
        if found == wanted:
            return start
        if found < wanted:
            low = start + 1
        elif (low + high) // 2 <= low:
            return -1
        else:
            high = min((low + high) // 2, start - 1)
    return -1


def _kfunc_at(name: str) -> int:
    text = _text()
    return text.find(f"\ndef {name}(".encode("utf-8", "surrogateescape"), text.rfind(b"\nclass ")) + 1


def is_shipped(name: str) -> bool:
    """Whether the stub file has this struct or kfunc."""
    return _class_at(name) >= 0 or _kfunc_at(name) > 0


class _Names(dict[str, Any]):
    """The names that the stub's annotations may use."""

    def __missing__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise KeyError(name)
        meant = name.removeprefix(_ALIAS)
        found = self[name] = self[meant] if meant in self else find(meant)
        return found


def _outside() -> None:
    raise UsageError("a kfunc is called inside a kernel program only")


_names = _Names({name: getattr(_types, name) for name in _types.__all__} | {"bool": bool, "_outside": _outside})


def find(name: str) -> Any:
    """The KernelStruct class, or the function for a kfunc, of this name; AttributeError when no kernel has it."""
    made = _made.get(name)
    if made is None:
        made = _made[name] = _make(name)
    return made


def _make(name: str) -> Any:
    text = _text()
    at = _class_at(name)
    if at >= 0:
        end = text.find(b"\n\n", at)
        return _make_class(text[at:end if end >= 0 else len(text)].decode())
    at = _kfunc_at(name)
    if at > 0:
        return _make_kfunc(text[at:text.find(b"\n", at)].decode())
    if name.startswith("_") or not name.isidentifier():
        raise AttributeError(f"module 'bpfwright.vmlinux' has no attribute {name!r}")
    return _from_kernel(name)


def _make_class(source: str) -> type[KernelStruct]:
    """The class that a piece of the stub file declares."""
    head, *lines = source.splitlines()
    name, _, arguments = head.removeprefix("class ").partition("(")
    fields: dict[str, Any] = {}
    for line in lines:
        field, _, annotation = line.strip().partition(": ")
        fields[field] = _field(annotation)
    body = {"__module__": "bpfwright.vmlinux", "__qualname__": name, "__annotations__": fields,
            "__doc__": f"The kernel's {'union' if 'union=' in arguments else 'struct'} {name}."}
    cls: type[KernelStruct] = type(name, (KernelStruct,), body, union="union=True" in arguments)
    cls.__own__ = fields
    cls.__spaces__ = (_names,)
    return cls


def _field(annotation: str) -> Any:
    """What an annotation means, as far as that needs no other class; its text otherwise."""
    if _ALIAS in annotation:
        annotation = _ALIASED.sub("", annotation)
    inner = annotation[annotation.find("[") + 1:-1]
    if annotation.startswith("ptr["):
        return Pointer(_plain(inner) or inner, (_names,))
    if annotation.startswith("char["):
        return CharArray(int(inner[2:-1]))
    if annotation.startswith("bits["):
        storage, _, width = inner.partition(", L[")
        return BitsType(_plain(storage), int(width[:-1]))
    if annotation.startswith("array["):
        element, _, length = inner.rpartition(", L[")
        known = _field(element)
        return annotation if isinstance(known, str) else ArrayType(known, int(length[:-1]))
    return _plain(annotation) or annotation


def _plain(name: str) -> Any:
    """The scalar of this name, or None."""
    if name in _names and name not in _made:
        return ctype_of(_names[name])
    return None


def _make_kfunc(source: str) -> Any:
    """A function with the declared parameters that stands for a kfunc in programs."""
    name = source.partition("(")[0].removeprefix("def ")
    space: dict[str, Any] = {}
    # The stub's own line; annotations stay text, and _names is where they are looked up.
    exec(f"from __future__ import annotations\n{source.removesuffix(' ...')}\n    _outside()", _names, space)
    function = space[name]
    function.__module__ = "bpfwright.vmlinux"
    function.__doc__ = f"The kernel's function {name}; programs call it."
    function.__kfunc__ = True
    return function


def _from_kernel(name: str) -> Any:
    """The class as the running kernel has it."""
    from bpfwright.formats.btf import Btf
    from bpfwright.vmlinux.writing import kfuncs_of, picture_of, render_record
    global _kernel
    try:
        if _kernel is None:
            _kernel = Btf.open(_BTF)
        record = picture_of(_kernel, [name])[name]
    except (BtfError, TargetError):
        functions = kfuncs_of(_kernel, frozenset()) if _kernel is not None else {}
        if name in functions:
            return _make_kfunc(f"{functions[name]} ...")
        raise AttributeError(f"module 'bpfwright.vmlinux' has no attribute {name!r}: neither the kernels that it was "
                             f"written from nor this one have such a struct or kfunc") from None
    return _make_class(render_record(name, record)[0])
