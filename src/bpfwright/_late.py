"""Packages whose names are imported from their files when they are first asked for."""
from __future__ import annotations

import sys

from bpfwright._typing import Callable

__all__ = ["late"]


def late(package: str, files: dict[str, str], names: list[str], within: str = "") -> tuple[
        Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package: `files` says where each name stands, below `within` (the package
    itself), `names` are those that it shows. Type checkers see what it imports for them, and neither of the two.

        if not TYPE_CHECKING:
            __getattr__, __dir__ = late(__name__, _FILES, __all__)
    """
    space = sys.modules[package].__dict__
    below = within or package

    def find(name: str) -> object:
        file = files.get(name)
        if file is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module
        value: object = getattr(import_module(f"{below}.{file}"), name)
        space[name] = value
        return value

    return find, lambda: names
