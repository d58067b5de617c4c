"""Statements and blocks, with recovery: after a mistake the next statement is read as if nothing had happened."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.expressions import KEYWORDS, Expressions
from bpfwright.facets.trace.points import Wrong
from bpfwright.facets.trace.text import Note, Span, nearest
from bpfwright.facets.trace.tree import Block, Expression, Statement

__all__ = ["ASSIGNMENTS", "Statements"]

ASSIGNMENTS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="))
_ALIEN = {"elif": "else if", "elseif": "else if", "elsif": "else if", "unless": "if (!...)", "foreach": "for",
          "switch": "if ... else if", "loop": "for", "repeat": "unroll", "until": "while"}
_OPENERS = ("if", "for", "while", "unroll")


class Statements(Expressions):
    """What is done."""

    def block(self) -> Block:
        self.deeper()
        opened = self.expect("{", f"{self.seen()} stands where a block should", "Write `{ ... }`.")
        depth = self.depth
        statements: list[Statement | tree.If | Block] = []
        value: Expression | None = None
        tallest = 0
        while True:
            while self.took(";"):
                pass
            if self.kind in ("}", "end", "point"):
                break
            try:
                self.height = 1
                found, value = self.statement()
                tallest = max(tallest, self.height)
                if found is not None:
                    statements.append(found)
            except Wrong as wrong:
                self.mistake(wrong.note)
                self.depth = depth
                value = None
                self.skip()
        self.depth -= 1
        if self.kind != "}":
            self.mistake(Note(Span(self.text, opened.start, opened.end), "this `{` is never closed",
                              f"Close it with `}}`{self.before()}."))
        self.took("}")
        self.height = self.taller(tallest + 1)
        return Block(self.since(opened.start), tuple(statements), value)

    def statement(self) -> tuple[Statement | tree.If | Block | None, Expression | None]:
        """One statement; or, at the block's end, the block's value."""
        start = self.token.start
        word = self.word()
        rule: Any = _RULES.get(word)
        if word in _OPENERS and rule is not None:
            found: Statement | tree.If = rule(self)
            if isinstance(found, tree.If) and self.kind == "}" and _has_value(found):
                return None, found
            return found, None
        if self.kind == "{":
            inner = self.block()
            if self.kind == "}" and inner.value is not None:
                return None, inner
            return inner, None
        if rule is not None:
            said: Statement = rule(self)
            self.end(start)
            return said, None
        if word == "_" and self.ahead().kind == "=":
            self.take()
            self.take()
            value = self.expression()
            discarded = tree.Discard(self.since(start), value)
            self.end(start)
            return discarded, None
        self.slips(word)
        expression = self.expression()
        if self.kind == "{" and isinstance(expression, tree.Call):
            close = nearest(expression.name, (*_OPENERS, *_ALIEN))
            cure = f"Did you mean `{_ALIEN.get(close, close)}`?" if close else "Put `;` between two statements."
            self.refuse(Span(self.text, start, start + len(expression.name)),
                        f"there is no statement `{expression.name}`", cure)
        if self.kind in ASSIGNMENTS:
            assigned = self.assign(expression)
            self.end(start)
            return assigned, None
        if self.kind == "}":
            return None, expression
        done = tree.Evaluate(self.since(start), expression)
        self.end(start)
        return done, None

    def assign(self, target: Expression) -> Statement:
        operator = self.token
        self.variable(target, "an assignment")
        self.take()
        height = self.height
        value = self.expression()
        if self.kind in ASSIGNMENTS:
            self.refuse_here("an assignment is no value", "Assign on a line of its own.")
        self.height = self.taller(max(height, self.height) + 1)
        return tree.Assign(self.since(target.span.start), operator.kind, target, value)

    def end(self, start: int) -> None:
        """The semicolon, which the last statement of a block may do without. Without it nothing is skipped."""
        if self.took(";") or self.kind in ("}", "end"):
            return
        last = self.tokens[self.at - 1].end
        token = self.token
        if self.text.content.count("\n", last, token.start):
            self.mistake(Note(Span(self.text, last, last + 1), "a `;` is missing", f"Put it here{self.before()}."))
            return
        if self.kind == ":":
            self.refuse_here("a probe cannot begin inside of a block", "Close the block before it with `}`.")
        self.refuse_here(f"{self.seen()} stands where the statement should end", "Put `;` between two statements.")

    def slips(self, word: str) -> None:
        """What people write who come from elsewhere."""
        after = self.ahead()
        if word == "else":
            self.refuse_here("this `else` belongs to no `if`", "Remove it, or the `;` before it.")
        if word in ("var", "const", "auto") and after.kind in ("$", "name"):
            self.refuse_here(f"`{word}` declares nothing here", "Write `let $name = ...`.")
        if word in ("function", "def", "func", "fn", "macro") and after.kind == "name":
            self.refuse_here("a function or macro cannot begin inside of a body", "Close the block before it with `}`.")
        if word and word not in KEYWORDS and after.kind in ("{", "$") and nearest(word, (*_OPENERS, "else", "let")):
            self.refuse_here(f"there is no statement `{word}`",
                             f"Did you mean `{nearest(word, (*_OPENERS, 'else', 'let'))}`?")

    # ---------------------------------------------------------------------------------------------------- statements

    def conditional(self) -> tree.If:
        start = self.take().start
        branches: list[tree.Branch] = []
        other: Block | None = None
        tallest = 0
        begin = start
        while True:
            if self.kind == "{":
                self.refuse_here("the condition is missing", "Write `if (condition) { ... }`.")
            condition = self.expression()
            if self.kind in ASSIGNMENTS:
                self.refuse_here("an assignment is no condition", "Compare with `==`.")
            tallest = max(tallest, self.height)
            body = self.body("if (condition)")
            tallest = max(tallest, self.height)
            branches.append(tree.Branch(self.since(begin), condition, body))
            if self.word() != "else":
                break
            self.take()
            begin = self.token.start
            if self.word() == "if":
                self.take()
                continue
            other = self.body("else")
            tallest = max(tallest, self.height)
            break
        self.height = self.taller(tallest + 1)
        return tree.If(self.since(start), tuple(branches), other)

    def body(self, of: str) -> Block:
        if self.kind != "{":
            self.refuse_here(f"{self.seen()} stands where `{{` should", f"Bodies have braces: `{of} {{ ... }}`.")
        return self.block()

    def loop(self) -> Statement:
        start = self.take().start
        form = "Write `for ($entry : @map) { ... }` or `for ($i : 0..10) { ... }`."
        opened = self.token if self.took("(") else None
        if self.word() == "let" or self.kind == "@":
            self.refuse_here(f"{self.seen()} cannot be the variable of a loop", form)
        name = str(self.expect("$", f"{self.seen()} stands where the loop's variable should", form).value)
        if self.kind == "=":
            here = self.here()
            while self.kind not in (")", "{", "}", "end"):  # its semicolons end no statement
                self.take()
            self.refuse(here, "loops do not count like C's", form)
        if self.word() == "in":
            self.refuse_here("`in` stands where `:` should", form)
        self.expect(":", f"{self.seen()} stands where `:` should", form)
        first = self.expression()
        height = self.height
        over: tree.Range | Expression = first
        if self.took(".."):
            second = self.expression()
            height = max(height, self.height)
            over = tree.Range(first.span.to(second.span), first, second)
        elif not isinstance(first, (tree.MapName, tree.Name)):  # a macro's parameter may be a map
            self.refuse(first.span, "a loop goes over a map or a range",
                        "Write `@map` without a key." if isinstance(first, tree.Index) else form)
        if opened is not None:
            self.close(")", opened)
        body = self.body("for (...)")
        self.height = self.taller(max(height, self.height) + 1)
        return tree.For(self.since(start), name, over, body)

    def repeat(self) -> Statement:
        word = self.take()
        self.condition_opens(str(word.value))
        if word.value == "while":
            self.warn(Note(Span(self.text, word.start, word.end), "`while` is an old form",
                           "Write `for ($i : 0..10) { ... }` where the number of rounds is known."))
        condition = self.expression()
        height = self.height
        body = self.body(f"{word.value!s} (...)")
        self.height = self.taller(max(height, self.height) + 1)
        form = tree.While if word.value == "while" else tree.Unroll
        return form(self.since(word.start), condition, body)

    def condition_opens(self, word: str) -> None:
        if self.kind == "{":
            self.refuse_here("the condition is missing" if word == "while" else "the number of rounds is missing",
                             f"Write `{word} ({'condition' if word == 'while' else '3'}) {{ ... }}`.")

    def let(self) -> Statement:
        start = self.take().start
        if self.kind == "@":
            self.refuse_here("maps are declared outside of bodies", "Move it above the first probe.")
        name = str(self.expect("$", f"{self.seen()} stands where a variable should", "Write `let $name = ...`.").value)
        written = self.type() if self.took(":") else None
        value = None
        self.height = 1
        if self.took("="):
            value = self.expression()
        elif self.kind in ASSIGNMENTS:
            self.refuse_here(f"`{self.kind}` cannot declare a variable", "Write `=`.")
        return tree.Let(self.since(start), name, written, value)

    def leave(self) -> Statement:
        word = self.take()
        form = tree.Break if word.value == "break" else tree.Continue
        return form(self.since(word.start))

    def give_back(self) -> Statement:
        start = self.take().start
        value = None if self.kind in (";", "}") else self.expression()
        return tree.Return(self.since(start), value)

    def import_file(self) -> tree.Import:
        start = self.take().start
        path = self.expect("string", f"{self.seen()} stands where a path should", 'Write `import "file.bt";`.')
        assert isinstance(path.value, bytes)  # a string's value
        if not path.value or b"\0" in path.value:
            self.refuse(self.since(path.start), "this is no path", 'Write `import "file.bt";`.')
        return tree.Import(self.since(start), path.value.decode("utf-8", "surrogateescape"))


def _has_value(found: tree.If) -> bool:
    return found.other is not None and found.other.value is not None and all(
        branch.body.value is not None for branch in found.branches)


_RULES = {"if": Statements.conditional, "for": Statements.loop, "while": Statements.repeat,
          "unroll": Statements.repeat, "let": Statements.let, "break": Statements.leave,
          "continue": Statements.leave, "return": Statements.give_back, "import": Statements.import_file}
