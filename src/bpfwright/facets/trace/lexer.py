"""From text to tokens. Outside of bodies the language has other words: attach points, lines of C; they come whole."""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.facets.trace.text import MOST_MISTAKES, Mistakes, Note, Text

__all__ = ["DURATIONS", "Token", "tokenize"]

DURATIONS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
             "d": 86_400_000_000_000}

_C_SUFFIXES = frozenset(("u", "l", "ul", "lu", "ll", "ull", "llu"))
_DIGITS = frozenset("0123456789")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_WORD = _LETTERS | _DIGITS
_HEX = frozenset("0123456789abcdefABCDEF")
_BLANK = frozenset(" \t\r\n\v\f")
_LONG = ("<<=", ">>=")
_SHORT = frozenset(("++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "==", "!=", "<=", ">=", "<<", ">>",
                    "&&", "||", "->", ".."))
_SINGLE = frozenset("+-*/%&|^=!<>~?:;,.(){}[]")
_ESCAPES = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27, "\\": 92, '"': 34, "'": 39}
_C_WORDS = frozenset(("struct", "union", "enum", "typedef"))
_BODIES = frozenset(("macro", "fn"))
_LINES = frozenset(("import", "let"))
_PATH_FIRST = frozenset(("uprobe", "uretprobe", "usdt", "u", "ur", "U"))
_PATH_SECOND = frozenset(("iter", "it"))


class Token(NamedTuple):
    """`kind` is `name`, `number`, `string`, `$`, `@`, `$1`, `$#`, `point`, `C`, `end`, or an operator's own text.

    `value` is what it means: a number's value, a string's bytes, a name without its sigil, raw text.
    """

    kind: str
    value: str | int | bytes
    start: int
    end: int


def tokenize(text: Text) -> list[Token]:
    """All tokens of a script, the last one of kind `end`. Mistakes where some text is no token."""
    lexer = _Lexer(text)
    lexer.top()
    if lexer.notes:
        raise Mistakes(lexer.notes)
    lexer.tokens.append(Token("end", "", len(text.content), len(text.content)))
    return lexer.tokens


class _Lexer:
    def __init__(self, text: Text) -> None:
        self.text = text
        self.content = text.content
        self.size = len(text.content)
        self.tokens: list[Token] = []
        self.notes: list[Note] = []

    def refuse(self, start: int, end: int, what: str, cure: str) -> None:
        self.notes.append(Note(self.text.span(start, max(end, start + 1)), what, cure))
        if len(self.notes) >= MOST_MISTAKES:
            raise Mistakes(self.notes)

    def blanks(self, at: int) -> int:
        """Past blanks and comments."""
        content, size = self.content, self.size
        while at < size:
            c = content[at]
            if c in _BLANK:
                at += 1
            elif c == "/" and content.startswith("//", at):
                at = content.find("\n", at)
                at = size if at < 0 else at
            elif c == "/" and content.startswith("/*", at):
                end = content.find("*/", at + 2)
                if end < 0:
                    self.refuse(at, at + 2, "this comment has no end", "Close it with `*/`.")
                    return size
                at = end + 2
            else:
                break
        return at

    def word(self, at: int) -> str:
        content, size = self.content, self.size
        end = at
        while end < size and content[end] in _WORD:
            end += 1
        return content[at:end]

    # ------------------------------------------------------------------------------------------------- outside bodies

    def top(self) -> None:
        content = self.content
        at = 1 if content[:1] == "\ufeff" else 0
        while (at := self.blanks(at)) < self.size:
            c = content[at]
            word = self.word(at) if c in _LETTERS else ""
            if content.startswith("#!", at) and self.starts_line(at):  # below a comment, in scripts that are run
                end = content.find("\n", at)
                at = self.size if end < 0 else end
            elif c == "#":
                at = self.directive(at)
            elif word in _C_WORDS:
                at = self.definition(at)
            elif word in _BODIES or word in _LINES or word == "config":
                after = self.blanks(at + len(word))
                follows = content[after:after + 1]
                if word == "config":
                    brace = self.blanks(after + 1)
                    own = follows == "{" or (follows == "=" and content[brace:brace + 1] == "{")
                else:
                    own = follows not in (":", "=")
                at = self.body(at, word in _LINES) if own else self.points(at)
            else:
                at = self.points(at)

    def directive(self, at: int) -> int:
        """A line of the preprocessor, with the lines it goes on in."""
        content = self.content
        if content.startswith("#!", at) or not self.starts_line(at):
            self.refuse(at, at + 1, "this `#` does not begin a line of the preprocessor",
                        "Such lines stand alone: `#include <file.h>`; `#!` is the script's first line.")
        end = content.find("\n", at)
        while end > 0 and (content[end - 1] == "\\" or content[end - 2:end] == "\\\r"):
            end = content.find("\n", end + 1)
        end = self.size if end < 0 else end
        self.tokens.append(Token("C", self.content[at:end].rstrip(), at, end))
        return end

    def definition(self, at: int) -> int:
        """A definition in C, up to its closing brace and semicolon."""
        content = self.content
        depth, now, opened = 0, at, at
        while (now := self.blanks(now)) < self.size:
            c = content[now]
            if c == "{":
                opened = now if not depth else opened
                depth += 1
            elif c == "}":
                depth -= 1
                if depth <= 0 and not content.startswith("typedef", at):
                    now = self.attribute(now + 1)
                    after = self.blanks(now)
                    if content[after:after + 1] == ";":
                        now = after + 1
                    break
            elif c == ";" and depth <= 0:
                now += 1
                break
            now += 1
        else:
            if depth:
                self.refuse(opened, opened + 1, "this definition in C has no end", "Close it with `}`.")
            else:
                self.refuse(at, at + len(self.word(at)), "this definition in C has no end", "Close it with `;`.")
        self.tokens.append(Token("C", content[at:now].rstrip(), at, now))
        return now

    def attribute(self, at: int) -> int:
        """The end of `__attribute__((...))`, where one stands behind a definition."""
        content = self.content
        start = self.blanks(at)
        if not content.startswith("__attribute__", start):
            return at
        now, depth = start + len("__attribute__"), 0
        while now < self.size:
            depth += (content[now] == "(") - (content[now] == ")")
            now += 1
            if not depth and content[now - 1] == ")":
                break
        return now

    def points(self, at: int) -> int:
        """Attach points up to a predicate or body, and these too."""
        content = self.content
        while (at := self.blanks(at)) < self.size:
            c = content[at]
            if c == "{":
                return self.body(at, False)
            if c == "/":
                return self.body(at, False, predicate=True)
            if c in ",;}":
                self.tokens.append(Token(c, c, at, at + 1))
                at += 1
                if c != ",":
                    return at
            elif c == "#" and self.starts_line(at):
                return at
            else:
                at = self.point(at)
        return at

    def starts_line(self, at: int) -> bool:
        before = at - 1
        while before >= 0 and self.content[before] in " \t":
            before -= 1
        return before < 0 or self.content[before] == "\n"

    def point(self, start: int) -> int:
        """One attach point, raw. A slash belongs to it where a path may stand; elsewhere it opens the predicate."""
        content, size = self.content, self.size
        provider = self.word(start)
        if content[start + len(provider):start + len(provider) + 1] == "=":
            provider = self.word(start + len(provider) + 1)
        at, part, part_start, source_file = start, 0, start, False
        while at < size:
            c = content[at]
            if c in _BLANK or c in "{},;":
                break
            if c == '"':
                at = self.quoted(at)
                continue
            if c == ":":
                part += 1
                part_start = at + 1
            elif c == "@":
                source_file = True
            elif c == "/" and not (
                    source_file or (part == 1 and provider in _PATH_FIRST)
                    or (provider in _PATH_SECOND and part == 2 and content[part_start] == "/")):
                break
            at += 1
        if at == start:  # a stray slash is the caller's
            at += 1
        self.tokens.append(Token("point", content[start:at], start, at))
        return at

    def quoted(self, at: int) -> int:
        """Past a quoted part of an attach point."""
        end = at + 1
        while end < self.size and self.content[end] not in '"\n':
            end += 2 if self.content[end] == "\\" else 1
        if end >= self.size or self.content[end] == "\n":
            self.refuse(at, at + 1, "this quoted part of an attach point has no end", 'Close it with `"`.')
        return min(end + 1, self.size)

    # -------------------------------------------------------------------------------------------------------- bodies

    def body(self, at: int, line: bool, predicate: bool = False) -> int:
        """Ordinary tokens: to a semicolon (`line`), or until the braces are closed."""
        content, size, tokens = self.content, self.size, self.tokens
        add = tokens.append
        depth = 0
        first = len(tokens)
        while at < size:
            c = content[at]
            if c in _BLANK:
                at += 1
            elif c in _LETTERS:
                end = at + 1
                while end < size and content[end] in _WORD:
                    end += 1
                add(Token("name", content[at:end], at, end))
                at = end
            elif c == "$" or c == "@":
                at = self.sigil(at)
            elif c == '"':
                at = self.string(at)
            elif c in _DIGITS:
                at = self.number(at)
            elif c == "/" and content[at + 1:at + 2] in ("/", "*") and content[at + 1:at + 2]:
                at = self.blanks(at)
            elif c in _SINGLE:
                pair = content[at:at + 2]
                if pair in _SHORT:
                    if content[at:at + 3] in _LONG:
                        pair = content[at:at + 3]
                    add(Token(pair, pair, at, at + len(pair)))
                    at += len(pair)
                    continue
                if c == "{":
                    if not depth and predicate and len(tokens) > first + 1 and tokens[-1].kind == "/":
                        predicate = False
                    depth += 1
                elif c == "}":
                    depth -= 1
                add(Token(c, c, at, at + 1))
                at += 1
                if depth <= 0 and ((c == "}" and not predicate) or (c == ";" and line) or depth < 0):
                    return at
            else:
                at = self.stranger(at)
        return at

    def sigil(self, at: int) -> int:
        """`$name`, `$1`, `$#`, `@name`, `@`."""
        content = self.content
        word = self.word(at + 1)
        end = at + 1 + len(word)
        if content[at] == "@":
            if word and word[0] in _DIGITS:
                self.refuse(at, end, f"`@{word}` is no name of a map", "A name begins with a letter or `_`.")
            self.tokens.append(Token("@", word, at, end))
        elif not word:
            if content[end:end + 1] == "#":
                self.tokens.append(Token("$#", "", at, end + 1))
                return end + 1
            self.refuse(at, end, "`$` needs a name or a number",
                        "Write `$name` for a variable, `$1` for a positional parameter, `$#` for their number.")
        elif word[0] not in _DIGITS:
            self.tokens.append(Token("$", word, at, end))
        elif word.isdigit() and word[0] != "0" and len(word) < 6:
            self.tokens.append(Token("$1", int(word), at, end))
        else:
            self.refuse(at, end, f"`${word}` is neither a variable nor a positional parameter",
                        "Variables begin with a letter; positional parameters count from `$1`.")
        return end

    def stranger(self, at: int) -> int:
        """What begins no token."""
        content = self.content
        c = content[at]
        if c == "'":
            end = content.find("'", at + 1, at + 200)
            if end < 0 or "\n" in content[at:end]:
                end = at
            self.refuse(at, end + 1, "strings stand in double quotes; there are no character literals",
                        'Write `"..."`, or the number of the character.')
            return end + 1
        if c == "#" and self.starts_line(at):
            end = content.find("\n", at)
            end = self.size if end < 0 else end
            self.refuse(at, end, "lines of the preprocessor stand outside of bodies",
                        "Move it above the first probe.")
            return end
        name = "the backtick" if c == "`" else f"`{c}`" if c.isprintable() else f"the character U+{ord(c):04X}"
        cures = {"\\": "Lines need no continuation here: remove it.", "`": 'Strings stand in double quotes: `"..."`.',
                 "\u201c": 'Use the plain quote `"`.', "\u201d": 'Use the plain quote `"`.'}
        self.refuse(at, at + 1, f"{name} means nothing here", cures.get(c, "Remove it, or put it into a string."))
        return at + 1

    # ------------------------------------------------------------------------------------------------------ literals

    def number(self, at: int) -> int:
        """An integer in any of its forms; no digit is left over."""
        content = self.content
        word = self.word(at)
        end = at + len(word)
        value, cure = _integer(word)
        if value is None:
            self.refuse(at, end, f"`{word}` is no number", cure)
        elif value >= 1 << 64:
            self.refuse(at, end, f"`{word}` does not fit into 64 bits", "The largest number is 18446744073709551615.")
        elif content[end:end + 1] == "." and content[end + 1:end + 2] in _DIGITS and not self.after_dot():
            rest = self.word(end + 1)
            end += 1 + len(rest)
            self.refuse(at, end, f"`{content[at:end]}` is a fraction, and there are none",
                        "Count in smaller units: `1500ms` for 1.5 seconds.")
        self.tokens.append(Token("number", value or 0, at, end))
        return end

    def after_dot(self) -> bool:
        return bool(self.tokens) and self.tokens[-1].kind in (".", "->")

    def string(self, start: int) -> int:
        """A string; its value is bytes, text in UTF-8."""
        content, size = self.content, self.size
        pieces: list[bytes] = []
        at = piece = start + 1
        while at < size:
            c = content[at]
            if c == '"':
                pieces.append(_bytes(content[piece:at]))
                self.tokens.append(Token("string", b"".join(pieces), start, at + 1))
                return at + 1
            if c == "\n":
                break
            if c == "\\":
                pieces.append(_bytes(content[piece:at]))
                at = piece = self.escape(at, pieces)
            else:
                at += 1
        self.refuse(start, start + 1, "this string has no end",
                    'Close it with `"` on the same line; `\\n` is a new line.')
        return at

    def escape(self, at: int, pieces: list[bytes]) -> int:
        """One escape sequence, appended to `pieces`; gives where it ends."""
        content = self.content
        c = content[at + 1:at + 2]
        end = at + 2
        if c in _ESCAPES:
            pieces.append(bytes((_ESCAPES[c],)))
        elif c and c in "01234567":
            while end < at + 4 and content[end:end + 1] and content[end] in "01234567":
                end += 1
            value = int(content[at + 1:end], 8)
            if value > 255:
                self.refuse(at, end, f"`{content[at:end]}` is more than one byte", "The largest is `\\377`.")
            pieces.append(bytes((value & 255,)))
        elif c == "x":
            while end < at + 4 and content[end:end + 1] and content[end] in _HEX:
                end += 1
            if end == at + 2:
                self.refuse(at, end, "`\\x` needs one or two hexadecimal digits", "Write `\\x0a`, say.")
            else:
                pieces.append(bytes((int(content[at + 2:end], 16),)))
        elif c in ("", "\n"):
            return at + 1
        else:
            self.refuse(at, end, f"`\\{c}` is no escape sequence",
                        'There are `\\n \\t \\r \\" \\\\ \\a \\b \\e \\f \\v`, octal `\\033`, hexadecimal `\\x1b`.')
        return end


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _integer(word: str) -> tuple[int | None, str]:
    """A number's value; or None and what to write instead."""
    low = word.lower()
    if low[:2] == "0x":
        digits = low[2:].rstrip("ul")
        suffix = low[2 + len(digits):]
        plain = digits.replace("_", "")
        if not plain or any(c not in _HEX for c in plain) or (suffix and suffix not in _C_SUFFIXES):
            return None, "Hexadecimal is `0x` and digits `0-9a-f`."
        return (int(plain, 16) if len(plain) <= 64 else 1 << 64), ""
    end = 0
    while end < len(low) and (low[end] in _DIGITS or low[end] == "_"):
        end += 1
    plain, suffix = low[:end].replace("_", ""), low[end:]
    if len(plain) > 64:
        return 1 << 64, ""
    if suffix[:1] == "e":
        power = suffix[1:].replace("_", "")
        if not power.isdigit() or not power.isascii():
            return None, "Scientific notation is `2e3`, whole numbers only."
        return (int(plain) * 10 ** int(power) if len(power) < 3 and int(power) < 30 else 1 << 64), ""
    if suffix in DURATIONS:
        return int(plain) * DURATIONS[suffix], ""
    if suffix and suffix not in _C_SUFFIXES:
        return None, "A number may end in a duration (`ns us ms s m h d`) or in C's `u`, `l`, `ul`, `ll`, `ull`."
    if plain[0] == "0" and len(plain) > 1:
        if "8" in plain or "9" in plain:
            return None, "A leading `0` makes it octal, with digits `0-7`: remove it for a decimal number."
        return int(plain, 8), ""
    return int(plain), ""
