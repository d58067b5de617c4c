"""Expressions of `pcre`: by the library `regex`, which stops where Python's `re` would go on without end."""
from __future__ import annotations

import re

from bpfwright._typing import Any
from bpfwright.facets.intrusion.signatures.spans import Wrong

__all__ = ["FLAGS", "compiled"]

FLAGS = "ismx"
# What PCRE has and the library has not, or with another meaning: \m and \M, reverse and fuzzy matching, flags that are
# of the whole expression wherever they stand.
_OTHERS = re.compile(r"\\[KRXCGhHvVNQEUpPkgozclLuiImMyYeJ]|\\x\{|\(\?[|&+\-0-9RC]|\(\?P>|\(\*|\{,\d")
_FLAGGED = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]*))?([:)])")
_ESCAPES = re.compile(r"\\[^A-Za-z0-9]")
_BRACES = re.compile(r"(\\.)|\{(?!\d+(?:,\d*)?\})", re.DOTALL)  # no count: themselves, where the library sees more
_ENDS = re.compile(r"(\\[^zZ])|(\\[zZ])", re.DOTALL)
_BACK = re.compile(r"(\\[^g])|\\g(?:(\d+)|\{(\d+)\})")  # a group again, by its number
_BY_LETTER = {"i": "IGNORECASE", "s": "DOTALL", "m": "MULTILINE", "x": "VERBOSE"}


def compiled(expression: str, letters: str, *, anchored: bool) -> Any:
    """The matcher of an expression on bytes. Wrong for what is not known, or means something else."""
    library = _library()
    expression = _BACK.sub(lambda found: found[1] or rf"(?:\{found[2] or found[3]})", expression)
    plain = _ESCAPES.sub("  ", expression)
    if found := _OTHERS.search(plain.replace(r"\z", "  ")):
        raise Wrong(f"{found[0]!r} in an expression is not known here", cure="Write it by other means.")
    _sense_of_flags(plain)
    if not expression.isascii():
        raise Wrong("an expression is ASCII", cure="Write other bytes as \\xNN.")
    text = _BRACES.sub(lambda found: found[1] or r"\{", expression)
    text = _ENDS.sub(lambda found: found[1] or (r"\Z" if found[2] == r"\z" else r"(?=\n?\Z)"), text)
    flags = library.V0
    for letter in letters:
        flags |= getattr(library, _BY_LETTER[letter])
    try:
        # Behind a verbose expression's last comment stands nothing on the same line.
        return library.compile((rf"\A(?:{text}{chr(10) if 'x' in letters else ''})" if anchored else text).encode(),
                               flags)
    except (library.error, OverflowError, RecursionError, ValueError) as error:
        raise Wrong(f"this expression is not understood: {error}") from None


def _library() -> Any:
    try:
        import regex
    except ImportError:
        raise Wrong("expressions need the library regex, which stops those that would go on without end",
                    cure="pip install 'bpfwright[signatures]', or `unsupported: skip`.") from None
    return regex


def _sense_of_flags(plain: str) -> None:
    for found in _FLAGGED.finditer(plain):
        on, off, end = found[1], found[2] or "", found[3]
        if not on and found[2] is None:
            continue
        if set(on + off) - set(FLAGS) or (end == ")" and (found.start() or off)):
            raise Wrong(f"{found[0]!r} in an expression is not known here",
                        cure="Flags stand behind the last slash, at the beginning, or as (?i:...).")
