"""A function's source text, without `inspect`: the lines, where they start, and carets into them."""
from __future__ import annotations

import os
from types import CodeType, FunctionType

from bpfwright._typing import TYPE_CHECKING, NoReturn, Protocol
from bpfwright.errors import CompileError

if TYPE_CHECKING:
    import ast

__all__ = ["Place", "Source", "here", "portable", "source_of"]

_TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_PACKAGE = "bpfwright/"


class Place(Protocol):
    """Anything with a span."""

    line: int
    column: int
    end_column: int


class Source:
    """The text of one function: `file`, `first` line (from 1), its lines, and how far they are indented."""

    __slots__ = ("file", "first", "lines")

    def __init__(self, file: str, first: int, lines: list[str]) -> None:
        self.file = file
        self.first = first
        self.lines = lines

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def line(self, number: int) -> str:
        index = number - self.first
        return self.lines[index].rstrip("\n") if 0 <= index < len(self.lines) else ""

    def refuse(self, place: Place, what: str, cure: str = "") -> NoReturn:
        """Raise the CompileError that points at `place`."""
        raise CompileError(what, file=self.file, line=place.line, column=place.column, end_column=place.end_column,
                           source=self.line(place.line), cure=cure)

    def tree(self) -> ast.FunctionDef:
        """Python's own tree of the function; line numbers are the file's."""
        import ast  # what is cached is never parsed
        indented = self.lines[0][:1] in " \t"
        text = ("if True:\n" if indented else "") + self.text
        try:
            module = ast.parse(text)
        except SyntaxError as error:
            raise CompileError(f"the source of the function cannot be read again: {error.msg}", file=self.file,
                               line=self.first) from None
        ast.increment_lineno(module, self.first - 1 - indented)
        body = module.body[0].body if indented and isinstance(module.body[0], ast.If) else module.body
        for node in body:
            if isinstance(node, ast.FunctionDef):
                return node
        if body and isinstance(body[0], ast.AsyncFunctionDef):
            raise CompileError("a kernel program cannot be async", file=self.file, line=self.first,
                               cure="Write a plain `def`.")
        raise CompileError("not a function defined with `def`", file=self.file, line=self.first,
                           source=self.line(self.first), cure="A lambda has no statements: write a `def`.")


def portable(path: str) -> str:
    """A file of this package by a name that is the same wherever the package is installed; others as they are."""
    inside = path.removeprefix(_TOP).replace(os.sep, "/")
    return inside if path.startswith(_TOP) and inside.startswith(_PACKAGE) else path


def here(name: str) -> str:
    """Where the file of a portable name is in this installation."""
    return _TOP + name.replace("/", os.sep) if name.startswith(_PACKAGE) else name


def source_of(function: FunctionType) -> Source:
    """The function's source; CompileError when there is none to read."""
    code = function.__code__
    lines = _lines_of(code.co_filename, function.__globals__)
    first = code.co_firstlineno
    if not lines or first > len(lines):
        raise CompileError(f"the source of {function.__qualname__} is not at hand", file=code.co_filename, line=first,
                           cure="Define it in a file, a notebook cell or with linecache filled in.")
    return Source(code.co_filename, first, _block(lines, first - 1, _last_line(code) - 1))


def _lines_of(path: str, namespace: dict[str, object]) -> list[str]:
    """The file's lines as they are now; what is no plain UTF-8 file is left to `linecache`, which loads `re`."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.readlines()
    except (OSError, ValueError):
        lines = []
    if lines and not any("coding" in line for line in lines[:2]):
        return lines
    import linecache
    linecache.checkcache(path)
    return linecache.getlines(path, namespace)


def _last_line(code: CodeType) -> int:
    last = max((line for _, _, line in code.co_lines() if line), default=code.co_firstlineno)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            last = max(last, _last_line(constant))
    return last


def _block(lines: list[str], start: int, last: int) -> list[str]:
    """From the decorator or `def` to the block's end: the next line that is indented no deeper, after `last`."""
    indent = len(lines[start]) - len(lines[start].lstrip())
    end = last + 1
    depth = 0
    for index in range(last, len(lines)):
        text = lines[index]
        if index > last and depth <= 0 and text.strip() and len(text) - len(text.lstrip()) <= indent \
                and text.lstrip()[0] not in ")]}#":
            break
        end = index + 1
        if index == last:
            depth = 0
    while end > last + 1 and not lines[end - 1].strip():
        end -= 1
    return lines[start:end]
