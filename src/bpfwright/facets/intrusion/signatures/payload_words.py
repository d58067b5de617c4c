"""Keywords about the payload: contents and their modifiers, byte_test, byte_jump, isdataat, pcre."""
from __future__ import annotations

import re

from bpfwright._typing import Any, Callable
from bpfwright.facets.intrusion.signatures.expressions import FLAGS, compiled
from bpfwright.facets.intrusion.signatures.model import (
    ByteJump,
    ByteMath,
    ByteTest,
    Content,
    DataAt,
    Named,
    Pattern,
    Step,
)
from bpfwright.facets.intrusion.signatures.spans import Wrong

__all__ = ["ABOUT_CONTENTS", "PAYLOAD", "byte_extract", "byte_jump", "byte_math", "byte_test", "content",
           "content_bytes", "integer", "isdataat", "pcre", "unquoted"]

_HEX = frozenset("0123456789abcdefABCDEF")
_ESCAPED = frozenset('";:\\')
_MOST = 65535
_OPERATORS = ("<=", ">=", "!=", "<", ">", "=", "&", "^")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_BASES = {"hex": 16, "dec": 10, "oct": 8}


def integer(text: str, low: int, high: int, at: int = 0) -> int:
    """A number, decimal or 0x hexadecimal, within limits."""
    body = text.strip()
    try:
        value = int(body, 0) if body[:3].lower().lstrip("+-").startswith("0x") else int(body)
    except ValueError:
        raise Wrong(f"{body!r} is not a number", at) from None
    if not low <= value <= high:
        raise Wrong(f"{body} is not between {low} and {high}", at)
    return value


def unquoted(text: str) -> tuple[str, bool]:
    """A text in quotes without them, and whether `!` stands before it."""
    body = text.strip()
    negated = body.startswith("!")
    body = body[1:].strip() if negated else body
    if len(body) < 2 or body[0] != '"' or body[-1] != '"':
        raise Wrong("a text in quotes is meant here")
    return body[1:-1], negated


def content_bytes(text: str) -> bytes:
    """The bytes that a content's text stands for: |hex|, and \\ before quotes, semicolons, colons and itself."""
    found = bytearray()
    at = 0
    while at < len(text):
        letter = text[at]
        if letter == "|":
            end = text.find("|", at + 1)
            digits = "".join(text[at + 1:end].split()) if end > 0 else ""
            if end < 0 or not digits or len(digits) % 2 or not set(digits) <= _HEX:
                raise Wrong("between | and | stand pairs of hexadecimal digits", at + 1, "As in |0d 0a|.")
            found += bytes.fromhex(digits)
            at = end + 1
            continue
        if letter == "\\":
            at += 1
            if at >= len(text) or text[at] not in _ESCAPED:
                raise Wrong("\\ stands before \", ;, : or \\ only", at, "Write other bytes as |5c|.")
            letter = text[at]
        elif letter in '";':
            raise Wrong(f"{letter} needs \\ before it", at + 1)
        found += letter.encode("utf-8")
        at += 1
    if not found:
        raise Wrong("this content is empty")
    if len(found) > 255:
        raise Wrong(f"this content has {len(found)} bytes; 255 are the most")
    return bytes(found)


def content(steps: list[Step], text: str) -> None:
    """content:"bytes" or content:!"bytes"."""
    body, negated = unquoted(text)
    try:
        steps.append(Content(content_bytes(body), negated))
    except Wrong as wrong:
        raise Wrong(wrong.what, wrong.at + text.index('"'), wrong.cure) from None


def _changed(steps: list[Step], **changes: Any) -> None:
    last = next((at for at in range(len(steps) - 1, -1, -1) if isinstance(steps[at], Content)), -1)
    if last < 0:
        raise Wrong("there is no content before it that it could be about")
    before = steps[last]
    assert isinstance(before, Content)
    for name in changes:
        if getattr(before, name) not in (None, False):
            raise Wrong("the content before it has one already")
    steps[last] = before._replace(**changes)


def _flag(name: str) -> Callable[[list[Step], str], None]:
    return lambda steps, text: _changed(steps, **{name: True})


def _place(name: str, low: int) -> Callable[[list[Step], str], None]:
    def take(steps: list[Step], text: str) -> None:
        value, named = _value(steps, text, low, _MOST, name)
        _changed(steps, **{name: value})
        last = next(at for at in range(len(steps) - 1, -1, -1) if isinstance(steps[at], Content))
        step = steps[last]
        assert isinstance(step, Content)
        steps[last] = step._replace(named=step.named + named)

    return take


def _value(steps: list[Step], text: str, low: int, high: int, field: str) -> tuple[int, Named]:
    """A number, or the name of one that a step before gives."""
    name = text.strip()
    if not _NAME.fullmatch(name):
        return integer(text, low, high), ()
    if not any(isinstance(step, ByteMath) and step.name == name for step in steps):
        raise Wrong(f"no byte_extract or byte_math before it gives {name!r}, in the same buffer")
    return 0, ((field, name),)


def _fast(steps: list[Step], text: str) -> None:
    if text.strip() not in ("", "only") and not re.fullmatch(r"\d+,\d+", text.strip()):
        raise Wrong(f"{text.strip()!r} is no option of fast_pattern", cure="Write fast_pattern alone, or with only.")
    if any(isinstance(step, Content) and step.fast for step in steps):
        raise Wrong("another content is the fast pattern already")
    _changed(steps, fast=True)


def _raw(steps: list[Step], text: str) -> None:
    _changed(steps)


def isdataat(steps: list[Step], text: str) -> None:
    """isdataat:[!]N[,relative][,rawbytes]"""
    place, *options = [each.strip() for each in text.split(",")]
    if unknown := set(options) - {"relative", "rawbytes"}:
        raise Wrong(f"{min(unknown)!r} is no option of isdataat", cure="There are relative and rawbytes.")
    value, named = _value(steps, place.lstrip("!"), 0, _MOST, "place")
    steps.append(DataAt(value, place.startswith("!"), "relative" in options, named))


def byte_test(steps: list[Step], text: str) -> None:
    """byte_test:count,[!]operator,value,offset[,options]"""
    parts = [each.strip() for each in text.split(",")]
    if len(parts) < 4:
        raise Wrong("byte_test has a count, an operator, a value and an offset", cure="byte_test:4,>,1000,20;")
    count, compare, value, offset, *options = parts
    operator = compare.lstrip("!").strip() if compare != "!=" else "!="
    if operator not in _OPERATORS:
        raise Wrong(f"{compare!r} is no operator", cure=f"There are {' '.join(_OPERATORS)}.")
    given = _options(options, "byte_test", ())
    number, named = _value(steps, value, 0, (1 << 32) - 1, "value")
    place, places = _value(steps, offset, -_MOST, _MOST, "offset")
    steps.append(ByteTest(_count(count, given), compare.startswith("!") and compare != "!=", operator, number, place,
                          **given, named=named + places))


def byte_jump(steps: list[Step], text: str) -> None:
    """byte_jump:count,offset[,options]"""
    parts = [each.strip() for each in text.split(",")]
    if len(parts) < 2:
        raise Wrong("byte_jump has a count and an offset", cure="byte_jump:4,12,relative;")
    given = _options(parts[2:], "byte_jump", ("multiplier", "post_offset"))
    offset, named = _value(steps, parts[1], -_MOST, _MOST, "offset")
    steps.append(ByteJump(_count(parts[0], given), offset, **given, named=named))


def byte_extract(steps: list[Step], text: str) -> None:
    """byte_extract:count,offset,name[,options]"""
    parts = [each.strip() for each in text.split(",")]
    if len(parts) < 3 or not _NAME.fullmatch(parts[2]):
        raise Wrong("byte_extract has a count, an offset and a name", cure="byte_extract:2,0,length,relative;")
    given = _options([each for each in parts[3:] if each.partition(" ")[0] != "align"], "byte_extract", ("multiplier",))
    aligned = [each.partition(" ")[2] for each in parts[3:] if each.partition(" ")[0] == "align"]
    if aligned:
        given["align"] = integer(aligned[0], 2, 4)
    _name_once(steps, parts[2])
    steps.append(ByteMath(_count(parts[0], given), integer(parts[1], -_MOST, _MOST), parts[2], **given))


def byte_math(steps: list[Step], text: str) -> None:
    """byte_math:bytes N, offset N, oper +, rvalue N, result name[,options]"""
    words = dict(each.strip().partition(" ")[::2] for each in text.split(","))
    if missing := [word for word in ("bytes", "offset", "oper", "rvalue", "result") if not words.get(word, "").strip()]:
        raise Wrong(f"byte_math has no {missing[0]}", cure="byte_math:bytes 1, offset 0, oper +, rvalue 4, result sum;")
    count, offset, operator, operand, name = (words.pop(word).strip() for word in (
        "bytes", "offset", "oper", "rvalue", "result"))
    if operator not in ("+", "-", "*", "/", "<<", ">>"):
        raise Wrong(f"{operator!r} is no operator", cure="There are + - * / << >>.")
    if not _NAME.fullmatch(name):
        raise Wrong(f"{name!r} is no name")
    options = [word for word, value in words.items() if not value]
    options += [words["endian"]] if "endian" in words else []
    options += ["string", words["string"]] if words.get("string") else []
    options += [f"bitmask {words['bitmask']}"] if "bitmask" in words else []
    if unknown := [word for word, value in words.items() if value and word not in ("endian", "string", "bitmask")]:
        raise Wrong(f"{unknown[0]!r} is no option of byte_math here")
    given = _options(options, "byte_math", ())
    number, named = _value(steps, operand, 0, (1 << 32) - 1, "operand")
    _name_once(steps, name)
    steps.append(ByteMath(_count(count, given), integer(offset, -_MOST, _MOST), name, operator, number, **given,
                          named=named))


def _name_once(steps: list[Step], name: str) -> None:
    if any(isinstance(step, ByteMath) and step.name == name for step in steps):
        raise Wrong(f"{name!r} is the name of another number already")


def _count(text: str, given: dict[str, Any]) -> int:
    return integer(text, 0 if given.get("number_base") else 1, 23 if given.get("number_base") else 8)


def _options(words: list[str], keyword: str, more: tuple[str, ...]) -> dict[str, Any]:
    """The options that byte_test and byte_jump share, and those of byte_jump where `more` says so."""
    found: dict[str, Any] = {}
    text = False
    for word in words:
        name, _, value = word.partition(" ")
        if name == "relative":
            found["relative"] = True
        elif name in ("big", "little"):
            found["little"] = name == "little"
        elif name == "string":
            text = True
        elif name in _BASES:
            found["number_base"] = _BASES[name]
        elif name == "bitmask":
            found["mask"] = integer(value if value.lower().startswith("0x") else f"0x{value}", 1, (1 << 32) - 1)
        elif more and name == "multiplier":
            found["multiplier"] = integer(value, 1, _MOST)
        elif more and name == "post_offset":
            found["post"] = integer(value, -_MOST, _MOST)
        elif more and name == "align":
            found["align"] = True
        elif more and name in ("from_beginning", "from_end"):
            found["origin"] = name[5:]
        else:
            raise Wrong(f"{word!r} is no option of {keyword} here")
    if text != ("number_base" in found):
        raise Wrong("string and one of hex, dec, oct stand together")
    return found


def pcre(steps: list[Step], text: str) -> None:
    """pcre:"/expression/flags" """
    body, negated = unquoted(text)
    end = body.rfind("/")
    if not body.startswith("/") or end < 1:
        raise Wrong("an expression stands between slashes", cure='pcre:"/user\\s+root/i";')
    expression, letters = body[1:end], body[end + 1:]
    if unknown := set(letters) - set(f"{FLAGS}ARBO"):  # B: rawbytes; O: limits that are the engine's
        raise Wrong(f"{min(unknown)!r} is no flag of pcre that is known here", text.rindex("/") + 1,
                    f"There are {FLAGS}ARBO, and letters of buffers, one of them.")
    matcher = compiled(expression, "".join(letter for letter in letters if letter in FLAGS), anchored="A" in letters)
    steps.append(Pattern(body, matcher, negated, "R" in letters))


ABOUT_CONTENTS = ("nocase", "offset", "depth", "distance", "within", "startswith", "endswith", "fast_pattern",
                  "rawbytes")
"""Words about the content before them."""
PAYLOAD: dict[str, tuple[Callable[[list[Step], str], None], str, str]] = {
    "content": (content, "yes", "bytes, with |hex|, \\ before \" ; : \\, ! before the quotes"),
    "nocase": (_flag("nocase"), "no", "upper and lower case are the same"),
    "offset": (_place("offset", 0), "yes", "begins so far behind the payload's start at the earliest"),
    "depth": (_place("depth", 1), "yes", "lies in so many bytes from there"),
    "distance": (_place("distance", -_MOST), "yes", "begins so far behind the match before at the earliest"),
    "within": (_place("within", -_MOST), "yes", "lies in so many bytes from there"),
    "startswith": (_flag("starts"), "no", "begins the payload"),
    "endswith": (_flag("ends"), "no", "ends the payload"),
    "fast_pattern": (_fast, "maybe", "what the kernel looks for; also `only`, and a part N,M, which is taken whole"),
    "rawbytes": (_raw, "no", "what is done anyway"),
    "isdataat": (isdataat, "yes", "[!]N[,relative][,rawbytes]"),
    "byte_test": (byte_test, "yes", "count,[!]operator,value,offset, then relative, little, big, string, hex|dec|oct, "
                                    "bitmask M"),
    "byte_jump": (byte_jump, "yes", "count,offset and the same, multiplier N, align, from_beginning, from_end, "
                                    "post_offset N"),
    "byte_extract": (byte_extract, "yes", "count,offset,name, then relative, little, big, string, hex|dec|oct, "
                                          "bitmask M, multiplier N, align 2|4; the name may stand in offset, depth, "
                                          "distance, within, isdataat, byte_test, byte_jump, byte_math behind it"),
    "byte_math": (byte_math, "yes", "bytes N, offset N, oper +|-|*|/|<<|>>, rvalue N or a name, result name, then "
                                    "relative, endian little, string dec, bitmask M"),
    "pcre": (pcre, "yes", "/expression/ and i s m x A R B O, one of U I P Q H D M C S Y V W Z for a buffer, "
             "as far as the library `regex` means the same"),
}
