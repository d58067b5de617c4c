"""Attach points, provider by provider: `kprobe:vfs_read+8`, `u:/bin/bash:readline`, `interval:1s`, ..."""
from __future__ import annotations

from bpfwright._typing import Callable, NoReturn, Sequence
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.lexer import DURATIONS
from bpfwright.facets.trace.text import Note, Span, nearest

__all__ = ["EVENTS", "PROVIDERS", "SHORT", "Wrong", "attach_point"]

SHORT = {"f": "fentry", "fr": "fexit", "h": "hardware", "i": "interval", "it": "iter", "k": "kprobe", "kr": "kretprobe",
         "p": "profile", "rt": "rawtracepoint", "s": "software", "t": "tracepoint", "u": "uprobe", "ur": "uretprobe",
         "U": "usdt", "w": "watchpoint", "aw": "asyncwatchpoint"}
_OLD = {"BEGIN": "begin", "END": "end", "kfunc": "fentry", "kretfunc": "fexit"}
EVENTS = {
    "software": ("cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults",
                 "major-faults", "alignment-faults", "emulation-faults", "dummy", "bpf-output"),
    "hardware": ("cpu-cycles", "instructions", "cache-references", "cache-misses", "branch-instructions",
                 "branch-misses", "bus-cycles", "frontend-stalls", "backend-stalls", "ref-cycles"),
}
_ALIASES = {"cpu": "cpu-clock", "faults": "page-faults", "cs": "context-switches", "cycles": "cpu-cycles",
            "branches": "branch-instructions"}
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class Wrong(Exception):
    """A note about what cannot be parsed on; the parser catches it and goes on after it."""

    def __init__(self, note: Note) -> None:
        super().__init__(note.what)
        self.note = note


class _Part:
    """One piece between colons: its text without quotes, and its place."""

    __slots__ = ("span", "text")

    def __init__(self, text: str, span: Span) -> None:
        self.text = text
        self.span = span

    def refuse(self, what: str, cure: str) -> NoReturn:
        span = self.span
        raise Wrong(Note(span if span.end > span.start else Span(span.text, span.start, span.start + 1), what, cure))


def attach_point(raw: str, span: Span, warn: Callable[[Note], None], with_process: bool = False,
                 words: Sequence[str] = ()) -> tree.AttachPoint:
    """The attach point that `raw` writes. `with_process`: a process is given, so that user probes need no binary.
    `words` are put in for positional parameters; a time or an address may keep its parameter.
    """
    written = raw
    raw = _with_words(raw, words) if "$" in raw and words else raw
    label, start = "", 0
    equals = raw.find("=")
    if equals > 0 and raw[:equals].isidentifier():
        label, start = raw[:equals], equals + 1
    parts, source = _split(raw, start, span)
    if raw != written:  # what is wrong may stand in a parameter: then it is the whole
        parts = [_Part(part.text, span) for part in parts]
        source = source and _Part(source.text, span)
    first = parts[0]
    name = first.text
    provider = SHORT.get(name, _OLD.get(name, name))
    if name in _OLD:
        warn(Note(first.span, f"`{name}` is an old name", f"Write `{provider}`."))
    build = PROVIDERS.get(provider)
    if build is None:
        _unknown_provider(first, len(parts))
    here = span.text.span(span.start, span.end)
    if source is not None:
        if provider != "uprobe":
            source.refuse(f"`{provider}` takes no source line", "Write `uprobe:binary@file:line`.")
        return _source_line(here, label, parts, source)
    return build(here, label, provider, parts, with_process)


def _with_words(raw: str, words: Sequence[str]) -> str:
    """With `$1`, `$2`, ... as they are given, but in quotes."""
    text, quoted, at = "", False, 0
    while at < len(raw):
        c = raw[at]
        at += 1
        quoted ^= c == '"'
        end = at
        while c == "$" and not quoted and raw[end:end + 1].isdigit():
            end += 1
        number = int(raw[at:end] or "0")
        text += words[number - 1] if 0 < number <= len(words) else raw[at - 1:end] if end > at else c
        at = end
    return text


def _split(raw: str, start: int, span: Span) -> tuple[list[_Part], _Part | None]:
    """The pieces between colons, and what stands behind `@`."""
    parts: list[_Part] = []
    begin, text, at = start, "", start
    in_source = False
    while (c := raw[at:at + 1]) != "":
        if c in ":@" and not in_source:
            parts.append(_Part(text, span.text.span(span.start + begin, span.start + at)))
            begin, text, in_source = at + 1, "", c == "@"
        elif c == '"':
            at += 1
            while raw[at:at + 1] not in ('"', ""):
                at += raw[at] == "\\"
                text += raw[at:at + 1]
                at += 1
        else:
            text += c
        at += 1
    last = _Part(text, span.text.span(span.start + begin, span.end))
    return (parts, last) if in_source else ([*parts, last], None)


def _unknown_provider(part: _Part, parts: int) -> NoReturn:
    if not part.text:
        part.refuse("an attach point begins with its provider", "Write `kprobe:vfs_read`, say.")
    if "*" in part.text:
        part.refuse("a provider cannot be a pattern", "Name it, and list several attach points with commas.")
    close = nearest(part.text, (*PROVIDERS, *_OLD) if len(part.text) > 2 else ())
    close = _OLD.get(close, close)
    if close:
        part.refuse(f"there is no provider `{part.text}`", f"Did you mean `{close}`?")
    if parts == 1:
        part.refuse(f"`{part.text}` is no attach point", "A probe is `provider:what { ... }`: `kprobe:vfs_read`, say.")
    part.refuse(f"there is no provider `{part.text}`", f"There are {', '.join(PROVIDERS)}.")


def _count(parts: list[_Part], least: int, most: int, form: str) -> None:
    """Refuse fewer or more parts behind the provider."""
    given = len(parts) - 1
    if given < least:
        _Part(parts[0].text, parts[0].span.to(parts[-1].span)).refuse(
            f"`{parts[0].text}` needs more than this", f"Write `{form}`.")
    if given > most:
        _Part("", parts[most + 1].span.to(parts[-1].span)).refuse(
            f"`{parts[0].text}` has a part too many", f"Write `{form}`.")


def _named(part: _Part, what: str, form: str) -> str:
    """A part that must not be empty and stands in one word."""
    if not part.text:
        part.refuse(f"{what} is missing", f"Write `{form}`.")
    for c in "()=!<>|^&;`'":
        if c in part.text and '"' not in part.span.text.content[part.span.start:part.span.end]:
            part.refuse(f"`{c}` cannot stand in {what}", f'Put it in quotes: `"{part.text}"`.')
    return part.text


def _number(part: _Part, what: str, cure: str) -> int | str:
    """A whole number as the language writes them, or the text with a positional parameter in it."""
    text = part.text
    if "$" in text:
        position = text[text.index("$") + 1:]
        if not (position.isdigit() and position.isascii() and position[0] != "0"):
            part.refuse(f"`{text}` is no positional parameter", "They count from `$1`.")
        return text
    plain, power = text.replace("_", "").lower(), 0
    base = 16 if plain[:2] == "0x" else 8 if plain[:1] == "0" and len(plain) > 1 else 10
    digits = plain[2:] if base == 16 else plain
    if base == 10 and "e" in plain:
        digits, _, exponent = plain.partition("e")
        power = int(exponent) if exponent.isdigit() and exponent.isascii() and len(exponent) < 3 else -1
    allowed = "0123456789abcdef" if base == 16 else "01234567" if base == 8 else "0123456789"
    if not digits or len(digits) > 30 or power < 0 or any(c not in allowed for c in digits):
        part.refuse(f"{what} must be a number" if text else f"{what} is missing", cure)
    value: int = int(digits, base) * 10 ** power
    return value


def _function(part: _Part, what: str, form: str) -> tuple[str, int]:
    """`name+offset`."""
    name, plus, offset = part.text.rpartition("+")
    quoted = part.span.text.content[part.span.start:part.span.end].endswith('"')
    if not plus or quoted:
        return _named(part, what, form), 0
    where = Span(part.span.text, part.span.end - len(offset), part.span.end)
    number = _number(_Part(offset, where), "the offset", "Write `function+0x10`.")
    if isinstance(number, str):
        part.refuse("an offset cannot be a positional parameter", "Write the number.")
    return _named(_Part(name, part.span), what, form), number


def _special(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    _count(parts, 0, 0, f"{provider} {{ ... }}")
    return tree.Special(span, label, provider)


def _labelled(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = f"{provider}:name"
    _count(parts, 1, 1, form)
    return tree.Labelled(span, label, provider, _named(parts[1], "the name", form))


def _self(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = "self:signal:SIGUSR1"
    _count(parts, 2, 2, form)
    if parts[1].text != "signal":
        parts[1].refuse(f"`self` knows no `{parts[1].text}`", f"Write `{form}`.")
    return tree.Signal(span, label, _named(parts[2], "the signal", form))


def _timer(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = f"{provider}:hz:99` or `{provider}:1s" if provider == "profile" else f"{provider}:1s"
    _count(parts, 1, 2, form)
    part = parts[-1]
    text, unit = part.text, "ns"
    if len(parts) == 3:
        unit = parts[1].text
        if unit not in _UNITS and unit != "hz":
            parts[1].refuse(f"`{unit}` is no unit of a timer", f"There are hz, s, ms, us and ns: `{provider}:s:1`.")
    else:
        tail = text.lstrip("0123456789_")
        if tail in DURATIONS and tail != text:
            text, scale = text[:-len(tail)], DURATIONS[tail]
            number = _number(_Part(text, part.span), "the period", f"Write `{form}`.")
            return _timed(span, label, provider, "ns", number if isinstance(number, str) else number * scale, part)
    return _timed(span, label, provider, unit, _number(part, "the period", f"Write `{form}`."), part)


def _timed(span: Span, label: str, provider: str, unit: str, count: int | str, part: _Part) -> tree.AttachPoint:
    if count == 0:
        part.refuse("a timer cannot fire every 0 " + ("times a second" if unit == "hz" else unit),
                    f"Write `{provider}:1s`, say.")
    if isinstance(count, int) and unit != "hz":
        nanoseconds = count * _UNITS[unit]
        unit = next(unit for unit in ("s", "ms", "us", "ns") if nanoseconds % _UNITS[unit] == 0)
        count = nanoseconds // _UNITS[unit]
    return tree.Timer(span, label, provider, unit, count)


def _event(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = f"{provider}:event:count"
    _count(parts, 1, 2, form)
    event = _ALIASES.get(parts[1].text, parts[1].text)
    known = EVENTS[provider]
    if event not in known and "*" not in event:
        close = nearest(event, (*known, *_ALIASES))
        other = next((kind for kind, names in EVENTS.items() if event in names), "")
        parts[1].refuse(f"there is no {provider} event `{event}`" if event else f"the {provider} event is missing",
                        f"It is a {other} event: `{other}:{event}`." if other else
                        f"Did you mean `{close}`?" if close else f"There are {', '.join(known)}.")
    count = _number(parts[2], "the count", f"Write `{provider}:{event}:1000`.") \
        if len(parts) == 3 and parts[2].text else None
    return tree.Event(span, label, provider, event, count)


def _tracepoint(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = "tracepoint:category:event"
    if len(parts) == 2 and parts[1].text.startswith(("sys_enter_", "sys_exit_")):
        parts[1].refuse("a tracepoint needs its category", f"Write `tracepoint:syscalls:{parts[1].text}`.")
    _count(parts, 2, 2, form)
    return tree.Tracepoint(span, label, _named(parts[1], "the category", form), _named(parts[2], "the event", form))


def _raw_tracepoint(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = "rawtracepoint:event"
    _count(parts, 1, 2, form)
    module = _named(parts[1], "the module", "rawtracepoint:module:event") if len(parts) == 3 else ""
    return tree.RawTracepoint(span, label, module, _named(parts[-1], "the event", form))


def _kernel(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = f"{provider}:function"
    if provider in ("fentry", "fexit") and len(parts) > 2 and parts[1].text == "bpf":
        _count(parts, 2, 3, f"{provider}:bpf:name")
        number = _number(parts[2], "the program's id", f"Write `{provider}:bpf:123:name`.") if len(parts) == 4 else None
        if isinstance(number, str):
            parts[2].refuse("a program's id cannot be a positional parameter", "Write the number.")
        return tree.BpfProgram(span, label, provider, number, _named(parts[-1], "the program", f"{provider}:bpf:name"))
    _count(parts, 1, 2, form)
    module = _named(parts[1], "the module", f"{provider}:module:function") if len(parts) == 3 else ""
    name, offset = _function(parts[-1], "the function", form)
    if offset and provider != "kprobe":
        parts[-1].refuse(f"`{provider}` takes no offset", f"Write `kprobe:{name}+{offset:#x}`.")
    if offset and ("*" in name or "?" in name):
        parts[-1].refuse("a pattern takes no offset", "Name one function.")
    return tree.KernelFunction(span, label, provider, module, name, offset)


def _user(span: Span, label: str, provider: str, parts: list[_Part], with_process: bool) -> tree.AttachPoint:
    form = f"{provider}:binary:function"
    own = with_process and (len(parts) == 2 or (len(parts) == 3 and parts[1].text == "cpp"))
    if own:
        parts = [parts[0], _Part("", parts[0].span), *parts[1:]]
    if len(parts) == 2 and parts[1].text and "/" not in parts[1].text:
        parts[1].refuse("the binary is missing",
                        f"Write `{provider}:/path/to/binary:{parts[1].text}`, or give a process.")
    _count(parts, 2, 3, form)
    language = ""
    if len(parts) == 4:
        language = parts[2].text
        if language != "cpp":
            parts[2].refuse(f"`{language}` is no language of names",
                            f"There is `cpp`: `{provider}:binary:cpp:\"name\"`.")
    binary = "" if own else _named(parts[1], "the binary", form)
    last = parts[-1]
    if last.text[:1].isdigit():
        number = _number(last, "the address", f"Write `{provider}:binary:0x1234` or `{form}`.")
        assert isinstance(number, int)  # no `$` stands in it
        name, offset = "", number
    else:
        name, offset = _function(last, "the function", form)
    if provider == "uretprobe" and offset:
        last.refuse("`uretprobe` takes no offset", f"Write `uprobe:{binary}:{last.text}`.")
    if offset and ("*" in name or "?" in name):
        last.refuse("a pattern takes no offset", "Name one function.")
    return tree.UserFunction(span, label, provider, binary, language, name, offset)


def _source_line(span: Span, label: str, parts: list[_Part], source: _Part) -> tree.AttachPoint:
    form = "uprobe:binary@file.c:42"
    _count(parts, 1, 1, form)
    file, _, rest = source.text.partition(":")
    line, _, column = rest.partition(":")
    numbers = [int(text) if text.isdigit() and text.isascii() and len(text) < 8 else -1
               for text in (line, column or "0")]
    if not file or numbers[0] < 1 or numbers[1] < 0:
        source.refuse("a place in the source is a file, a line and maybe a column", f"Write `{form}`.")
    return tree.SourceLine(span, label, _named(parts[1], "the binary", form), file, numbers[0], numbers[1])


def _usdt(span: Span, label: str, provider: str, parts: list[_Part], with_process: bool) -> tree.AttachPoint:
    form = "usdt:binary:name"
    if with_process and len(parts) == 2:
        return tree.Usdt(span, label, "", "", _named(parts[1], "the name", form))
    _count(parts, 2, 3, form)
    return tree.Usdt(span, label, _named(parts[1], "the binary", form), parts[2].text if len(parts) == 4 else "",
                     _named(parts[-1], "the name", form))


def _iterator(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    _count(parts, 1, 2, "iter:task")
    kind = _named(parts[1], "the iterator", "iter:task")
    if "*" not in kind and not kind.isidentifier():
        parts[1].refuse(f"there is no iterator `{kind}`", "Write `iter:task`, or list them: -l 'iter:*'.")
    return tree.Iterator(span, label, kind, _named(parts[2], "the pin", "iter:task:name") if len(parts) == 3 else "")


def _watchpoint(span: Span, label: str, provider: str, parts: list[_Part], _: bool) -> tree.AttachPoint:
    form = f"{provider}:0x1000:8:w"
    _count(parts, 3, 3, form)
    name, plus, argument = parts[1].text.partition("+arg")
    address: int | str | None = None
    index = 0
    if plus:
        if not (argument.isdigit() and argument.isascii() and len(argument) < 3):
            parts[1].refuse(f"`arg{argument}` is no argument", f"Write `{provider}:function+arg0:8:w`.")
        name, index = _named(_Part(name, parts[1].span), "the function", form), int(argument)
    else:
        name, address = "", _number(parts[1], "the address", f"Write `{form}`.")
    length = _number(parts[2], "the length", f"Write `{form}`.")
    if length not in (1, 2, 4, 8):
        parts[2].refuse("the processor watches 1, 2, 4 or 8 bytes", f"Write `{form}`.")
    assert isinstance(length, int)  # one of those four
    mode = parts[3].text
    if not mode or set(mode) - set("rwx") or len(set(mode)) < len(mode):
        parts[3].refuse("the mode is made of `r`, `w` and `x`", f"Write `{form}`.")
    return tree.Watchpoint(span, label, provider, address, name, index, length, "".join(c for c in "rwx" if c in mode))


PROVIDERS: dict[str, Callable[[Span, str, str, list[_Part], bool], tree.AttachPoint]] = {
    "begin": _special, "end": _special, "test": _labelled, "bench": _labelled, "self": _self, "interval": _timer,
    "profile": _timer, "software": _event, "hardware": _event, "tracepoint": _tracepoint,
    "rawtracepoint": _raw_tracepoint, "uprobe": _user, "uretprobe": _user, "usdt": _usdt, "iter": _iterator,
    "kprobe": _kernel, "kretprobe": _kernel, "fentry": _kernel, "fexit": _kernel, "watchpoint": _watchpoint,
    "asyncwatchpoint": _watchpoint,
}
