"""From a script to its tree: what stands outside of bodies, in any number and order the language lets pass."""
from __future__ import annotations

from bpfwright._typing import NamedTuple, Sequence
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.lexer import Token
from bpfwright.facets.trace.configuration import DEFAULTS, SETTINGS
from bpfwright.facets.trace.library import MAP_KINDS
from bpfwright.facets.trace.points import Wrong, attach_point
from bpfwright.facets.trace.statements import Statements
from bpfwright.facets.trace.text import Mistakes, Note, Span, Text

__all__ = ["Parsed", "parse"]


class Parsed(NamedTuple):
    """A script's tree, and what its author should know: old forms with today's spelling."""

    program: tree.Program
    warnings: tuple[Note, ...]


def parse(content: str, file: str = "", *, with_process: bool = False, words: Sequence[str] = ()) -> Parsed:
    """The tree of a script. Raises Mistakes (a CompileError) with all that is wrong, at most twenty.

    `with_process`: a process is given on the command line, so that user probes may leave their binary away.
    `words` are the positional parameters, which attach points may name. Names are not looked up here: a macro or an
    import may bring them.
    """
    text = Text(content, file)
    parser = _Parser(text, with_process, words)
    program = parser.program()
    if parser.mistakes:
        raise Mistakes(parser.mistakes)
    return Parsed(program, tuple(parser.warnings))


class _Parser(Statements):
    def __init__(self, text: Text, with_process: bool, words: Sequence[str]) -> None:
        super().__init__(text)
        self.words = words
        self.with_process = with_process
        self.settings: list[tree.Setting] = []
        self.imports: list[tree.Import] = []
        self.definitions: list[tree.Definition] = []
        self.maps: list[tree.MapDeclaration] = []
        self.macros: list[tree.Macro] = []
        self.functions: list[tree.Function] = []
        self.probes: list[tree.Probe] = []

    def program(self) -> tree.Program:
        while self.kind != "end":
            at = self.at
            try:
                self.depth = 0
                self.declaration()
            except Wrong as wrong:
                self.mistake(wrong.note)
                self.recover(at)
        return tree.Program(Span(self.text, 0, len(self.text.content)), tuple(self.settings), tuple(self.imports),
                            tuple(self.definitions), tuple(self.maps), tuple(self.macros), tuple(self.functions),
                            tuple(self.probes))

    def recover(self, began: int) -> None:
        """After a mistake: to behind the declaration, which ends with its braces."""
        if self.at == began:
            self.take()
        depth = 0
        while self.kind != "end":
            kind = self.kind
            if not depth and kind in ("point", "C") and self.tokens[self.at - 1].kind not in (",", "point"):
                return
            self.take()
            depth += (kind == "{") - (kind == "}")
            if depth <= 0 and (kind == "}" or (kind == ";" and self.kind != "}")):
                return

    def declaration(self) -> None:
        token = self.token
        rule = _DECLARATIONS.get(self.word())
        if token.kind == "point":
            self.probe()
            return
        if token.kind == "C":
            self.take()
            self.definitions.append(tree.Definition(self.since(token.start), str(token.value)))
            return
        if rule is not None:
            rule(self, token)
            return
        if token.kind == "{":
            self.refuse_here("this block has no probe", "Write where it runs before it: `begin { ... }`, say.")
        if token.kind == "/":
            self.refuse_here("this predicate has no probe", "Write the attach point before it.")
        if token.kind == "}":
            self.refuse_here("this `}` closes nothing", "Remove it.")
        self.refuse_here(f"{self.seen()} stands alone", "Remove it.")

    # -------------------------------------------------------------------------------------------------------- probes

    def probe(self) -> None:
        start = self.token.start
        points: list[tree.AttachPoint] = []
        while True:
            token = self.token
            if token.kind != "point":
                self.refuse_here("an attach point is missing behind the comma", "Remove the comma.")
            self.take()
            try:
                points.append(attach_point(str(token.value), self.since(token.start), self.warn, self.with_process,
                                           self.words))
            except Wrong as wrong:  # the body is read all the same
                self.mistake(wrong.note)
            if not self.took(","):
                break
        if self.kind == "point":
            near = "Attach points stand in one word each; put `,` between two."
            self.refuse_here(f"{self.seen()} stands where `{{` should", near)
        predicate = None
        if self.kind == "/":
            opened = self.take()
            if self.kind == "/":
                self.refuse_here("the predicate is empty", "Write a condition between the slashes.")
            predicate = self.expression(in_predicate=True)
            if self.kind != "/":
                if self.kind in ("{", "end"):
                    self.refuse(Span(self.text, opened.start, opened.end), "this predicate has no end",
                                "Close it with `/` before `{`.")
                self.refuse_here(f"{self.seen()} stands in the predicate",
                                 "Compare with `==`." if self.kind == "=" else "A predicate is `/condition/`.")
            self.take()
        if self.kind != "{":
            self.refuse(Span(self.text, start, self.tokens[self.at - 1].end), "this probe has no body",
                        "Write `{ ... }` behind it.")
        body = self.block()
        if points:
            self.probes.append(tree.Probe(self.since(start), tuple(points), predicate, body))

    # ----------------------------------------------------------------------------------------------------- the others

    def config(self, start: Token) -> None:
        self.take()
        if self.probes:
            self.refuse(Span(self.text, start.start, start.end), "the config block stands after a probe",
                        "Move it to the top of the script.")
        self.expect("=", "the config block needs `=`", "Write `config = { name=value; }`.")
        opened = self.expect("{", "the config block needs `{`", "Write `config = { name=value; }`.")
        while self.kind != "}":
            if self.took(";"):
                continue
            try:
                self.setting()
            except Wrong as wrong:
                self.mistake(wrong.note)
                self.skip()
            if self.kind == "end":
                break
        self.close("}", opened)

    def setting(self) -> None:
        start = self.token
        written = self.name(f"{self.seen()} is no setting", "Write `name=value;`.")
        name = written.lower().removeprefix("bpftrace_")
        here = Span(self.text, start.start, start.end)
        if name not in DEFAULTS:
            self.refuse(here, f"there is no setting `{written}`",
                        self.guess(name, tuple(DEFAULTS), "The reference lists them under config variables."))
        if any(setting.name == name for setting in self.settings):
            self.refuse(here, f"`{name}` is set twice", "Remove one of the two.")
        self.expect("=", f"the setting `{name}` has no value", f"Write `{name}={_shown(DEFAULTS[name])}`.")
        token = self.token
        if token.kind not in ("name", "string", "number"):
            self.refuse_here(f"{self.seen()} is no value of a setting", f"Write `{name}={_shown(DEFAULTS[name])}`.")
        value = self.primary()
        self.fits(name, value)
        if self.kind not in (";", "}"):
            self.refuse_here(f"{self.seen()} stands where the setting should end", "Put `;` between two settings.")
        self.settings.append(tree.Setting(self.since(start.start), name, value))

    def fits(self, name: str, value: tree.Expression) -> None:
        default = DEFAULTS[name]
        words = SETTINGS.get(name, ())
        if words:
            given = value.value.decode("utf-8", "replace") if isinstance(value, tree.String) else \
                value.name if isinstance(value, tree.Name) else ""
            if given.lower() not in {word.lower() for word in words}:
                self.refuse(value.span, f"this is no value of `{name}`", f"There are {', '.join(words)}.")
        elif isinstance(default, bool):
            if not isinstance(value, tree.Boolean) and not (isinstance(value, tree.Integer) and value.value in (0, 1)):
                self.refuse(value.span, f"`{name}` is a boolean", "Write `true` or `false`.")
        elif isinstance(default, int):
            if not isinstance(value, tree.Integer):
                self.refuse(value.span, f"`{name}` is a number", f"Write `{name}={default or 64}`.")
        elif not isinstance(value, (tree.String, tree.Name)):
            self.refuse(value.span, f"`{name}` is text", f"Write `{name}={_shown(default)}`.")

    def import_root(self, start: Token) -> None:
        found = self.import_file()
        self.semicolon()
        self.imports.append(found)

    def semicolon(self) -> None:
        if not self.took(";"):
            last = self.tokens[self.at - 1].end
            self.mistake(Note(Span(self.text, last, last + 1), "a `;` is missing", f"Put it here{self.before()}."))

    def map_declaration(self, start: Token) -> None:
        self.take()
        form = "Write `let @name = hash(100);`."
        if self.kind == "$":
            self.refuse_here("variables live in bodies only", "Use a map, `@name`, for what probes share.")
        name = str(self.expect("@", f"{self.seen()} stands where a map should", form).value)
        self.expect("=", "the map's kind is missing", form)
        kind_at = self.here()
        kind = self.name(f"{self.seen()} is no kind of a map", form)
        if kind not in MAP_KINDS:
            self.refuse(kind_at, f"there is no map `{kind}`",
                        self.guess(kind, MAP_KINDS, f"There are {', '.join(MAP_KINDS)}."))
        opened = self.expect("(", f"`{kind}` needs its number of entries", form)
        size = self.expect("number", f"`{kind}` needs its number of entries", form).value
        assert isinstance(size, int)  # a number's value
        if not 0 < size < 1 << 32:
            self.refuse(self.since(opened.end), "a map holds at least 1 entry and less than 2 to the 32nd", form)
        self.close(")", opened)
        if any(declared.name == name for declared in self.maps):
            self.refuse(self.since(start.start), f"`@{name}` is declared twice", "Remove one of the two.")
        self.semicolon()
        self.maps.append(tree.MapDeclaration(self.since(start.start), name, kind, size))

    def macro(self, start: Token) -> None:
        self.take()
        form = "Write `macro name($variable, @map, expression) { ... }`."
        name = self.name(f"{self.seen()} is no name of a macro", form)
        opened = self.expect("(", f"the macro `{name}` needs brackets", form)
        parameters: list[tree.Parameter] = []
        while self.kind != ")":
            at = self.token
            if at.kind not in ("name", "$", "@") or not at.value:
                self.refuse_here(f"{self.seen()} is no parameter", form)
            self.take()
            if any(known.name == at.value and known.kind == at.kind.replace("name", "") for known in parameters):
                self.refuse(self.since(at.start), "this parameter is there already", "Use another name.")
            parameters.append(tree.Parameter(self.since(at.start), at.kind.replace("name", ""), str(at.value), None))
            if not self.took(","):
                break
        self.close(")", opened)
        body = self.body(f"macro {name}()")
        self.macros.append(tree.Macro(self.since(start.start), name, tuple(parameters), body))

    def function(self, start: Token) -> None:
        self.take()
        form = "Write `fn name($a : uint64) : uint64 { ... }`."
        name = self.name(f"{self.seen()} is no name of a function", form)
        opened = self.expect("(", f"the function `{name}` needs brackets", form)
        parameters: list[tree.Parameter] = []
        while self.kind != ")":
            at = self.expect("$", f"{self.seen()} is no parameter of a function", form)
            self.expect(":", f"the parameter `${at.value!s}` needs a type", form)
            written = self.type()
            if any(known.name == at.value for known in parameters):
                self.refuse(self.since(at.start), "this parameter is there already", "Use another name.")
            parameters.append(tree.Parameter(self.since(at.start), "$", str(at.value), written))
            if not self.took(","):
                break
        self.close(")", opened)
        self.expect(":", f"the function `{name}` needs the type of its result", form)
        result = self.type()
        body = self.body(f"fn {name}() : void")
        self.functions.append(tree.Function(self.since(start.start), name, tuple(parameters), result, body))


def _shown(value: int | str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


_DECLARATIONS = {"config": _Parser.config, "import": _Parser.import_root, "let": _Parser.map_declaration,
                 "macro": _Parser.macro, "fn": _Parser.function}
