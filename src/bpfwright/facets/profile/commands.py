"""Say where time goes: on CPUs or waiting, by stacks of kernel, native and Python code.

Samples the whole machine, a process (-p) or a command (after --) until Ctrl-C, -d SECONDS or its end. User code is
unwound in the kernel by its .eh_frame tables, or by frame pointers (--unwind frames). How many samples there were, and
how many are lost, cut or without names, is printed to stderr.
"""
from __future__ import annotations

import argparse
import sys

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.facets.profile.model import FORMATS, STATES, Options, Profile

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright profile -d 10                                   the functions that take most time, of the whole machine",
    "bpfwright profile -p 4711 -d 10 -f html -o flame.html     a flame graph of a process",
    "bpfwright profile -f speedscope -o build.json -- make     of a command and all that it starts",
    "bpfwright profile --off-cpu -d 5 --min-us 1000            where threads wait for a millisecond or more",
    "bpfwright profile --diff before.json after.json -f html -o diff.html",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    what = parser.add_argument_group("what to sample")
    what.add_argument("-p", "--pid", type=int, help="one process, all its threads")
    what.add_argument("-t", "--tid", type=int, help="one thread")
    what.add_argument("--comm", default="", metavar="NAME", help="threads of this name")
    what.add_argument("--cgroup", default="", metavar="PATH", help="what runs in this cgroup (v2) and those below")
    what.add_argument("-C", "--cpu", type=int, help="one CPU")
    what.add_argument("-U", "--user-stacks-only", action="store_true", help="no kernel frames")
    what.add_argument("-K", "--kernel-stacks-only", action="store_true", help="no user frames")
    how = parser.add_argument_group("how")
    how.add_argument("-F", "--frequency", type=int, default=99, metavar="HZ", help="samples a second and CPU (99)")
    how.add_argument("-d", "--duration", type=float, metavar="SECONDS", help="how long; else until Ctrl-C or its end")
    how.add_argument("--unwind", choices=("tables", "frames"), default="tables",
                     help="user stacks by .eh_frame tables, or by frame pointers alone (tables)")
    how.add_argument("--no-python", action="store_true", help="CPython's own frames, not those of Python functions")
    waiting = parser.add_argument_group("waiting")
    waiting.add_argument("--off-cpu", action="store_true", help="time that threads wait, by where they do")
    waiting.add_argument("--state", action="append", default=[], choices=tuple(STATES),
                         help="only in this state; again for more")
    waiting.add_argument("--min-us", type=float, default=1.0, metavar="US", help="only waits of at least this long (1)")
    waiting.add_argument("--max-us", type=float, metavar="US", help="only waits of at most this long")
    output = parser.add_argument_group("output")
    output.add_argument("-f", "--format", choices=tuple(FORMATS), default="table", help="(table)")
    output.add_argument("-o", "--output", metavar="FILE", default="-", help="write to FILE instead of stdout")
    output.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr")
    output.add_argument("--diff", nargs=2, metavar=("BEFORE", "AFTER"),
                        help="compare two profiles saved as json or folded (as table, folded, flamegraph, html)")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="a command to profile until it ends")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    if chosen.diff:
        from bpfwright.facets.profile.difference import compare
        before, after = chosen.diff
        _write(chosen, compare(before, after, chosen.format))
        return 0
    options = _options(chosen)
    options.check()
    if chosen.format == "pprof" and chosen.output == "-" and sys.stdout.isatty():
        raise UsageError("pprof is binary", cure="Add -o FILE, or send it to another program.")
    taken, code = _take(options, chosen.quiet)
    _write(chosen, taken.text(chosen.format))
    if not chosen.quiet:
        for line in taken.quality.lines():
            print(line, file=sys.stderr)
    return code


def _options(chosen: argparse.Namespace) -> Options:
    return Options(
        hz=chosen.frequency, duration_s=chosen.duration, off_cpu=chosen.off_cpu, pid=chosen.pid, tid=chosen.tid,
        comm=chosen.comm, cgroup=chosen.cgroup, cpu=chosen.cpu, kernel=not chosen.user_stacks_only,
        user=not chosen.kernel_stacks_only, unwind=chosen.unwind, python=not chosen.no_python,
        states=tuple(chosen.state), least_us=chosen.min_us, most_us=chosen.max_us, command=tuple(chosen.command))


def _take(options: Options, quiet: bool) -> tuple[Profile, int]:
    from bpfwright.facets.profile.control import Profiler
    with Profiler(options) as profiler:
        if not quiet and options.duration_s is None and not options.command:
            print("profiling; Ctrl-C ends it", file=sys.stderr)
        try:
            profiler.wait(options.duration_s)
        except KeyboardInterrupt:
            pass
        return profiler.finish(), profiler.exit_code or 0


def _write(chosen: argparse.Namespace, made: str | bytes) -> None:
    target: Any = sys.stdout
    if chosen.output != "-":
        with open(chosen.output, "wb") as file:
            file.write(made.encode("utf-8", "surrogateescape") if isinstance(made, str) else made)
        return
    if isinstance(made, bytes):
        target.buffer.write(made)
    else:
        target.write(made)
