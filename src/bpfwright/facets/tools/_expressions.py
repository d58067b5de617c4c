"""argdist's probes: read, and written as a program in the dialect."""
from __future__ import annotations

from bpfwright._typing import Any, Iterator, NamedTuple
from bpfwright.errors import UsageError
from bpfwright.facets.tools._looks import look_of
from bpfwright.facets.tools._probes import Point, bound, expand, written
from bpfwright.facets.tools._simple import NUMBERS, TEXTS, Look, Said, Slot, counts, texts
from bpfwright.facets.tools._tool import Options, bucket
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import user_text
from bpfwright.hooks import kprobe, tracepoint, uprobe
from bpfwright.types import L, char, i8, i16, i32, i64, u8, u16, u32, u64

__all__ = ["Probe", "counts", "found", "parse", "probe_of", "programs", "settings"]

CHAR = "char*"
INTEGERS = {"u8": u8, "u16": u16, "u32": u32, "u64": u64, "s8": i8, "s16": i16, "s32": i32, "s64": i64, "i8": i8,
            "i16": i16, "i32": i32, "i64": i64, "char": i8, "short": i16, "int": i32, "long": i64, "bool": u8,
            "unsigned": u32, "unsigned int": u32, "unsigned long": u64, "size_t": u64, "ssize_t": i64, "uint8_t": u8,
            "uint16_t": u16, "uint32_t": u32, "uint64_t": u64, "int64_t": i64, "int32_t": i32, "pid_t": i32,
            "uid_t": u32, "off_t": i64, "unsigned char": u8, "unsigned short": u16, "unsigned long long": u64}


class Probe(NamedTuple):
    """`kind` p, r or t; where; parameters as (type, name); what is shown, and of which calls."""

    kind: str
    where: str
    parameters: list[tuple[str, str]]
    type: str
    expression: str
    filter: str


def parse(text: str) -> Probe:
    """The parts of a probe."""
    head, bracket, rest = text.partition("(")
    inside, closing, tail = rest.partition(")")
    kind, _, where = head.partition(":")
    parts = tail.lstrip(":").split(":", 2)
    if not bracket or not closing or kind not in ("p", "r", "t") or not where or len(parts) < 2:
        raise UsageError(f"{text!r} is no probe of argdist",
                         cure="Write 'p:c:malloc(size_t size):u64:size', with a type and an expression.")
    parameters = []
    for part in filter(None, map(str.strip, inside.split(","))):
        name = part.replace("*", " ").split()[-1]
        parameters.append((part[:part.rindex(name)].strip(), name))
    return Probe(kind, where, parameters, "".join(parts[0].split()) if "*" in parts[0] else parts[0].strip(),
                 _python(parts[1]), _python(parts[2]) if len(parts) > 2 else "")


def _python(expression: str) -> str:
    """C's operators as Python's; nothing but names, numbers and operators may stand there."""
    import ast
    text = expression.strip().replace("&&", " and ").replace("||", " or ").replace("$retval", "retval")
    text = text.replace("args->", "args.").replace("/", "//").replace("////", "//")
    text = text.replace("!=", "\0").replace("!", " not ").replace("\0", "!=").strip()
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except SyntaxError:
        raise UsageError(f"{expression.strip()!r} is no expression", cure="Use names, numbers and operators.") from None
    allowed = (ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Constant, ast.Attribute,
               ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context)
    if any(not isinstance(node, allowed) for node in nodes):
        raise UsageError(f"{expression.strip()!r}: calls and indices are not expressions of argdist")
    return text


def programs(options: Options) -> tuple[Any, ...]:
    """The programs of the probes that -C or -H names."""
    asked = options.histogram or options.frequency
    options.probes = (asked,) if isinstance(asked, str) and asked else tuple(asked)
    if not options.probes or (options.histogram and options.frequency):
        raise UsageError("argdist takes probes of one sort",
                         cure="Write -C PROBE or -H PROBE, each as often as you like.")
    options.several = len(options.probes) > 1
    parsed = [parse(text) for text in options.probes]
    kinds = {probe.type == CHAR for probe in parsed}
    options.maps = [kept for kept, used in ((texts, True in kinds), (counts, False in kinds)) if used]
    options.look = None if options.several else _look(parsed[0], bool(options.histogram))
    if options.look is not None:
        return _simple(parsed[0], options)
    return tuple(each for number, probe in enumerate(parsed) for each in _programs(probe, number, options))


def settings(options: Options) -> Look:
    """How the programs are set that are compiled already, for probes that need no others."""
    return options.look or Look()


def found(running: Any) -> Iterator[Any]:
    """What was counted, of numbers and of texts."""
    for kept in running.options.maps:
        yield from running.drained(kept)


def probe_of(running: Any, entry: Any) -> str:
    """The probe that an entry is of, as it was written."""
    return str(running.options.probes[entry.probe])


def _look(probe: Probe, histogram: bool) -> Look | None:
    """How the programs that are compiled already are set for a probe; None where they do not serve it."""
    if histogram and probe.type == CHAR:
        return None
    kind = "u64" if probe.type == CHAR else _type(probe.type)
    if probe.kind == "p":
        types = {name: _type(of) for of, name in probe.parameters}
    else:
        types = dict.fromkeys(_names(probe), kind)
    return look_of(probe, types, histogram)


def _names(probe: Probe) -> list[str]:
    """What a probe names that is no parameter: its result, or fields of its event."""
    import re
    return ["retval"] if probe.kind == "r" else re.findall(r"\bargs\.\w+", f"{probe.expression} {probe.filter}")


def _simple(probe: Probe, options: Options) -> tuple[Any, ...]:
    made: dict[str, Any] = TEXTS if probe.type == CHAR else NUMBERS
    if probe.kind == "t":
        return (made["t"].on(tracepoint.Event(probe.where)),)
    points = expand(probe.where.lstrip(":"), pid=options.pid, events=False)
    return bound(points, made[f"k{probe.kind}"], made[f"u{probe.kind}"], None, pid=options.pid)


def _programs(probe: Probe, number: int, options: Options) -> tuple[Any, ...]:
    body = _body(probe, number, bool(options.histogram))
    if probe.kind == "t":
        return (_event(probe, number, body),)
    points = expand(probe.where.lstrip(":"), pid=options.pid, events=False)
    made = _function(probe, points[0], number, body)
    return bound(points, made, made, None, pid=options.pid)


def _body(probe: Probe, number: int, histogram: bool) -> str:
    shown = f"({probe.expression})"
    if probe.type == CHAR and histogram:
        raise UsageError("a histogram is of numbers", cure="Write -C PROBE for texts.")
    if probe.type == CHAR:
        text = shown if probe.kind == "t" else f"user_text({shown}, 80)"
        store = f"texts.increment(Said({number}, {text}))"
    elif histogram:
        store = f"counts.increment(Slot({number}, 0, bucket(u64({shown}))))"
    else:
        store = f"counts.increment(Slot({number}, i64({shown}), 0))"
    condition = f"wanted() and ({probe.filter})" if probe.filter else "wanted()"
    return f"    if {condition}:\n        {store}\n"


def _type(name: str) -> str:
    words = " ".join(word for word in name.split() if word not in ("const", "struct"))
    ctype = u64 if "*" in words else INTEGERS.get(words)
    if ctype is None:
        raise UsageError(f"{name!r} is no type of argdist", cure=f"There are: {', '.join(INTEGERS)}, and char*.")
    return str(ctype.name)  # type: ignore[attr-defined]


def _function(probe: Probe, point: Point, number: int, body: str) -> Any:
    hook = "kprobe" if point.kind == "k" else "uprobe"
    if probe.type != CHAR:
        _type(probe.type)
    if probe.kind == "r":
        kind = "u64" if probe.type == CHAR else _type(probe.type)
        parameters, decorator = f"retval: {kind}", f"{hook}.exit"
    else:
        parameters = ", ".join(f"{name}: {_type(kind)}" for kind, name in probe.parameters)
        decorator = f"{hook}.program"
    symbol = point.name if hook == "kprobe" else f"{point.where}:{point.name}"
    taken = ", ".join(filter(None, (f"ctx: {hook}.Context", parameters)))
    return _made(number, f"@{decorator}({symbol!r})\ndef seen_{number}({taken}) -> None:\n{body}")


def _event(probe: Probe, number: int, body: str) -> Any:
    """A tracepoint's program, with the fields that are named."""
    named = {name.removeprefix("args.") for name in _names(probe)}
    kind = "char[L[80]]" if probe.type == CHAR else _type(probe.type)
    fields = "".join(f"    {name}: {kind}\n" for name in sorted(named)) or "    pass\n"
    return _made(number, f"class event(tracepoint.Fields, event={probe.where!r}):\n{fields}\n\n"
                         f"@tracepoint.program\ndef seen_{number}(args: event) -> None:\n{body}")


def _made(number: int, source: str) -> Any:
    """The program of that probe."""
    return written(source, f"seen_{number}", globals())


_used = (Said, Slot, bucket, wanted, user_text, kprobe, uprobe, L, char, u8, u16, u32, i8, i16, i32)  # by the texts
