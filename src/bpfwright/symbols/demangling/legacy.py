"""Rust's names until v0: a C++ nested name whose last part is a hash, with what C++ cannot say between dollar signs."""
from __future__ import annotations

__all__ = ["demangle_legacy"]

_SAID = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_HEX = frozenset("0123456789abcdef")


def demangle_legacy(name: str) -> str:
    """`_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE` is `core::fmt::Write::write_fmt`; empty for other names."""
    at = name.index("ZN") + 2
    parts: list[str] = []
    while at < len(name) and name[at] != "E":
        start = at
        while at < len(name) and "0" <= name[at] <= "9":
            at += 1
        if at == start or at - start > 4:
            return ""
        size = int(name[start:at])
        if not 0 < size <= len(name) - at:
            return ""
        parts.append(name[at:at + size])
        at += size
    if at >= len(name) or len(parts) < 2 or not _is_hash(parts.pop()):
        return ""
    behind = name[at + 1:].partition(".llvm.")[0]
    if behind and behind[0] != ".":
        return ""
    return "::".join(map(_plain, parts)) + behind


def _is_hash(part: str) -> bool:
    return len(part) == 17 and part[0] == "h" and _HEX.issuperset(part[1:])


def _plain(part: str) -> str:
    if part.startswith("_$"):
        part = part[1:]
    said: list[str] = []
    at = 0
    while at < len(part):
        if part.startswith("..", at):
            said.append("::")
            at += 2
        elif part[at] == "$":
            end = part.find("$", at + 1)
            meant = _meaning(part[at + 1:end]) if end > 0 else ""
            if not meant:  # what is unknown stays, and all behind it
                return "".join(said) + part[at:]
            said.append(meant)
            at = end + 1
        else:
            said.append(part[at])
            at += 1
    return "".join(said)


def _meaning(code: str) -> str:
    if code in _SAID:
        return _SAID[code]
    digits = code[1:]
    if code[:1] == "u" and 0 < len(digits) <= 6 and _HEX.issuperset(digits):
        value = int(digits, 16)
        if value < 0x110000 and not 0xD800 <= value < 0xE000 and chr(value).isprintable():
            return chr(value)
    return ""
