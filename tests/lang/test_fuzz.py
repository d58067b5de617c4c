"""Random programs of the dialect: well-formed ones mean what Python means, damaged ones are refused with a caret."""
from __future__ import annotations

import io
import linecache
import tokenize
from collections.abc import Callable
from keyword import iskeyword
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from bpfwright.errors import CompileError, VerifierError
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.native import native
from bpfwright.lang.target import Target
from bpfwright.types.ctype import ctype_of
from tests.lang import test_mistakes
from tests.lang.threeway import MASK, Kernel, define, edges, parameter_types, wrapped

MIN_I64, MAX_I64, MAX_U64 = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
TYPES = {f"{sign}{bits}": (0 if sign == "u" else -(1 << bits - 1), (1 << bits - (sign == "i")) - 1)
         for sign in "ui" for bits in (8, 16, 32, 64)}
PHASES = (Phase.generate,)  # a smaller seed is no smaller program
MODULUS = 1_000_003  # every local stays within -MODULUS..MODULUS, so that loops keep what is known


# A program is compiled three times: the examples of a profile are for smaller things.
PROGRAMS = max(60, settings().max_examples // 2)
DAMAGES = settings().max_examples * 8


class Expr(NamedTuple):
    """Source text of a number, and the interval that Python's value lies in."""

    text: str
    low: int
    high: int

    @property
    def fits(self) -> bool:
        return (self.low >= MIN_I64 and self.high <= MAX_I64) or (self.low >= 0 and self.high <= MAX_U64)


class Writer:
    """Draws a function statement by statement. What it writes neither divides by zero nor leaves 64 bits."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []
        self.names: dict[str, tuple[int, int]] = {}
        self.locals: list[str] = []
        self.helpers: list[tuple[str, int]] = []
        self.loops = 0
        self.loop_names = 0
        self.result = TYPES["i64"]
        self.steps = 1  # how often the innermost statement runs at most

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def one(self, *choices: Expr) -> Expr:
        return self.random.choice(choices)

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    # numbers

    def small(self, depth: int) -> Expr:
        """A number in the range that locals keep."""
        found = self.expr(depth)
        if found.low >= -MODULUS and found.high <= MODULUS:
            return found
        return self.one(Expr(f"({found.text}) % {MODULUS}", 0, MODULUS - 1),
                        Expr(f"({found.text}) & 0xFFFF", 0, 0xFFFF))

    def expr(self, depth: int) -> Expr:
        if depth <= 0 or self.number(0, 5) == 0:
            return self.leaf()
        kind = self.pick("binary", "binary", "binary", "divide", "shift", "unary", "condition", "call", "cast",
                         "builtin", "tuple")
        found: Expr = getattr(self, f"of_{kind}")(depth - 1)
        return found if found.fits else self.leaf()

    def leaf(self) -> Expr:
        if self.names and self.number(0, 3):
            name = self.pick(*self.names)
            return Expr(name, *self.names[name])
        value = self.pick(0, 1, 2, 3, 7, 10, 255, 256, 65535, 0x7FFFFFFF, 1 << 31, 0xFFFFFFFF, -1, -2, -128, -32768)
        return Expr(str(value) if value >= 0 else f"({value})", value, value)

    def of_binary(self, depth: int) -> Expr:
        operator = self.pick("+", "-", "*", "&", "|", "^")
        a, b = self.expr(depth), self.expr(depth)
        if not _interval(operator, a, b, "").fits:
            a, b = self.cut(a), self.cut(b)
        return _interval(operator, a, b, f"({a.text} {operator} {b.text})")

    def cut(self, a: Expr) -> Expr:
        return a if a.low >= -(1 << 31) and a.high < 1 << 31 else Expr(f"({a.text} & 0x7FFFFFFF)", 0, 0x7FFFFFFF)

    def of_divide(self, depth: int) -> Expr:
        a = self.expr(depth)
        if a.high > MAX_I64:
            a = self.cut(a)
        divisor = self.pick(1, 2, 3, 7, 10, 64, 1000, 65536, -1, -2, -7, -1000)
        b = Expr(f"({divisor})", divisor, divisor)
        if self.number(0, 2) == 0:
            inner = self.expr(depth)
            b = Expr(f"(({inner.text} & 15) + 1)", 1, 16)
        if a.low == MIN_I64 and b.low < 0:
            a = self.cut(a)
        if self.pick(True, False):
            most = max(abs(a.low), abs(a.high))
            return Expr(f"({a.text} // {b.text})", 0 if a.low >= 0 and b.low > 0 else -most - 1, most)
        return Expr(f"({a.text} % {b.text})", min(b.low + 1, 0), max(b.high - 1, 0))

    def of_shift(self, depth: int) -> Expr:
        a = self.expr(depth)
        count = self.number(0, 31)
        by, most = str(count), count
        if self.pick(True, False):
            by, most = f"({self.expr(depth).text} & 7)", 7
        if self.pick(True, False):
            return Expr(f"({a.text} >> {by})", min(a.low, 0), max(a.high, 0))
        a = self.cut(a)
        return Expr(f"({a.text} << {by})", min(a.low << most, 0), max(a.high << most, 0))

    def of_unary(self, depth: int) -> Expr:
        a = self.expr(depth)
        if a.high > MAX_I64 or a.low == MIN_I64:
            a = self.cut(a)
        return self.one(Expr(f"(-{a.text})", -a.high, -a.low), Expr(f"(~{a.text})", ~a.high, ~a.low),
                        Expr(f"(+{a.text})", a.low, a.high))

    def of_condition(self, depth: int) -> Expr:
        a, b = self.expr(depth), self.expr(depth)
        joined = Expr("", min(a.low, b.low), max(a.high, b.high))
        if not joined.fits:
            a, b = self.cut(a), self.cut(b)
        return Expr(f"({a.text} if {self.truth(depth)} else {b.text})", min(a.low, b.low), max(a.high, b.high))

    def of_call(self, depth: int) -> Expr:
        if not self.helpers:
            return self.leaf()
        name, count = self.pick(*self.helpers)
        arguments = ", ".join(self.small(depth).text for _ in range(count))
        return Expr(f"{name}({arguments})", -MODULUS, MODULUS)

    def of_cast(self, depth: int) -> Expr:
        name = self.pick(*TYPES)
        return Expr(f"{name}({self.expr(depth).text})", *TYPES[name])

    def of_builtin(self, depth: int) -> Expr:
        a, b = self.expr(depth), self.expr(depth)
        if not Expr("", min(a.low, b.low), max(a.high, b.high)).fits or a.low == MIN_I64:
            a, b = self.cut(a), self.cut(b)
        which = self.pick("min", "max", "abs", "int", "bits")
        if which == "min":
            return Expr(f"min({a.text}, {b.text})", min(a.low, b.low), min(a.high, b.high))
        if which == "max":
            return Expr(f"max({a.text}, {b.text})", max(a.low, b.low), max(a.high, b.high))
        if which == "abs":
            return Expr(f"abs({a.text})", 0, max(abs(a.low), abs(a.high)))
        if which == "bits":
            return Expr(f"({a.text}).bit_length()", 0, 64)
        return Expr(f"(1 if {self.truth(depth)} else 0)", 0, 1)

    def of_tuple(self, depth: int) -> Expr:
        items = [self.expr(depth) for _ in range(self.number(2, 3))]
        at = self.number(0, len(items) - 1)
        return Expr(f"({', '.join(i.text for i in items)})[{at}]", items[at].low, items[at].high)

    # truth

    def truth(self, depth: int) -> str:
        kind = self.pick("compare", "compare", "chain", "and", "or", "not", "in", "bare") if depth > 0 else "compare"
        if kind in ("and", "or"):
            return f"({self.truth(depth - 1)} {kind} {self.truth(depth - 1)})"
        if kind == "not":
            return f"(not {self.truth(depth - 1)})"
        if kind == "bare":
            return f"({self.expr(depth - 1).text} != 0)"
        if kind == "in":
            return f"({self.expr(depth - 1).text} in ({self.leaf().text}, {self.leaf().text}, 5))"
        texts = [self.expr(depth - 1).text for _ in range(3 if kind == "chain" else 2)]
        return "(" + texts[0] + "".join(f" {self.pick('<', '<=', '>', '>=', '==', '!=')} {t}" for t in texts[1:]) + ")"

    # statements

    def block(self, indent: str, depth: int, *, last: bool = False) -> None:
        for _ in range(self.number(1, 3)):
            kind = self.pick("assign", "assign", "augment", "swap", "if", "for", "while", "match", "leave")
            if depth <= 0 and kind in ("if", "for", "while", "match"):
                kind = "assign"
            getattr(self, f"do_{kind}")(indent, depth - 1)
        if not last:
            self.lines.append(f"{indent}pass")

    def assign(self, indent: str, name: str, depth: int) -> None:
        self.lines.append(f"{indent}{name} = {self.small(depth).text}")

    def do_assign(self, indent: str, depth: int) -> None:
        self.assign(indent, self.pick(*self.locals), 2)

    def do_augment(self, indent: str, depth: int) -> None:
        name, value = self.pick(*self.locals), self.small(1)
        self.lines.append(f"{indent}{name} {self.pick('+=', '-=', '^=')} {value.text}")
        self.lines.append(f"{indent}{name} %= {MODULUS}")

    def do_swap(self, indent: str, depth: int) -> None:
        a, b = self.pick(*self.locals), self.pick(*self.locals)
        if a != b:
            self.lines.append(f"{indent}{a}, {b} = {b}, {self.small(1).text}")

    def do_if(self, indent: str, depth: int) -> None:
        self.lines.append(f"{indent}if {self.truth(2)}:")
        self.block(indent + "    ", depth)
        if self.pick(True, False):
            self.lines.append(f"{indent}elif {self.truth(1)}:")
            self.block(indent + "    ", depth)
        if self.pick(True, False):
            self.lines.append(f"{indent}else:")
            self.block(indent + "    ", depth)

    def looped(self, indent: str, depth: int, most: int) -> None:
        steps, self.steps = self.steps, self.steps * most
        self.loops += 1
        self.block(indent + "    ", depth)
        self.loops -= 1
        self.steps = steps

    def do_for(self, indent: str, depth: int) -> None:
        if self.steps > 8:
            return self.do_assign(indent, depth)
        self.loop_names += 1
        name = f"k{self.loop_names}"
        bounds = self.pick("3", "5", "2, 7", "9, 1, -2", f"{self.small(1).text} & 3", f"1, {self.small(1).text} & 7",
                           f"({self.small(1).text}) % 6 - 2")
        self.lines.append(f"{indent}for {name} in range({bounds}):")
        self.names[name] = (0, 9)
        self.looped(indent, depth, 5)
        del self.names[name]
        return None

    def do_while(self, indent: str, depth: int) -> None:
        if self.steps > 8:
            return self.do_assign(indent, depth)
        self.loop_names += 1
        name = f"w{self.loop_names}"
        self.lines.append(f"{indent}{name} = 0")
        self.lines.append(f"{indent}while {name} < {self.number(1, 6)}:")
        self.lines.append(f"{indent}    {name} += 1")
        self.names[name] = (0, 7)
        self.looped(indent, depth, 6)
        del self.names[name]
        return None

    def do_match(self, indent: str, depth: int) -> None:
        self.lines.append(f"{indent}match {self.small(1).text} & 7:")
        for text in self.pick(("1", "2 | 3"), ("0",), ("7 | 5", "n if n > 3")):
            self.lines.append(f"{indent}    case {text}:")
            self.block(indent + "        ", depth)
        self.lines.append(f"{indent}    case _:")
        self.block(indent + "        ", depth)

    def do_leave(self, indent: str, depth: int) -> None:
        if self.loops and self.number(0, 1):
            self.lines.append(f"{indent}if {self.truth(1)}:")
            self.lines.append(f"{indent}    {self.pick('break', 'continue')}")
        elif indent != "    ":
            self.lines.append(f"{indent}if {self.truth(1)}:")
            self.lines.append(f"{indent}    return {self.returned(self.small(1))}")

    # functions

    def returned(self, value: Expr) -> str:
        """A constant must fit; whatever else is returned is cut."""
        fits = value.low < value.high or self.result[0] <= value.low <= self.result[1]
        return value.text if fits else f"({value.text}) & 0x7F"

    def helper(self, name: str) -> None:
        count = self.number(1, 3)
        names = ["p", "q", "r"][:count]
        compiled = self.pick(True, False)
        shown = ", ".join(f"{n}: i64" if compiled else n for n in names)
        self.lines += ["@subprogram"] if compiled else []
        self.lines.append(f"def {name}({shown}){' -> i64' if compiled else ''}:")
        # What a subprogram takes is what it says; an inlined function takes what it is given.
        self.names = dict.fromkeys(names, TYPES["i64"] if compiled else (-MODULUS, MODULUS))
        self.locals = ["t"]
        self.assign("    ", "t", 1)
        self.names["t"] = (-MODULUS, MODULUS)
        self.block("    ", 1, last=True)
        self.lines.append(f"    return {self.small(2).text}")
        self.helpers.append((name, count))

    def function(self) -> str:
        for at in range(self.number(0, 2)):
            self.helper(f"h{at}")
        chosen = [self.pick(*TYPES) for _ in range(self.number(1, 3))]
        result = self.pick("i64", "u64", *TYPES)
        self.result = TYPES[result]
        self.lines.append(f"def f({', '.join(f'{n}: {t}' for n, t in zip('abc', chosen))}) -> {result}:")
        self.names = {n: TYPES[t] for n, t in zip("abc", chosen)}
        self.locals = ["x", "y"]
        for name in ("x", "y"):
            self.assign("    ", name, 1)
            self.names[name] = (-MODULUS, MODULUS)
        self.block("    ", 3, last=True)
        self.lines.append(f"    return {self.returned(self.expr(2))}")
        return "\n".join(self.lines) + "\n"


def _interval(operator: str, a: Expr, b: Expr, text: str) -> Expr:
    if operator == "+":
        return Expr(text, a.low + b.low, a.high + b.high)
    if operator == "-":
        return Expr(text, a.low - b.high, a.high - b.low)
    if operator == "*":
        corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        return Expr(text, min(corners), max(corners))
    if operator == "&" and (a.low >= 0 or b.low >= 0):
        return Expr(text, 0, min(e.high for e in (a, b) if e.low >= 0))
    size = max(max(abs(e.low), abs(e.high)) for e in (a, b)).bit_length()
    return Expr(text, 0 if a.low >= 0 and b.low >= 0 else -(1 << size), (1 << size) - 1)


@pytest.mark.kernel
@pytest.mark.timeout(7200)  # for the counts of `full`
@settings(max_examples=PROGRAMS, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(st.integers(0, MAX_U64), st.data())
def test_random_functions_mean_what_python_means(seed: int, data: st.DataObject) -> None:
    text = Writer(Random(seed)).function()
    function = define(text)
    types = parameter_types(function)
    result = ctype_of(function.__annotations__["return"], [function.__globals__])
    operands = data.draw(st.lists(st.tuples(*map(edges, types)), min_size=4, max_size=12))
    try:
        native_ways = (native(function, opt=0), native(function, opt=2))
        kernel = Kernel(function)
        ways: tuple[Callable[..., int], ...] = (*native_ways, kernel)
    except CompileError as refused:
        assert _well_formed(refused), text
        event(f"refused: {refused.what}")
        assume(False)
    except VerifierError as rejected:
        assert "too large" in rejected.reason or "too complex" in rejected.reason, f"{rejected}\n{text}"
        event("too long for the verifier")
        assume(False)
    try:
        for given_ in operands:
            expected = wrapped(function(*given_), result)
            for name, way in zip(("O0", "O2", "kernel"), ways):
                found = way(*given_) & MASK
                assert found == expected, f"{name}{given_}: {found:#x}, Python says {expected:#x}\n{text}"
    finally:
        kernel.close()


# damaged sources

SOURCES = tuple(body for body, says in test_mistakes.XDP.values()) + (
    "tcp = ctx.find(TCP)\n    if tcp is not None and tcp.dport == 80 and ip.source == '192.0.2.1':\n"
    "        return xdp.DROP",
    "entry = table.get(ctx.length)\n    if entry is not None:\n        entry.packets += 1\n    else:\n"
    "        table[ctx.length] = Blocked(1, 0)",
    "match ctx.find(TCP, UDP):\n        case TCP(dport=443) | UDP(dport=443):\n            return xdp.PASS\n"
    "        case TCP(syn=1, sport=port) if port > 1024:\n            counts.increment(port)\n        case _:\n"
    "            totals.plain += two(1, ip.ttl)",
    "with opens.reserve() as event:\n        if event is not None:\n            event.pid = ip.ttl\n"
    "            event.path = 'abc'\n    log(f'{ip.source} {ctx.length:#x}')",
    "e = buckets.get(1)\n    if e is not None:\n        with e.lock:\n            e.tokens = min(e.tokens + 1, 64)\n"
    "    n = 0\n    for i in range(10):\n        n += i if i % 2 else -i\n    totals.plain = u64(n)",
    "for key, value in counts.items():\n        if key > 3 and value < limits.most:\n"
    "            counts.pop(key, None)\n"
    "    x, y = ip.ttl, ctx.length\n    while x > 0:\n        x //= 2\n        y ^= x\n    counts[1] = y",
)
OPERANDS = ("ip", "ctx", "table", "counts", "limits", "totals", "Blocked", "TCP", "IPv4", "u8", "i64", "x", "e",
            "n", "len", "min", "range", "xdp.DROP", "()", "f'{x}'", "(lambda: 1)", "[1]", "current.pid",
            "current", "ip.ttl", "table.get", "opens", "exists", "Verdict.LET", "stages", "None", "True", "0",
            "1", "-1", "1.5", "2**70", "'text'", "b'x'", "...", "ip.source", "totals.seen", "limits.most",
            "numbers", "local", "seen", "two", "forever", "table.get(1)", "counts.get(1)", "ctx.find(TCP)", "{}",
            "xdp", "tc.OK", "now_ns()", "u64(1)", "Blocked(1, 2)", "1 // 0", "1 << 70", "(1, 2)", "(y := 3)",
            "not x", "-ip", "ip[0]", "ctx.length", "stages.tail_call", "opens.reserve()", "names", "factor",
            "nets.get(ip.source)", "buckets.get(1)", "task", "Bucket", "array", "char", "L", "int", "str", "log")
OPERATORS = ("+", "-", "*", "**", "//", "/", "%", "@", "<<", ">>", "&", "|", "^", "<", "==", "!=", ">=", "in",
             "is", "is not", "not in", "and", "or", ",", ".", "if 1 else")
STORES = ("=", "+=", "-=", "*=", "//=", "|=", ":", "<<=", "%=", "/=", "@=")
OTHERS = ("(", ")", "[", "]", ":", ",", ".", "=", "not", "for", "while", "break", "return", "with", "as", "if",
          "else", "*")


def _like(token: str) -> tuple[str, ...]:
    """What may stand where a token stands."""
    if token in STORES[:1] or (token.endswith("=") and token not in OPERATORS):
        return STORES
    if token in OPERATORS:
        return OPERATORS
    if (token.isidentifier() and not iskeyword(token)) or token[:1].isdigit() or token[:1] in "'\"":
        return OPERANDS
    return OTHERS


def _tokens(text: str) -> list[str]:
    return [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline)
            if t.type not in (tokenize.ENDMARKER, tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)]


def _damaged(random: Random, body: str) -> str:
    """A body with a few of its tokens lost, doubled, exchanged or replaced."""
    for _ in range(random.randint(1, 3)):
        lines = body.split("\n")
        at = random.randrange(len(lines))
        try:
            tokens = _tokens(lines[at].strip())
        except (tokenize.TokenError, SyntaxError):
            continue
        if not tokens:
            continue
        place = random.randrange(len(tokens))
        how = random.choice(("lose", "double", "swap", "insert", *("replace",) * 12))
        other = random.choice(_like(tokens[place]))
        if how == "lose":
            del tokens[place]
        elif how == "double":
            tokens.insert(place, tokens[place])
        elif how == "swap":
            tokens[place - 1], tokens[place] = tokens[place], tokens[place - 1]
        elif how == "insert":
            tokens.insert(place, other)
        else:
            tokens[place] = other
        indent = lines[at][:len(lines[at]) - len(lines[at].lstrip())]
        lines[at] = indent + " ".join(tokens)
        body = "\n".join(lines)
    return body


def _well_formed(error: CompileError) -> bool:
    """One line of what, a place with a caret inside the shown source."""
    shown = str(error).splitlines()
    return bool(error.what and error.line > 0 and 0 <= error.column <= len(error.source) and "^" in shown[2])


def outcome(body: str) -> str:
    """What becomes of a body: "ok", "no python", or what the compile error says."""
    text = f"""{test_mistakes.HEAD}
@xdp.program
def program(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    {body}
    return xdp.PASS
"""
    file = f"<damaged {abs(hash(body))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": "damaged"}
    try:
        try:
            exec(compile(text, file, "exec"), space)
        except (SyntaxError, ValueError, TypeError):
            return "no python"
        compile_programs([space["program"]], Target("v3", FEATURES), cached=False)
    except CompileError as refused:
        assert _well_formed(refused), f"{refused}\n{body}"
        return refused.what
    finally:
        del linecache.cache[file]
    return "ok"


FEATURES = frozenset({"ringbuf", "bpf_loop", "atomics", "may_goto", "iter_num", "kfuncs"})


@pytest.mark.userspace
@pytest.mark.timeout(7200)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@settings(max_examples=DAMAGES, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SOURCES), st.integers(0, MAX_U64))
def test_damaged_sources_are_compiled_or_refused(body: str, seed: int) -> None:
    said = outcome(_damaged(Random(seed), body))
    event(said if said in ("ok", "no python") else "refused")
