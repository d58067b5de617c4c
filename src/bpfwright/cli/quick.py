"""Plain command lines without argparse, whose import is a fifth of a cached start.

A verb declares its options once, to whatever has argparse's `add_argument`. What is plain (options by their full names,
values in words of their own or after `=`, positional words in a row) is read here; anything else, mistakes and --help
first of all, is argparse's: then `parse` gives None.
"""
from __future__ import annotations

from types import SimpleNamespace

from bpfwright._typing import TYPE_CHECKING, Any, Callable, cast

if TYPE_CHECKING:
    import argparse

__all__ = ["parse"]

_KNOWN = frozenset({"action", "choices", "const", "default", "dest", "help", "metavar", "nargs", "type"})
_LEAST = {None: 1, "?": 0, "*": 0, "+": 1}


class _Intricate(Exception):
    """What argparse has to read, or to say."""


class _Argument:
    """One option or positional argument."""

    __slots__ = ("action", "choices", "const", "default", "dest", "exclusive", "nargs", "type")

    def __init__(self, names: tuple[str, ...], declared: dict[str, Any], exclusive: object) -> None:
        if not _KNOWN.issuperset(declared):
            raise _Intricate
        self.action = declared.get("action", "store")
        self.nargs = declared.get("nargs")
        self.const = declared.get("const", True if self.action == "store_true" else None)
        self.type = declared.get("type")
        self.choices = declared.get("choices")
        self.exclusive = exclusive
        long = next((name for name in names if name.startswith("--")), names[0])
        self.dest = declared.get("dest") or long.lstrip("-").replace("-", "_")
        self.default = declared.get("default", False if self.action == "store_true" else None)
        if self.action not in ("store", "store_true", "store_const", "append") or self.nargs not in _LEAST or (
                self.type is not None and isinstance(self.default, str)):
            raise _Intricate

    @property
    def plain(self) -> bool:
        """Whether it is an option without a value."""
        return self.action in ("store_true", "store_const")

    def value(self, word: str) -> Any:
        try:
            value = word if self.type is None else self.type(word)
        except Exception:  # argparse says what is wrong
            raise _Intricate from None
        if self.choices is not None and value not in self.choices:
            raise _Intricate
        return value


class _Declared:
    """What a verb declares; a group of options is the same thing, with a name for those that exclude each other."""

    def __init__(self, options: dict[str, _Argument], positional: list[_Argument], exclusive: object = None) -> None:
        self.options = options
        self.positional = positional
        self._exclusive = exclusive

    def add_argument(self, *names: str, **declared: Any) -> None:
        made = _Argument(names, declared, self._exclusive)
        if names[0].startswith("-"):
            self.options.update(dict.fromkeys(names, made))
        else:
            self.positional.append(made)

    def add_argument_group(self, *words: str) -> _Declared:
        return _Declared(self.options, self.positional)

    def add_mutually_exclusive_group(self) -> _Declared:
        return _Declared(self.options, self.positional, object())


def parse(declare: Callable[[Any], None], words: list[str]) -> argparse.Namespace | None:
    """What the command line chooses, or None where argparse has to look."""
    declared = _Declared({}, [])
    try:
        declare(declared)
        return cast("argparse.Namespace", _chosen(declared, words))
    except (_Intricate, AttributeError, TypeError):
        return None


def _chosen(declared: _Declared, words: list[str]) -> SimpleNamespace:
    found: dict[str, Any] = {}
    for each in (*declared.options.values(), *declared.positional):
        found.setdefault(each.dest, each.default)
    taken: dict[object, _Argument] = {}
    row: list[str] = []
    at, row_end = 0, -1
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-") or word == "-":
            if row and row_end != at - 1:
                raise _Intricate  # two rows of positional words
            row.append(word)
            row_end = at
            continue
        at += _take(declared.options, word, words[at:at + 1], found, taken)
    _share_out(declared.positional, row, found)
    return SimpleNamespace(**found)


def _take(options: dict[str, _Argument], word: str, rest: list[str], found: dict[str, Any],
          taken: dict[object, _Argument]) -> int:
    """Note one option's value; how many of the words after it it took."""
    name, equals, given = word.partition("=") if word.startswith("--") else (word, "", "")
    option = options.get(name)
    if option is None or option.nargs in ("*", "+") or (equals and (option.plain or not given)):
        raise _Intricate
    if option.exclusive is not None and taken.setdefault(option.exclusive, option) is not option:
        raise _Intricate
    if option.plain:
        found[option.dest] = option.const
        return 0
    follows = bool(rest) and (not rest[0].startswith("-") or rest[0] == "-")
    if not equals and not follows:
        if option.nargs != "?":
            raise _Intricate
        found[option.dest] = option.const
        return 0
    value = option.value(given if equals else rest[0])
    found[option.dest] = [*(found[option.dest] or ()), value] if option.action == "append" else value
    return 0 if equals else 1


def _share_out(arguments: list[_Argument], row: list[str], found: dict[str, Any]) -> None:
    """Positional words to their arguments: each as much as it can get, the first ones first."""
    spare = len(row) - sum(_LEAST[each.nargs] for each in arguments)
    if spare < 0 or any(each.action != "store" for each in arguments):
        raise _Intricate
    for each in arguments:
        more = 0 if each.nargs is None else min(spare, 1) if each.nargs == "?" else spare
        spare -= more
        count = _LEAST[each.nargs] + more
        mine, row = row[:count], row[count:]
        if each.nargs in ("*", "+"):
            found[each.dest] = [each.value(word) for word in mine] if mine or each.default is None else each.default
        elif mine:
            found[each.dest] = each.value(mine[0])
    if row:
        raise _Intricate
