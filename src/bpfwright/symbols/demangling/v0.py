"""Rust's v0 names (RFC 2603): a prefix grammar with references back into the name, its depth and length bounded."""
from __future__ import annotations

from bpfwright._typing import Callable

__all__ = ["demangle_v0"]

_DEEPEST = 200      # Python's own stack has a thousand frames; each of ours takes two or three
_LONGEST = 1 << 16  # characters that a name may become
_BASIC = {"a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize",
          "j": "usize", "l": "i32", "m": "u32", "n": "i128", "o": "u128", "s": "i16", "t": "u16", "u": "()",
          "v": "...", "x": "i64", "y": "u64", "z": "!", "p": "_"}
_DIGITS = {c: i for i, c in enumerate("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")}
_PUNYCODE_MOST = 1024


def demangle_v0(name: str) -> str:
    """`_RNvNtCs1234_7mycrate3foo3bar` is `mycrate::foo::bar`; empty when it is no v0 name."""
    text = name[name.index("R") + 1:]
    text, dot, behind = text.partition(".")
    if not text[:1].isupper() or not text.isascii():
        return ""
    reader = _Reader(text)
    try:
        reader.path(True)
        said = "".join(reader.out)
        if reader.at < len(text):  # the crate that instantiated it: part of the name, nothing to say
            if not text[reader.at].isupper():
                return ""
            reader.path(False)
        if reader.at < len(text):
            return ""
    except (_Unreadable, IndexError, ValueError, OverflowError):
        return ""
    return said + (dot + behind.partition("llvm.")[0]).rstrip(".")


class _Unreadable(Exception):
    """It is no v0 name."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.bound = 0  # lifetimes that the binders around have
        self.out: list[str] = []
        self.length = 0

    # pieces of the text

    def peek(self) -> str:
        return self.text[self.at:self.at + 1]

    def next(self) -> str:
        self.at += 1
        return self.text[self.at - 1]

    def eat(self, wanted: str) -> bool:
        if self.peek() != wanted:
            return False
        self.at += 1
        return True

    def say(self, text: str) -> None:
        self.length += len(text)
        if self.length > _LONGEST:
            raise _Unreadable
        self.out.append(text)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Unreadable

    def number(self) -> int:
        """A base-62 number, `_` for 0 and one less for the others."""
        if self.eat("_"):
            return 0
        value = 0
        while not self.eat("_"):
            value = value * 62 + _digit(self.next())
            if value > 1 << 64:
                raise _Unreadable
        return value + 1

    def optional(self, tag: str) -> int:
        return self.number() + 1 if self.eat(tag) else 0

    def identifier(self) -> tuple[int, str]:
        """The number that tells it from others, and its name."""
        return self.optional("s"), self.bare()

    def bare(self) -> str:
        encoded = self.eat("u")
        start = self.at
        if not self.eat("0"):
            while self.peek().isdigit():
                self.at += 1
        if start == self.at or self.at - start > 5:
            raise _Unreadable
        size = int(self.text[start:self.at])
        self.eat("_")
        if self.at + size > len(self.text):
            raise _Unreadable
        self.at += size
        name = self.text[self.at - size:self.at]
        return _punycode(name) if encoded else name

    def back(self, again: Callable[[], None]) -> None:
        """What stands at an earlier place, read once more."""
        here = self.at - 1
        there = self.number()
        if there >= here:
            raise _Unreadable
        kept, self.at = self.at, there
        again()
        self.at = kept

    def several(self, one: Callable[[], None], between: str = ", ") -> int:
        count = 0
        while not self.eat("E"):
            if count:
                self.say(between)
            one()
            count += 1
        return count

    # the grammar

    def path(self, value: bool) -> None:
        self.deeper()
        tag = self.next()
        if tag == "C":
            self.say(self.identifier()[1])
        elif tag == "N":
            self.nested(value)
        elif tag in "MX":
            self.optional("s")
            kept, self.out, length = self.out, [], self.length  # where the impl stands says nothing to a reader
            self.path(False)
            self.out, self.length = kept, length
            self.implemented(tag == "X")
        elif tag == "Y":
            self.implemented(True)
        elif tag == "I":
            self.path(value)
            self.say("::<" if value else "<")
            self.several(self.argument)
            self.say(">")
        elif tag == "B":
            self.back(lambda: self.path(value))
        else:
            raise _Unreadable
        self.depth -= 1

    def nested(self, value: bool) -> None:
        space = self.next()
        if not space.isalpha():
            raise _Unreadable
        self.path(value)
        number, name = self.identifier()
        if space.isupper():
            kind = {"C": "closure", "S": "shim"}.get(space, space)
            self.say(f"::{{{kind}{':' if name else ''}{name}#{number}}}")
        elif name:
            self.say(f"::{name}")

    def implemented(self, trait: bool) -> None:
        self.say("<")
        self.type()
        if trait:
            self.say(" as ")
            self.path(False)
        self.say(">")

    def argument(self) -> None:
        if self.eat("L"):
            self.lifetime(self.number())
        elif self.eat("K"):
            self.constant(False)
        else:
            self.type()

    def lifetime(self, index: int) -> None:
        if index == 0:
            self.say("'_")
            return
        place = self.bound - index
        if place < 0:
            raise _Unreadable
        self.say(f"'{chr(97 + place)}" if place < 26 else f"'_{place}")

    def binder(self, inside: Callable[[], None]) -> None:
        count = self.optional("G")
        if count > 64:
            raise _Unreadable
        if count:
            self.say("for<")
            for place in range(count):
                self.say(", " if place else "")
                self.bound += 1
                self.lifetime(1)
            self.say("> ")
        inside()
        self.bound -= count

    def type(self) -> None:
        self.deeper()
        tag = self.peek()
        if tag in _BASIC and tag:
            self.at += 1
            self.say(_BASIC[tag])
        elif tag and tag in "ASTRQPOFDB":
            self.at += 1
            self.compound(tag)
        else:
            self.path(False)
        self.depth -= 1

    def compound(self, tag: str) -> None:
        if tag in "AS":
            self.say("[")
            self.type()
            if tag == "A":
                self.say("; ")
                self.constant(True)
            self.say("]")
        elif tag == "T":
            self.say("(")
            self.say(",)" if self.several(self.type) == 1 else ")")
        elif tag in "RQ":
            self.say("&")
            if self.eat("L"):
                index = self.number()
                if index:
                    self.lifetime(index)
                    self.say(" ")
            self.say("mut " if tag == "Q" else "")
            self.type()
        elif tag in "PO":
            self.say("*const " if tag == "P" else "*mut ")
            self.type()
        elif tag == "F":
            self.binder(self.function)
        elif tag == "D":
            self.say("dyn ")
            self.binder(self.traits)
            if not self.eat("L"):
                raise _Unreadable
            index = self.number()
            if index:
                self.say(" + ")
                self.lifetime(index)
        else:
            self.back(self.type)

    def function(self) -> None:
        self.say("unsafe " if self.eat("U") else "")
        if self.eat("K"):
            abi = "C" if self.eat("C") else self.bare().replace("_", "-")
            self.say(f'extern "{abi}" ')
        self.say("fn(")
        self.several(self.type)
        self.say(")")
        if not self.eat("u"):
            self.say(" -> ")
            self.type()

    def traits(self) -> None:
        self.several(self.dynamic, " + ")

    def dynamic(self) -> None:
        """A trait, with the types that its associated ones are bound to in the same angle brackets."""
        opened = self.open_path()
        while self.eat("p"):
            self.say(", " if opened else "<")
            opened = True
            self.say(f"{self.bare()} = ")
            self.type()
        self.say(">" if opened else "")

    def open_path(self) -> bool:
        """A path whose last angle bracket is left open, if it has one."""
        self.deeper()
        opened = False
        if self.eat("B"):
            def again() -> None:
                nonlocal opened
                opened = self.open_path()
            self.back(again)
        elif self.eat("I"):
            self.path(False)
            self.say("<")
            self.several(self.argument)
            opened = True
        else:
            self.path(False)
        self.depth -= 1
        return opened

    def constant(self, whole: bool) -> None:
        """A constant; `whole` where it stands alone, so that it needs no braces."""
        self.deeper()
        tag = self.next()
        if tag == "p":
            self.say("_")
        elif tag == "B":
            self.back(lambda: self.constant(whole))
        elif tag in "hmtyoj":
            self.say(_integer(self.hex()))
        elif tag in "aslxni":
            self.say("-" if self.eat("n") else "")
            self.say(_integer(self.hex()))
        elif tag == "b":
            self.say({"0": "false", "1": "true"}.get(self.hex().lstrip("0") or "0") or _fail())
        elif tag == "c":
            self.say(_quoted(chr(int(self.hex() or "0", 16)), "'"))
        else:
            self.expression(tag, whole)
        self.depth -= 1

    def expression(self, tag: str, whole: bool) -> None:
        """What is no plain number: in braces unless it stands alone, as Rust wants it."""
        if tag == "R" and self.peek() == "e":
            self.at += 1
            self.say(_quoted(self.string(), '"'))
            return
        self.say("" if whole else "{")
        if tag == "e":
            self.say("*" + _quoted(self.string(), '"'))
        elif tag in "RQ":
            self.say("&" if tag == "R" else "&mut ")
            self.constant(True)
        elif tag == "A":
            self.say("[")
            self.several(lambda: self.constant(True))
            self.say("]")
        elif tag == "T":
            self.say("(")
            self.say(",)" if self.several(lambda: self.constant(True)) == 1 else ")")
        elif tag == "V":
            self.path(True)
            kind = self.next()
            if kind == "T":
                self.say("(")
                self.several(lambda: self.constant(True))
                self.say(")")
            elif kind == "S":
                self.say(" { ")
                self.several(self.member)
                self.say(" }")
            elif kind != "U":
                raise _Unreadable
        else:
            raise _Unreadable
        self.say("" if whole else "}")

    def member(self) -> None:
        self.say(f"{self.identifier()[1]}: ")
        self.constant(True)

    def hex(self) -> str:
        end = self.text.index("_", self.at)
        digits = self.text[self.at:end]
        if not all(c in "0123456789abcdef" for c in digits):
            raise _Unreadable
        self.at = end + 1
        return digits

    def string(self) -> str:
        return bytes.fromhex(self.hex()).decode("utf-8")


def _fail() -> str:
    raise _Unreadable


def _digit(c: str) -> int:
    if c not in _DIGITS:
        raise _Unreadable
    return _DIGITS[c]


def _integer(digits: str) -> str:
    digits = digits.lstrip("0")
    return f"0x{digits}" if len(digits) > 16 else str(int(digits or "0", 16))


def _quoted(text: str, mark: str) -> str:
    said = []
    for c in text:
        if c in (mark, "\\"):
            said.append("\\" + c)
        elif c in "\t\r\n\0":
            said.append({"\t": "\\t", "\r": "\\r", "\n": "\\n", "\0": "\\0"}[c])
        else:
            said.append(c if c.isprintable() else f"\\u{{{ord(c):x}}}")
    return mark + "".join(said) + mark


def _punycode(name: str) -> str:
    """RFC 3492, with `_` for the delimiter. Names with non-ASCII letters."""
    if len(name) > _PUNYCODE_MOST:
        raise _Unreadable
    plain, mark, rest = name.rpartition("_")
    try:
        return (f"{plain}-{rest}" if mark and plain else rest).encode("ascii").decode("punycode")
    except UnicodeError:
        raise _Unreadable from None
