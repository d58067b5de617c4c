"""The parser's place among the tokens: looking, taking, and what is said when something else stands there."""
from __future__ import annotations

from bpfwright._typing import NoReturn
from bpfwright.facets.trace.lexer import Token, tokenize
from bpfwright.facets.trace.points import Wrong
from bpfwright.facets.trace.text import MOST_MISTAKES, Mistakes, Note, Span, Text, nearest

__all__ = ["DEEPEST", "TALLEST", "Cursor"]

DEEPEST = 64
"""How deep brackets, blocks and prefixes may nest: far below Python's own limit, far above any program."""
TALLEST = 128
"""How many operators may stand on one another in one expression."""

_PAIRS = {")": "(", "]": "[", "}": "{"}


class Cursor:
    """Tokens of one text, and the notes taken."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.at = 0
        self.kind = self.tokens[0].kind
        self.depth = 0
        self.height = 0
        self.mistakes: list[Note] = []
        self.warnings: list[Note] = []

    # ------------------------------------------------------------------------------------------------------- looking

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, distance: int = 1) -> Token:
        """A later token; the last one stands for all behind it."""
        return self.tokens[min(self.at + distance, len(self.tokens) - 1)]

    def word(self) -> str:
        """The bare word here, or nothing."""
        token = self.tokens[self.at]
        return str(token.value) if token.kind == "name" else ""

    def here(self) -> Span:
        token = self.tokens[self.at]
        return Span(self.text, token.start, token.end)

    def since(self, start: int) -> Span:
        """From an offset to the end of what was taken last."""
        return Span(self.text, start, max(self.tokens[self.at - 1].end, start))

    # -------------------------------------------------------------------------------------------------------- taking

    def take(self) -> Token:
        token = self.tokens[self.at]
        if token.kind != "end":
            self.at += 1
            self.kind = self.tokens[self.at].kind
        return token

    def took(self, kind: str) -> bool:
        """Take a token of this kind if it stands here."""
        if self.kind != kind:
            return False
        self.take()
        return True

    def expect(self, kind: str, what: str, cure: str) -> Token:
        if self.kind != kind:
            self.refuse_here(what, cure)
        return self.take()

    def close(self, kind: str, opened: Token) -> None:
        """The bracket that closes `opened`."""
        if self.kind == kind:
            self.take()
        elif self.kind in ("end", ";") or self.kind in _PAIRS:
            self.refuse(Span(self.text, opened.start, opened.end), f"this `{_PAIRS[kind]}` is never closed",
                        f"Close it with `{kind}`{self.before()}.")
        else:
            self.refuse_here(f"{self.seen()} stands where `{kind}` or `,` should",
                             f"Close the `{_PAIRS[kind]}`, or put an operator or a comma between the two.")

    def name(self, what: str, cure: str) -> str:
        return str(self.expect("name", what, cure).value)

    # -------------------------------------------------------------------------------------------------------- saying

    def seen(self) -> str:
        """The token here, in words."""
        token = self.tokens[self.at]
        if token.kind == "end":
            return "the end of the script"
        text = self.text.content[token.start:token.end]
        return f"`{text if len(text) < 24 and chr(10) not in text else text.split(chr(10))[0][:20] + '...'}`"

    def before(self) -> str:
        return "" if self.kind == "end" else f" before {self.seen()}"

    def refuse(self, span: Span, what: str, cure: str) -> NoReturn:
        raise Wrong(Note(span, what, cure))

    def refuse_here(self, what: str, cure: str) -> NoReturn:
        token = self.token
        span = self.here()
        if token.kind == "end" and self.at:  # the caret stands behind what came last
            last = self.tokens[self.at - 1].end
            span = Span(self.text, last, last + 1)
        raise Wrong(Note(span, what, cure))

    def mistake(self, note: Note) -> None:
        """Keep a mistake and go on; end when there are too many."""
        self.mistakes.append(note)
        if len(self.mistakes) >= MOST_MISTAKES:
            raise Mistakes(self.mistakes)

    def warn(self, note: Note) -> None:
        self.warnings.append(note)

    def deeper(self) -> None:
        """One level of nesting more; the caller takes it back."""
        self.depth += 1
        if self.depth > DEEPEST:
            self.mistakes.append(Note(self.here(), f"this nests deeper than {DEEPEST} levels",
                                      "Give the inner parts to variables."))
            raise Mistakes(self.mistakes)

    def taller(self, height: int) -> int:
        """The height of an expression that stands on others; too tall a one is refused."""
        if height > TALLEST:
            self.mistakes.append(Note(self.here(), f"this expression has more than {TALLEST} operators on one another",
                                      "Give parts of it to variables."))
            raise Mistakes(self.mistakes)
        return height

    def skip(self) -> None:
        """After a mistake: to behind the statement, or before the brace that closes the block around it."""
        depth = 0
        while self.kind != "end":
            kind = self.kind
            if kind == "}" and not depth:
                return
            if kind == "point":
                return
            self.take()
            depth += (kind == "{") - (kind == "}")
            if not depth and (kind == ";" or (kind == "}" and self.word() != "else" and self.kind not in (")", ";"))):
                return

    def guess(self, word: str, known: tuple[str, ...], otherwise: str) -> str:
        close = nearest(word, known)
        return f"Did you mean `{close}`?" if close else otherwise
