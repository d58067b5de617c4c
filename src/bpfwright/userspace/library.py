"""Stores and helpers as native code on a machine's memory, a file at a time: as programs and maps ask for them."""
from __future__ import annotations

from bpfwright._native import NativeCode, load_native
from bpfwright._typing import Any, Callable, Iterable
from bpfwright.userspace.stores import functions, native_name, native_object

__all__ = ["Library"]


class Library:
    """`arena` is the address of the memory. Names are those of userspace.stores.functions()."""

    def __init__(self, arena: int) -> None:
        self._arena = arena
        self._functions: dict[str, Any] = functions()
        self._loaded: dict[str, NativeCode] = {}

    def _code(self, name: str) -> NativeCode:
        file = self._functions[name].__module__
        found = self._loaded.get(file)
        if found is None:
            found = self._loaded[file] = load_native(native_object(file))
            found.set_word("arena", self._arena)
        return found

    def addresses(self, names: Iterable[str]) -> dict[str, int]:
        """Where the functions are, of those that it has."""
        return {name: self._code(name).address(native_name(self._functions[name])) for name in names
                if name in self._functions}

    def words(self, name: str, count: int) -> Callable[..., int]:
        """A function of `count` 64-bit words, to call from here."""
        return self._code(name).words(native_name(self._functions[name]), count)

    def close(self) -> None:
        """Unmap all of it."""
        for code in self._loaded.values():
            code.close()
        self._loaded.clear()
