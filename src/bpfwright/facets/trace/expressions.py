"""Expressions, by binding power (Pratt), and the types that are written in them."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.cursor import Cursor
from bpfwright.facets.trace.lexer import Token
from bpfwright.facets.trace.text import Note, Span
from bpfwright.facets.trace.tree import Expression, TypeName

__all__ = ["INTEGERS", "KEYWORDS", "POWER", "Expressions"]

POWER = {"||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7, "<<": 8,
         ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10}
KEYWORDS = ("break", "config", "continue", "else", "for", "if", "import", "let", "macro", "offsetof", "return",
            "sizeof", "unroll", "while")
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool", "string", "void")
_C_INTEGERS = frozenset(("char", "short", "int", "long", "signed", "unsigned"))
_TAGS = ("struct", "union", "enum")
_BEGINS = frozenset(("name", "number", "string", "$", "@", "$1", "$#", "("))
_PREFIXES = frozenset("-!~*&")
_FOREIGN = {"and": "Write `&&`.", "or": "Write `||`.", "not": "Write `!`.", "is": "Write `==`.",
            "elif": "Write `else if`.", "elseif": "Write `else if`.", "elsif": "Write `else if`."}


class Expressions(Cursor):
    """What has a value."""

    def block(self) -> tree.Block:
        """A block in braces; statements know how."""
        raise NotImplementedError

    def conditional(self) -> tree.If:
        """An `if`; statements know how."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------------- precedence

    def expression(self, in_predicate: bool = False) -> Expression:
        """Any expression. In a predicate, a slash before the body's brace is its end."""
        self.deeper()
        condition = self.binary(in_predicate)
        if self.took("?"):
            height = self.height
            then = None
            if not self.took(":"):
                then = self.expression()
                height = max(height, self.height)
                self.expect(":", f"{self.seen()} stands where `:` should", "A choice is `condition ? one : other`.")
            other = self.expression(in_predicate)
            self.height = self.taller(max(height, self.height) + 1)
            condition = tree.Ternary(condition.span.to(other.span), condition, then, other)
        self.depth -= 1
        return condition

    def binary(self, in_predicate: bool) -> Expression:
        """Operands and operators by power; what waits for its right side stands on a stack, not in Python's frames."""
        waiting: list[tuple[int, str, Expression, int]] = []
        while True:
            right, height = self.unary(), self.height
            power = POWER.get(self.kind, 0)
            if in_predicate and self.kind == "/" and self.ahead().kind == "{":
                power = 0
            while waiting and waiting[-1][0] >= power:
                _, operator, left, other = waiting.pop()
                height = self.taller(max(height, other) + 1)
                right = tree.Binary(left.span.to(right.span), operator, left, right)
            if not power:
                break
            waiting.append((power, self.take().kind, right, height))
        self.height = height
        if self.kind == "name":
            word = self.word()
            if word in _FOREIGN:
                self.refuse_here(f"`{word}` is no operator", _FOREIGN[word])
        return right

    def unary(self) -> Expression:
        kind = self.kind
        if kind in _PREFIXES:
            self.deeper()
            operator = self.take()
            operand = self.unary()
            self.depth -= 1
            self.height = self.taller(self.height + 1)
            return tree.Unary(self.since(operator.start), kind, operand)
        if kind in ("++", "--"):
            self.deeper()
            operator = self.take()
            target = self.unary()
            self.depth -= 1
            return self.update(self.since(operator.start), kind, True, target)
        if kind == "+":
            self.refuse_here("there is no `+` before a number", "Remove it.")
        return self.postfix(self.primary())

    def update(self, span: Span, operator: str, prefix: bool, target: Expression) -> Expression:
        self.variable(target, f"`{operator}`")
        self.height = self.taller(self.height + 1)
        return tree.Update(span, operator, prefix, target)

    def variable(self, target: Expression, what: str) -> None:
        """Refuse what nothing can be stored in."""
        if isinstance(target, (tree.Variable, tree.MapName)) or (
                isinstance(target, tree.Index) and isinstance(target.object, tree.MapName)):
            return
        cure = "Only `$name`, `@name` and `@name[key]` can change."
        if isinstance(target, tree.Name):
            cure = f"Write `${target.name}` for a variable or `@{target.name}` for a map."
        elif isinstance(target, (tree.Member, tree.Unary)):
            cure = "Memory of the kernel and of processes is only read: keep the value in a variable or map."
        self.refuse(target.span, f"{what} needs a variable or a map", cure)

    def postfix(self, left: Expression) -> Expression:
        start = left.span.start
        while True:
            kind = self.kind
            if kind == "." or kind == "->":
                self.take()
                token = self.token
                height = self.height
                if token.kind == "name":
                    self.take()
                    left = tree.Member(self.since(start), left, str(token.value))
                elif token.kind == "number" and self.text.content[token.start:token.end].isdigit():
                    self.take()
                    left = tree.Item(self.since(start), left, int(self.text.content[token.start:token.end]))
                else:
                    self.refuse_here(f"{self.seen()} is no field", "Write `.name`, or `.0` for an item of a tuple.")
                self.height = self.taller(height + 1)
            elif kind == "[":
                opened = self.take()
                height = self.height
                keys = self.listed("]", opened, "a key")
                if not keys:
                    self.refuse(self.since(opened.start), "a key is missing", "Write it between the brackets, or leave "
                                "them away.")
                self.height = self.taller(max(height, self.height) + 1)
                left = tree.Index(self.since(start), left, keys)
            elif (kind == "++" or kind == "--") and not isinstance(left, tree.Update):
                self.take()
                left = self.update(self.since(start), kind, False, left)
            else:
                return left

    def listed(self, closing: str, opened: Token, what: str) -> tuple[Expression, ...]:
        """Expressions with commas, up to and with the closing bracket; `height` is that of the tallest."""
        items: list[Expression] = []
        height = 0
        while self.kind != closing:
            if self.kind == ",":
                self.refuse_here(f"{what} is missing before this comma", "Remove the comma, or write what is missing.")
            items.append(self.expression())
            height = max(height, self.height)
            if not self.took(","):
                break
            if self.kind == closing:
                self.refuse_here(f"{what} is missing behind the comma", "Remove the comma.")
        self.close(closing, opened)
        self.height = height
        return tuple(items)

    # -------------------------------------------------------------------------------------------------------- atoms

    def primary(self) -> Expression:
        token = self.token
        kind = token.kind
        self.height = 1
        if kind == "name":
            return self.named(token)
        if kind in _ATOMS:
            self.take()
            found: Expression = _ATOMS[kind](Span(self.text, token.start, token.end), token.value)
            return found
        if kind == "$1":
            self.take()
            self.warn(Note(self.since(token.start), "positional parameters say nothing by their names",
                           f'Name it: `getopt("name", default)`, given as `-- --name=...`, for `${token.value!s}`.'))
            return tree.Positional(self.since(token.start), int(token.value))
        if kind == "$#":
            self.take()
            return tree.PositionalCount(self.since(token.start))
        if kind == "(":
            return self.bracket(token)
        if kind == "{":
            return self.block()
        if kind == "=":
            self.refuse_here("an assignment is no value", "Compare with `==`, or assign on a line of its own.")
        if kind == "C":
            self.refuse_here("a definition in C stands outside of bodies", "Move it above the first probe.")
        self.refuse_here(f"{self.seen()} stands where a value should" if kind != "end" else
                         "the script ends where a value should stand",
                         "Write a value: a number, `$name`, `@name`, a call.")

    def named(self, token: Token) -> Expression:
        """What begins with a bare word."""
        word = str(token.value)
        special = _SPECIAL.get(word)
        if special is not None and (word in ("if", "comptime") or self.ahead().kind == "("):
            return special(self)
        if word in KEYWORDS:
            self.refuse_here(f"`{word}` is a word of the language and no value",
                             f"Use another name, or `${word}` for a variable.")
        if word in _TAGS:
            self.refuse_here("a type stands where a value should", f"A cast is `({word} name *)$x`.")
        self.take()
        if word == "true" or word == "false":
            return tree.Boolean(self.since(token.start), word == "true")
        if self.kind == "(":
            opened = self.take()
            if word == "container_of":
                return self.container_of(token, opened)
            arguments = self.listed(")", opened, "an argument")
            self.height = self.taller(self.height + 1)
            return tree.Call(self.since(token.start), word, arguments)
        return tree.Name(self.since(token.start), word)

    def container_of(self, token: Token, opened: Token) -> Expression:
        """`container_of(pointer, type, member.path)`: the pointer in bytes, less the member's offset, as the type's."""
        pointer = self.expression()
        self.expect(",", "`container_of` needs a type", "Write `container_of($pointer, struct name, member)`.")
        of = self.type_or_expression()
        self.expect(",", "`container_of` needs a member", "Write `container_of($pointer, struct name, member)`.")
        path = [self.name(f"{self.seen()} is no member", "Write `member` or `member.inner`.")]
        while self.took("."):
            path.append(self.name(f"{self.seen()} is no member", "Write `member` or `member.inner`."))
        self.close(")", opened)
        self.height = self.taller(self.height + 4)
        span = self.since(token.start)
        byte = tree.Pointer(span, tree.NamedType(span, "", "uint8"))
        whole = of if isinstance(of, TypeName) else tree.TypeOf(span, of)
        moved = tree.Binary(span, "-", tree.Cast(span, byte, pointer), tree.OffsetOf(span, of, tuple(path)))
        return tree.Cast(span, tree.Pointer(span, whole), moved)

    def bracket(self, token: Token) -> Expression:
        """What begins with `(`: a cast, a tuple, a record, or an expression."""
        if self.is_cast():
            self.take()
            written = self.type()
            self.close(")", token)
            self.deeper()
            operand = self.unary()
            self.depth -= 1
            self.height = self.taller(self.height + 1)
            return tree.Cast(self.since(token.start), written, operand)
        self.take()
        if self.kind == "name" and self.ahead().kind == "=":
            return self.record(token)
        if self.took(")"):
            return tree.Tuple(self.since(token.start), ())
        first = self.expression()
        if self.kind == "=":
            self.refuse_here("an assignment is no value", "Compare with `==`, or assign on a line of its own.")
        if self.kind != ",":
            self.close(")", token)
            return _placed(first, self.since(token.start))
        items = [first]
        height = self.height
        while self.took(","):
            if self.kind == ")":
                if len(items) > 1:
                    self.refuse_here("an item is missing behind the comma", "Remove the comma.")
                break
            items.append(self.expression())
            height = max(height, self.height)
        self.close(")", token)
        self.height = self.taller(height + 1)
        return tree.Tuple(self.since(token.start), tuple(items))

    def record(self, opened: Token) -> Expression:
        fields: list[tree.Field] = []
        height = 0
        while True:
            start = self.token.start
            name = self.name(f"{self.seen()} is no field of a record", "A record is `(name=value, ...)`.")
            if any(field.name == name for field in fields):
                self.refuse(self.since(start), f"the record has a field `{name}` already", "Use another name.")
            self.expect("=", f"the field `{name}` has no value", "A record is `(name=value, ...)`.")
            value = self.expression()
            height = max(height, self.height)
            fields.append(tree.Field(self.since(start), name, value))
            if not self.took(",") or self.kind == ")":
                break
        self.close(")", opened)
        self.height = self.taller(height + 1)
        return tree.Record(self.since(opened.start), tuple(fields))

    # -------------------------------------------------------------------------------------------------------- types

    def is_cast(self) -> bool:
        """Whether the bracket here holds a type and a value follows it: told from the tokens ahead, without trying."""
        first = self.ahead(1)
        if first.kind != "name":
            return False
        word, next_at = str(first.value), 2
        sure = word in INTEGERS or word in _C_INTEGERS
        if word in _TAGS and self.ahead(2).kind == "name":
            sure, next_at = True, 3
        elif word == "typeof" and self.ahead(2).kind == "(":
            return True
        while word in _C_INTEGERS and self.ahead(next_at).value in _C_INTEGERS and self.ahead(next_at).kind == "name":
            next_at += 1
        while (kind := self.ahead(next_at).kind) == "*" or kind == "[":
            if kind == "*":
                sure, next_at = True, next_at + 1
            elif self.ahead(next_at + 1).kind == "]":
                sure, next_at = True, next_at + 2
            elif sure and self.ahead(next_at + 1).kind == "number" and self.ahead(next_at + 2).kind == "]":
                next_at += 3
            else:
                return False
        if self.ahead(next_at).kind != ")":
            return False
        after = self.ahead(next_at + 1)
        if after.kind in _BEGINS:  # `(name) $x` can be nothing else, but `(a) and b` is a slip
            return sure or not (after.kind == "name" and after.value in _FOREIGN)
        if after.kind == "{":  # `if (name) {`
            return next_at > 2
        return (sure or word.endswith("_t")) and (after.kind in _PREFIXES or after.kind in ("++", "--"))

    def is_type(self) -> bool:
        """Whether a type stands here, in `sizeof` and the like; a bare word is left to be told by what it names."""
        word = self.word()
        after = self.ahead()
        if word in _TAGS or word == "typeof":
            return after.kind in ("name", "(")
        if not word or word in KEYWORDS:
            return False
        if word in INTEGERS or word in _C_INTEGERS or (after.kind == "[" and self.ahead(2).kind == "]"):
            return True
        stars = 1
        while self.ahead(stars).kind == "*":
            stars += 1
        return stars > 1 and self.ahead(stars).kind in (")", ",")

    def type(self) -> TypeName:
        start = self.token.start
        word = self.name(f"{self.seen()} stands where a type should", "Write `uint64`, `struct name *`, ...")
        written: TypeName
        if word in _TAGS:
            name = self.name(f"the {word}'s name is missing", f"Write `{word} name`.")
            written = tree.NamedType(self.since(start), word, name)
        elif word == "typeof":
            opened = self.expect("(", "`typeof` needs brackets", "Write `typeof($x)`.")
            of = self.type_or_expression()
            self.close(")", opened)
            written = tree.TypeOf(self.since(start), of)
        else:
            words = [word]
            while word in _C_INTEGERS and self.word() in _C_INTEGERS:
                words.append(str(self.take().value))
            written = tree.NamedType(self.since(start), "", " ".join(words))
        levels = 0
        while self.kind in ("*", "["):
            levels = self.taller(levels + 1)
            opened = self.take()
            if opened.kind == "*":
                written = tree.Pointer(self.since(start), written)
                continue
            size = int(self.take().value) if self.kind == "number" else None
            self.close("]", opened)
            written = tree.Array(self.since(start), written, size)
        return written

    def type_or_expression(self) -> TypeName | Expression:
        self.deeper()
        found = self.type() if self.is_type() else self.expression()
        self.depth -= 1
        return found

    # ------------------------------------------------------------------------------------------- words with brackets

    def sizeof(self) -> Expression:
        start = self.take()
        opened = self.take()
        of = self.type_or_expression()
        self.close(")", opened)
        self.height = self.taller(self.height + 1)
        form = tree.SizeOf if start.value == "sizeof" else tree.TypeInfo
        return form(self.since(start.start), of)

    def offsetof(self) -> Expression:
        start = self.take()
        opened = self.take()
        of = self.type_or_expression()
        height = self.height
        form = "Write `offsetof(struct name, field)`."
        self.expect(",", "`offsetof` needs a field", form)
        path = [self.name(f"{self.seen()} is no field", form)]
        while self.took("."):
            path.append(self.name(f"{self.seen()} is no field", form))
        self.close(")", opened)
        self.height = self.taller(height + 1)
        return tree.OffsetOf(self.since(start.start), of, tuple(path))

    def comptime(self) -> Expression:
        start = self.take()
        self.deeper()
        operand = self.unary()
        self.depth -= 1
        self.height = self.taller(self.height + 1)
        return tree.Comptime(self.since(start.start), operand)

    def chosen(self) -> Expression:
        """An `if` that stands where a value should."""
        found = self.conditional()
        if found.other is None or found.other.value is None or any(b.body.value is None for b in found.branches):
            self.refuse(Span(self.text, found.span.start, found.span.start + 2),
                        "this `if` has no value in some branch",
                        "Give it an `else`, and end each branch with a value without `;`.")
        return found


def _placed(node: Expression, span: Span) -> Expression:
    """The node with the brackets around it as its place."""
    placed: Expression = node.remade(node.values(), span)
    return placed


_ATOMS: dict[str, Any] = {"number": tree.Integer, "string": tree.String, "$": tree.Variable, "@": tree.MapName}
_SPECIAL = {"sizeof": Expressions.sizeof, "typeinfo": Expressions.sizeof, "offsetof": Expressions.offsetof,
            "comptime": Expressions.comptime, "if": Expressions.chosen}
