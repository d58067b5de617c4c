"""Run a ready tool: execsnoop, opensnoop, biolatency, tcplife ...; alone it lists them, a line each.

`bpfwright tool NAME --help` says what a tool shows, its options and examples. Letters and columns are those that users
of bcc know; -f, -j, -o, --top, --for and the filters -p, --comm, --cgroup and --container are the same for all. Ctrl-C
prints what was gathered; how many events were lost comes last.
"""
from __future__ import annotations

import argparse
import signal
import sys

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.cli.parsing import Help
from bpfwright.cli.tool_output import Writer
from bpfwright.errors import UsageError
from bpfwright.facets.tools import names, tool

if TYPE_CHECKING:
    from bpfwright.facets.tools._running import Running
    from bpfwright.facets.tools._tool import Option, Tool

__all__ = ["EXAMPLES", "arguments", "parser_of", "run"]

EXAMPLES = (
    "bpfwright tool                              all tools",
    "bpfwright tool opensnoop --help             what one of them takes",
    "bpfwright tool opensnoop -p 181             files that process 181 opens",
    "bpfwright tool biolatency 1 5 -D            block I/O by disk, five times one second",
    "bpfwright tool tcplife -f jsonl -o tcp.log  connections as they end, as JSON Lines",
)
FORMATS = ("table", "json", "jsonl", "csv", "arrow")
FOREVER_S = 365 * 86400.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the tool; none: list them")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="its options")


def run(chosen: argparse.Namespace) -> int:
    if chosen.name is None:
        width = max(map(len, names()))
        print("\n".join(f"{name:{width}}  {line}" for name, line in sorted(names().items())))
        return 0
    found = tool(chosen.name)
    given = parser_of(found).parse_args(chosen.words)
    options = {option.name: getattr(given, option.name) for option in found.options}
    if given.top is not None and given.top < 1:
        raise UsageError(f"--top {given.top} shows nothing")
    if min(options.get("interval") or 0, options.get("count") or 0, given.seconds or 0) < 0:
        raise UsageError("a time or a count below 0")
    with Writer(given.format, given.output) as writer, found.start(**options) as running:
        _follow(running, writer, given)
    return 0


def parser_of(found: Tool) -> argparse.ArgumentParser:
    """A tool's own parser: its docstring is its help and ends with examples."""
    text, _, examples = found.doc.partition("\nexamples:\n")
    made = argparse.ArgumentParser(
        prog=f"bpfwright tool {found.name}", description=text.strip(), allow_abbrev=False,
        epilog="examples:\n" + examples.rstrip(), formatter_class=Help)
    for option in found.own:
        _add(made, option)
    for option in found.intervals:
        _add(made, option)
    if found.filters:
        group = made.add_argument_group("which events")
        for option in found.filters:
            _add(group, option)
    group = made.add_argument_group("output")
    group.add_argument("-f", "--format", choices=FORMATS, default="table", help="how rows are written (table)")
    group.add_argument("-j", "--json", dest="format", action="store_const", const="json", help="the same as -f json")
    group.add_argument("-o", "--output", metavar="FILE", default="-", help="write to FILE instead of stdout")
    group.add_argument("--top", type=int, metavar="N", help="the N largest only; of rows, at the end")
    taken = {word for option in found.options for word in option.words}
    group.add_argument(*(["-d"] if "-d" not in taken else []), "--for", dest="seconds", type=float, metavar="S",
                       help="end after S seconds")
    return made


def _add(parser: Any, option: Option) -> None:
    default, words = option.default, option.words
    if words[0].startswith("-"):
        if default is False:
            parser.add_argument(*words, dest=option.name, action="store_true", help=option.help)
            return
        if option.many:
            parser.add_argument(*words, dest=option.name, action="append", default=[], help=option.help,
                                metavar=option.name.upper()[:8])
            return
        kind = int if default is None else type(default)
        shown = f" ({default})" if default not in (None, "", 0, 0.0) else ""
        more: dict[str, Any] = {"choices": option.choices} if option.choices else {"metavar": option.name.upper()[:8]}
        parser.add_argument(*words, dest=option.name, type=kind, default=default, help=option.help + shown, **more)
        return
    required = not isinstance(default, (str, int, float, tuple))
    kind = str if required or isinstance(default, tuple) else type(default)
    nargs = ("+" if required else "*") if option.many else None if required else "?"
    parser.add_argument(option.name, type=kind, nargs=nargs, help=option.help,
                        **({} if required else {"default": default}))


def _follow(running: Running, writer: Writer, given: argparse.Namespace) -> None:
    """Print until the time is over or Ctrl-C is pressed; the second press is as ever."""
    def press(*_: object) -> None:
        running.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    end = None if given.seconds is None else now_ns() + int(given.seconds * 1e9)
    print("Tracing... Ctrl-C ends it.", file=sys.stderr, flush=True)
    try:
        writer.begin(running)
        tallied = getattr(running.tool, "tally", ()) and running.options.count
        (_periods if running.tool.periodic else _tally if tallied else _rows)(running, writer, end, given.top)
        writer.finish()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _say_lost(running)


def _say_lost(running: Running) -> None:
    losses = running.losses
    if running.events is not None:
        print(f"bpfwright: {running.seen:,} events, {losses.pop('ring', 0):,} lost", file=sys.stderr)
    if losses:
        print("bpfwright: no room for " + ", ".join(f"{count:,} in `{name}`" for name, count in losses.items()),
              file=sys.stderr)


def _left_s(end: int | None) -> float | None:
    return None if end is None else max(0.0, (end - now_ns()) / 1e9)


def _tally(running: Running, writer: Writer, end: int | None, top: int | None) -> None:
    """How often each combination of the tool's tally columns came, commonest first."""
    tool: Any = running.tool
    places = [at for at, column in enumerate(running.columns) if column.name in tool.tally]
    counts: dict[tuple[Any, ...], int] = {}
    while True:
        last = running.stopped or _left_s(end) == 0.0
        for row in running.arrived():
            key = tuple(row[at] for at in places)
            counts[key] = counts.get(key, 0) + 1
        if last:
            break
        running.wait(_left_s(end))
    ordered = sorted(counts.items(), key=lambda item: item[1], reverse=True)[:top]
    writer.rows([*key, count] for key, count in ordered)


def _rows(running: Running, writer: Writer, end: int | None, top: int | None) -> None:
    kept: list[Any] = []
    place = next((number for number, column in enumerate(running.columns)
                  if column.name == running.tool.rank), None)  # type: ignore[attr-defined]
    while True:
        last = running.stopped or _left_s(end) == 0.0
        rows = running.arrived()
        if top is None:
            writer.rows(rows)
        elif place is not None:
            kept = sorted([*kept, *rows], key=lambda row: row[place] or 0, reverse=True)[:top]
        else:
            kept = [*kept, *rows][-top:]
        if last:
            break
        running.wait(_left_s(end))
    if top is not None:
        writer.rows(iter(kept))


def _periods(running: Running, writer: Writer, end: int | None, top: int | None) -> None:
    options, made = running.options, 0
    default = getattr(running.tool, "each", 0.0)
    interval = options.interval or default or FOREVER_S
    # As ever: `TOOL 1` goes on, `TOOL 1 5` ends, and a tool that gathers prints once.
    while True:
        left = _left_s(end)
        running.wait(interval if left is None else min(interval, left))
        made += 1
        last = running.stopped or _left_s(end) == 0.0 or made == options.count
        writer.period(running, top or getattr(options, "maxrows", 0) or getattr(running.tool, "top", 0) or None)
        if last:
            return
