"""C that stands in a script: structs, unions, enums, typedefs, constants, and the preprocessor's conditions.

Layouts follow the C ABI of 64-bit Linux. Headers are not compiled: of an `#include`, only `#define`s of numbers are
taken, where the file is there; the kernel's types come from BTF.
"""
from __future__ import annotations

import os
import re

from bpfwright._typing import Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.layouts import Member, Source
from bpfwright.facets.trace.text import Mistakes, Note
from bpfwright.facets.trace.types import (Array, Boolean, Chars, Enumeration, Integer, Nothing, Pointer, Struct, Text,
                                          Type, padded)

__all__ = ["Definitions", "definitions"]

_TOKEN = re.compile(r"\s+|//[^\n]*|/\*.*?\*/"
                    r"|([A-Za-z_]\w*|0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*|<<|>>|&&|\|\||[<>=!]="
                    r"|[{}\[\]();:,*=+\-|~/%&^<>!])", re.S)
_BINDS = {"||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7, "<<": 8,
          ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10}
_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "||": lambda a, b: int(bool(a or b)), "&&": lambda a, b: int(bool(a and b)), "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b, "&": lambda a, b: a & b, "==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b), ">": lambda a, b: int(a > b), "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b), "<<": lambda a, b: a << (b & 63), ">>": lambda a, b: a >> (b & 63),
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: int(a / b) if abs(a) < 1 << 53 else a // b, "%": lambda a, b: a - b * int(a / b)}
_DEEPEST = 64
_WORDS: dict[tuple[str, ...], Type] = {}
for _names, _size, _signed in ((("char",), 1, True), (("short",), 2, True), (("int",), 4, True), (("long",), 8, True),
                               (("long", "long"), 8, True)):
    for _sign in ((), ("signed",), ("unsigned",)):
        for _int in ((), ("int",)):
            if _int and _names in (("char",), ("int",)):
                continue
            _WORDS[tuple(sorted((*_sign, *_names, *_int)))] = Integer(_size, _sign != ("unsigned",))
_WORDS[("unsigned",)], _WORDS[("signed",)] = Integer(4, False), Integer(4, True)
_WORDS[("_Bool",)] = _WORDS[("bool",)] = Boolean()
_WORDS[("void",)] = Nothing()
_BASIC = frozenset(word for words in _WORDS for word in words)
_STANDARD = {f"{'u' * (not signed)}int{bits}_t": Integer(bits // 8, signed) for bits in (8, 16, 32, 64)
             for signed in (True, False)}
_STANDARD |= {f"{'u' if not signed else 's'}{bits}": Integer(bits // 8, signed) for bits in (8, 16, 32, 64)
              for signed in (True, False)}
_STANDARD |= {f"__{name}": type for name, type in list(_STANDARD.items())}
_STANDARD |= {f"{'u' * (not signed)}int{bits}": Integer(bits // 8, signed) for bits in (8, 16, 32, 64)
              for signed in (True, False)}
_STANDARD |= {"size_t": Integer(8, False), "ssize_t": Integer(8, True), "pid_t": Integer(4, True),
              "uid_t": Integer(4, False), "gid_t": Integer(4, False), "uintptr_t": Integer(8, False),
              "intptr_t": Integer(8, True), "off_t": Integer(8, True), "time_t": Integer(8, True),
              "__be16": Integer(2, False), "__be32": Integer(4, False), "__be64": Integer(8, False)}
_IGNORED = frozenset(("const", "volatile", "restrict", "__user", "__kernel", "extern", "static", "inline",
                      "__restrict"))
_KNOWN_MACROS = frozenset(("BPFTRACE_HAVE_BTF", "__BPFTRACE__", "__bpf__", "__linux__", "__x86_64__"))
_FOLDERS = ("/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu")
_MOST_FILES = 200


def definitions(program: tree.Program, kernel: Source, include: tuple[str, ...] = (),
                headers: tuple[str, ...] = ()) -> Definitions:
    """What the script defines, and `headers` before it. Names that it only uses are looked up in the kernel's types.
    Mistakes for C that cannot be read."""
    made = Definitions(kernel, include)
    for header in headers:
        made.take_header(header)
    mistakes: list[Note] = []
    for node in program.definitions:
        try:
            made.take(node)
        except _Unread as problem:
            mistakes.append(Note(node.span, problem.what, problem.cure))
    if mistakes:
        raise Mistakes(mistakes)
    return made


class _Unread(Exception):
    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure


class Definitions:
    """A Source of the script's own types; `constants` are its `#define`s and those of the headers that it names, whose
    paths are `asked`, there or not."""

    def __init__(self, kernel: Source, include: tuple[str, ...] = ()) -> None:
        self.kernel = kernel
        self.folders = (*include, *_FOLDERS)
        self.types: dict[tuple[str, str], Type] = {}
        self.listed: dict[tuple[str, str], list[Member]] = {}
        self.enumerators: dict[str, tuple[int, Type]] = {}
        self.constants: dict[str, str] = {}
        self.anonymous = 0
        self._active: list[tuple[bool, bool]] = []
        self._seen: set[str] = set()
        self.asked: list[str] = []

    # a Source

    def named(self, keyword: str, name: str) -> Type | None:
        return self.types.get((keyword, name))

    def members(self, struct: Struct) -> list[Member]:
        return self.listed.get((struct.keyword, struct.name), [])

    def enumerator(self, name: str) -> tuple[int, Type] | None:
        return self.enumerators.get(name)

    # reading

    def take(self, node: tree.Definition) -> None:
        """One definition, or one line of the preprocessor."""
        text = node.text.strip()
        if text.startswith("#"):
            self._line(text[1:].strip())
        elif all(taken for taken, _ in self._active):
            _Reader(self, text).definition()

    def _line(self, text: str) -> None:
        word, _, rest = text.replace("\\\n", " ").partition(" ")
        match = re.match(r"[a-z]+", text)
        word = match.group(0) if match else ""
        rest = text[len(word):].strip()
        if word in ("ifdef", "ifndef"):
            defined = rest.split()[0] in self.constants or rest.split()[0] in _KNOWN_MACROS if rest else False
            taken = defined == (word == "ifdef")
            self._active.append((taken, taken))
        elif word == "if":
            taken = self._holds(rest)
            self._active.append((taken, taken))
        elif word in ("elif", "else"):
            if not self._active:
                raise _Unread(f"`#{word}` without `#if`")
            _, before = self._active.pop()
            taken = not before and (word == "else" or self._holds(rest))
            self._active.append((taken, before or taken))
        elif word == "endif":
            if not self._active:
                raise _Unread("`#endif` without `#if`")
            self._active.pop()
        elif all(taken for taken, _ in self._active):
            self._directive(word, rest)

    def _directive(self, word: str, rest: str) -> None:
        if word == "define":
            found = re.match(r"([A-Za-z_]\w*)(\()?", rest)
            if found is None:
                raise _Unread("`#define` of nothing", "Write `#define NAME value`.")
            if found.group(2):
                raise _Unread(f"`{found.group(1)}` is a macro of C", "Write `macro name(x) { ... }`.")
            self.constants[found.group(1)] = _without_comments(rest[found.end():])
        elif word == "undef":
            self.constants.pop(rest.strip(), None)
        elif word == "include":
            self.take_header(rest.strip().strip('<>"'))

    def _holds(self, condition: str) -> bool:
        """A condition of defined(...), constants, numbers and operators; names that are not known are 0."""
        text = re.sub(r"\bdefined\s*\(?\s*(\w+)\s*\)?",
                      lambda m: "1" if m.group(1) in self.constants or m.group(1) in _KNOWN_MACROS else "0", condition)
        text = re.sub(r"\bKERNEL_VERSION\s*\(\s*(\d{1,4})\s*,\s*(\d{1,4})\s*,\s*(\d{1,4})\s*\)", _version_code, text)
        text = re.sub(r"\bLINUX_VERSION_CODE\b", lambda m: _version_code(re.match(r"(\d+)\.(\d+)(?:\.(\d+))?",
                                                                              os.uname().release)), text)
        try:
            reader = _Reader(self, text, lenient=True)
            holds = bool(reader.number())
        except _Unread:
            raise _Unread(f"`#if {condition}` cannot be decided here") from None
        if reader.peek():
            raise _Unread(f"`#if {condition}` cannot be decided here")
        return holds

    def take_header(self, name: str) -> None:
        """The numbers that a header defines; a header that is not there is no mistake where BTF says the types."""
        if len(self._seen) > _MOST_FILES or name in self._seen:
            return
        self._seen.add(name)
        for folder in self.folders:
            path = os.path.abspath(os.path.join(folder, name))
            self.asked.append(path)
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    content = file.read(1 << 20)
            except OSError:
                continue
            for line in re.finditer(r"^[ \t]*#[ \t]*(define|include)[ \t]+(.+)$", content, re.M):
                if line.group(1) == "include":
                    self.take_header(line.group(2).strip().split()[0].strip('<>"'))
                elif found := re.match(r"([A-Za-z_]\w*)[ \t]+(\S.*)", line.group(2)):
                    self.constants.setdefault(found.group(1), _without_comments(found.group(2)))
            return

    # types by their words

    def typed(self, words: list[str]) -> Type:
        """A type of basic words, of a typedef, or of the kernel's."""
        basic = _WORDS.get(tuple(sorted(words)))
        if basic is not None:
            return basic
        name = words[0]
        found = self.types.get(("", name)) or _STANDARD.get(name) or self.kernel.named("", name)
        if found is None or len(words) > 1:
            raise _Unread(f"there is no type `{' '.join(words)}`", "Define it first, or write its size: `uint64_t`.")
        return found

    def tagged(self, keyword: str, name: str) -> Type:
        """`struct name` where it is only named."""
        found = self.types.get((keyword, name)) or self.kernel.named(keyword, name)
        return found if found is not None else Struct(keyword, name, 0, "script", ())


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?(\*/|$)|//.*", " ", text, flags=re.S).strip()


def _version_code(found: re.Match[str] | None) -> str:
    """A kernel's version as one number, as its headers write it."""
    major, minor, patch = (int(part or 0) for part in found.groups()) if found is not None else (0, 0, 0)
    return str((major << 16) + (minor << 8) + min(patch, 255))


class _Reader:
    """Recursive descent over one definition."""

    def __init__(self, into: Definitions, text: str, deep: int = 0, *, lenient: bool = False) -> None:
        self.into = into
        self.deep = deep
        self.lenient = lenient
        self.tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise _Unread(f"`{text[at]}` cannot stand in a definition")
            if found.group(1):
                self.tokens.append(found.group(1))
            at = found.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def took(self, word: str) -> bool:
        if self.peek() == word:
            self.at += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.took(word):
            raise _Unread(f"`{self.peek() or 'the end'}` stands where `{word}` should")

    def definition(self) -> None:
        """`struct name { ... };`, `enum ...`, `typedef ... name;`."""
        if self.took("typedef"):
            base = self.specifier()
            name, type = self.declarator(base)
            self.into.types["", name] = type
        else:
            self.specifier()
        self.took(";")
        if self.peek():
            raise _Unread(f"`{self.peek()}` stands behind a definition",
                          "One definition at a time; variables cannot be defined.")

    def specifier(self) -> Type:
        """What stands before the name: basic words, a tag, a body."""
        words: list[str] = []
        while True:
            word = self.peek()
            if word in _IGNORED:
                self.at += 1
            elif word == "__attribute__":
                self.attribute()
            elif word in ("struct", "union") and not words:
                return self.composite(self.take())
            elif word == "enum" and not words:
                return self.enumeration()
            elif word in _BASIC or (not words and (word[:1].isalpha() or word[:1] == "_")):
                words.append(self.take())
                if word not in _BASIC:
                    break
            else:
                break
        while self.peek() in _IGNORED:
            self.at += 1
        if not words:
            raise _Unread(f"`{self.peek() or 'the end'}` stands where a type should")
        return self.into.typed(words)

    def attribute(self) -> bool:
        """`__attribute__((...))`: whether it says packed."""
        self.at += 1
        depth, packed = 0, False
        while self.peek():
            word = self.take()
            depth += (word == "(") - (word == ")")
            packed |= word in ("packed", "__packed__")
            if not depth:
                return packed
        raise _Unread("an attribute that does not end")

    def composite(self, keyword: str) -> Type:
        packed = self.peek() == "__attribute__" and self.attribute()
        name = self.take() if self.peek() not in ("{", "") else ""
        if self.peek() != "{":
            return self.into.tagged(keyword, name)
        self.expect("{")
        into = self.into
        if not name:
            into.anonymous += 1
            name = f"(anonymous {into.anonymous})"
        into.types.setdefault((keyword, name), Struct(keyword, name, 0, "script", ()))
        fields: list[tuple[str, Type, int]] = []
        while not self.took("}"):
            self.field(fields)
        if self.peek() == "__attribute__":
            packed |= self.attribute()
        members, size = _laid_out(into, keyword, fields, packed)
        into.listed[keyword, name] = members
        made = into.types[keyword, name] = Struct(keyword, name, size, "script", ())
        return made

    def field(self, fields: list[tuple[str, Type, int]]) -> None:
        if not self.peek():
            raise _Unread("a struct that does not end", "Close it with `}`.")
        base = self.specifier()
        if self.took(";"):
            if isinstance(base, Struct) and base.name.startswith("("):
                fields.append(("", base, -1))
            return
        while True:
            name, type = ("", base) if self.peek() == ":" else self.declarator(base)
            width = -1
            if self.took(":"):
                width = self.number()
                if not isinstance(type, (Integer, Boolean, Enumeration)) or width > type.size * 8:
                    raise _Unread(f"`{name}` cannot have {width} bits")
            fields.append((name, type, width))
            if not self.took(","):
                break
        if self.peek() != "}":  # the last one may go without, as in C
            self.expect(";")

    def declarator(self, base: Type) -> tuple[str, Type]:
        """`*name[4]`; pointers to functions are pointers to nothing."""
        while self.took("*") or self.peek() in _IGNORED:
            if self.tokens[self.at - 1] == "*":
                base = Pointer(base, "")
            else:
                self.at += 1
        if self.took("("):
            self.expect("*")
            name = self.take()
            self.expect(")")
            depth = 0
            while self.peek() and (depth or self.peek() == "("):
                depth += {"(": 1, ")": -1}.get(self.take(), 0)
            return name, Pointer(Nothing(), "")
        name = self.take()
        if not name[:1].isalpha() and name[:1] != "_":
            raise _Unread(f"`{name or 'the end'}` stands where a name should")
        counts = []
        while self.took("["):
            counts.append(0 if self.peek() == "]" else self.number())
            self.expect("]")
        char = base == Integer(1, True) and self._says_char()
        for at, count in enumerate(reversed(counts)):
            base = Chars(count) if char and at == 0 and count else Array(base, count)
        return name, base

    def _says_char(self) -> bool:
        """Whether the declaration that was just read is of C's `char`: arrays of it are texts."""
        at = self.at - 1
        while at >= 0 and self.tokens[at] not in (";", "{"):
            if self.tokens[at] == "char":
                return self.tokens[at - 1] not in ("unsigned", "signed") if at else True
            at -= 1
        return False

    def number(self, loosest: int = 1) -> int:
        """A constant expression: numbers, names of constants, operators by how tightly they bind."""
        value = self.term()
        while _BINDS.get(self.peek(), 0) >= loosest:
            operator = self.take()
            other = self.number(_BINDS[operator] + 1)
            if operator in "/%" and not other:
                raise _Unread(f"`{operator}` by 0")
            value = _OPERATIONS[operator](value, other)
        return value

    def term(self) -> int:
        signs = []
        while self.peek() in ("-", "~", "!", "+"):
            signs.append(self.take())
        value = self.atom()
        for sign in reversed(signs):
            value = {"-": -value, "~": ~value, "!": int(not value), "+": value}[sign]
        return value

    def atom(self) -> int:
        word = self.take()
        if word == "(":
            value = self.number()
            self.expect(")")
            return value
        if word[:1].isdigit():
            digits = word.rstrip("uUlL")
            try:
                return int(digits, 8 if len(digits) > 1 and digits[0] == "0" and digits.isdigit() else 0)
            except ValueError:
                raise _Unread(f"`{word}` is no number") from None
        if word in self.into.enumerators:
            return self.into.enumerators[word][0]
        if word in self.into.constants and self.deep < _DEEPEST:
            return _Reader(self.into, self.into.constants[word], self.deep + 1, lenient=self.lenient).number()
        if self.lenient and (word[:1].isalpha() or word[:1] == "_"):
            return 0
        raise _Unread(f"`{word or 'the end'}` is no number")

    def enumeration(self) -> Type:
        self.at += 1
        name = self.take() if self.peek() not in ("{", "") else ""
        into = self.into
        if self.peek() != "{":
            return into.types.get(("enum", name)) or into.kernel.named("enum", name) or Integer(4, False)
        self.expect("{")
        values: list[tuple[int, str]] = []
        following = 0
        while not self.took("}"):
            word = self.take()
            if not word:
                raise _Unread("an enum that does not end", "Close it with `}`.")
            if self.took("="):
                following = self.number()
            values.append((following, word))
            into.enumerators[word] = (following, Integer(4, True))
            following += 1
            if not self.took(","):
                self.expect("}")
                break
        wide = any(not -(1 << 31) <= value < 1 << 32 for value, _ in values)
        made = Enumeration(name, 8 if wide else 4, any(value < 0 for value, _ in values), tuple(values))
        for value, word in values:
            into.enumerators[word] = (value, made)
        if name:
            into.types["enum", name] = made
        return made


def _laid_out(into: Definitions, keyword: str, fields: list[tuple[str, Type, int]],
              packed: bool) -> tuple[list[Member], int]:
    """Members with their offsets, and the whole size, as the C ABI has them."""
    bit, end, align = 0, 0, 1
    members: list[Member] = []
    for name, type, width in fields:
        if keyword == "union":
            bit = 0
        own = 1 if packed else alignment(into, type)
        if width >= 0:
            storage = type.size * 8
            if width == 0 or bit // storage != (bit + width - 1) // storage:
                bit = padded(bit, storage)
            if name:
                start = bit - bit % storage
                members.append(Member(name, start // 8, type, bit - start, width))
            bit += width
            align = max(align, own if name else 1)
        else:
            bit = padded(padded(bit, 8), own * 8)
            if name:
                members.append(Member(name, bit // 8, type))
            elif isinstance(type, Struct):
                members += [inner._replace(offset=inner.offset + bit // 8) for inner in into.members(type)]
            bit += type.size * 8
            align = max(align, own)
        end = max(end, bit)
    return members, padded(padded(end, 8) // 8, align)


def alignment(into: Definitions, type: Type) -> int:
    """A type's alignment in C."""
    match type:
        case Text():
            return 1
        case Array():
            return alignment(into, type.of)
        case Struct():
            listed = into.listed.get((type.keyword, type.name))
            if listed is None:
                return min(8, type.bytes & -type.bytes) or 1
            return max((alignment(into, member.type) for member in listed), default=1)
    return min(8, type.size) or 1


