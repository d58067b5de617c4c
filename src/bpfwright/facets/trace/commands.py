"""Run a script of bpftrace's language.

The script is a file, `-` for stdin, or the text of -e; what follows are its parameters ($1, $2, ...; --name=value after
a double dash). Ctrl-C ends it: what was gathered is printed.
"""
from __future__ import annotations

import sys

from bpfwright._typing import TYPE_CHECKING, Any, NoReturn
from bpfwright.errors import TargetError, UsageError
from bpfwright.facets.trace.options import Options

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright trace -e 'tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args.filename)); }'",
    "bpfwright trace -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }'",
    "bpfwright trace runqlat.bt              a script; Ctrl-C ends it and prints its maps",
    "bpfwright trace -f json -o out script.bt 5 -- --port=80",
    "bpfwright trace -l 'tracepoint:sched:*' what can be traced; -lv with arguments",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    _hint_at_parameters(parser)
    parser.add_argument("words", nargs="*", metavar="FILE | ARGUMENT",
                        help="the script (- is stdin), then its parameters")
    parser.add_argument("-l", dest="list", nargs="?", const="*", metavar="PATTERN",
                        help="list what can be traced, or what a script file would; -lv with arguments")
    parser.add_argument("--info", action="store_true", help="what this kernel can do")
    parser.add_argument("-e", dest="text", metavar="PROGRAM", help="the script itself")
    parser.add_argument("-c", dest="command", metavar="COMMAND", help="run COMMAND, and end with it")
    parser.add_argument("-p", dest="pid", type=int, metavar="PID", help="trace PID, and end with it")
    parser.add_argument("-f", dest="format", choices=("text", "json"), default="text", help="(text)")
    parser.add_argument("-o", dest="output", metavar="FILE", help="write to FILE instead of stdout")
    parser.add_argument("-B", dest="buffering", choices=("none", "line", "full"), default="line", help="(line)")
    parser.add_argument("-q", "--quiet", action="store_true", help="only what the script prints")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more: what is attached, and how")
    parser.add_argument("-k", dest="reports", action="store_true", help="report reads that fail")
    parser.add_argument("-d", dest="stages", action="append", default=[], metavar="STAGE",
                        help="print what a script becomes, and end: ast, codegen, codegen-opt, dis, libbpf (loading "
                             "and attaching), verifier, all; several with commas, or -d again")
    parser.add_argument("--dry-run", action="store_true", help="compile, load and attach; then end")
    parser.add_argument("--unsafe", action="store_true", help="allow what acts on the system: system, signal, ...")
    parser.add_argument("--test", action="store_true", help="run the script's test probes")
    parser.add_argument("--bench", action="store_true", help="run the script's bench probes")
    parser.add_argument("--no-warnings", action="store_true", help="leave warnings away")
    parser.add_argument("--fmt", dest="form", metavar="FILE", help="print a script in its canonical form, and end")
    parser.add_argument("-V", "--version", action="store_true", help="the version, and the language's")
    parser.add_argument("-I", dest="include", action="append", default=[], metavar="FOLDER",
                        help="look for imports there too")
    parser.add_argument("--include", dest="headers", action="append", default=[], metavar="HEADER",
                        help="as if the script began with #include <HEADER>")
    parser.add_argument("--for", dest="seconds", type=float, metavar="S", help="stop after S seconds")


def _hint_at_parameters(parser: argparse.ArgumentParser) -> None:
    """What is no option of ours may be meant for the script."""
    if not hasattr(parser, "error"):  # a plain command line is read without argparse, and has nothing to say
        return
    plain = parser.error

    def error(message: str) -> NoReturn:
        what, _, words = message.partition(": ")
        if what == "unrecognized arguments" and words.startswith("--"):
            message += f" (named parameters of the script come after a double dash: -- {words})"
        plain(message)

    parser.error = error  # type: ignore[method-assign]  # no other way leads from there to these words


def run(chosen: argparse.Namespace) -> int:
    if chosen.list is not None or chosen.info:
        return _list(chosen)
    if chosen.version:
        return _version()
    if chosen.form is not None:
        return _form(chosen.form)
    stages = _stages(chosen.stages)
    text, file, words = _script(chosen)
    positional, named = _parameters(words)
    wants_help = named.pop("help", None) is not None
    options = Options(words=positional, named=named, unsafe=chosen.unsafe, reports=chosen.reports, pid=chosen.pid,
                      traces_child=chosen.command is not None, include=tuple(chosen.include),
                      headers=tuple(chosen.headers), program=_program(chosen.command))
    if chosen.pid is not None and not _runs(chosen.pid):
        raise TargetError(f"there is no process {chosen.pid}", cure="`ps -e` lists them.")
    from bpfwright.kernel import Kernel
    with Kernel() as machine:
        if wants_help:
            from bpfwright.facets.trace.scripts import parameters_of
            print(parameters_of(text, file, options, machine) or "this script has no named parameters")
            return 0
        if stages:
            from bpfwright.facets.trace.stages import show
            return show(stages, text, file, options, machine, chosen.command)
        return _run(chosen, text, file, options, machine)


def _list(chosen: argparse.Namespace) -> int:
    """`-l` and `--info`. `-lv` comes as `-l v`, as the option takes a word."""
    import os

    from bpfwright.facets.trace.probes import listing
    from bpfwright.facets.trace.scripts import host_for, points_of
    from bpfwright.kernel import Kernel
    words = list(chosen.words)
    pattern = chosen.list or "*"
    verbose = chosen.verbose
    if pattern == "v" or (pattern == "*" and words):
        verbose = verbose or pattern == "v"
        pattern = words.pop(0) if words else "*"
    options = Options(pid=chosen.pid, include=tuple(chosen.include), words=tuple(words))
    lines: list[str] = []
    with Kernel() as machine:
        host = host_for(options, machine)
        if chosen.info:
            lines = list(listing.information(host))
        elif pattern.split(" ")[0] in ("struct", "union", "enum"):
            lines = list(listing.definition(host, pattern))
        else:
            if chosen.text is not None:
                names = points_of(chosen.text, "", options, machine)
            elif "*" not in pattern and os.path.isfile(pattern):
                names = points_of(*_read(pattern), options, machine)
            else:
                names = [name for each in pattern.split(",") for name in listing.listed(host, each)]
            lines = [line for name in names for line in (listing.with_arguments(host, name) if verbose else (name,))]
            if not lines:
                from bpfwright.errors import TargetError
                raise TargetError(f"nothing is called `{pattern}`", cure="`bpfwright trace -l '*name*'` searches all.")
    out = open(chosen.output, "w") if chosen.output else sys.stdout  # noqa: SIM115
    try:
        out.write("\n".join(lines) + "\n")
        out.flush()
    finally:
        if chosen.output:
            out.close()
    return 0


def _script(chosen: argparse.Namespace) -> tuple[str, str, list[str]]:
    words = list(chosen.words)
    if chosen.text is not None:
        return chosen.text, "", words
    if not words:
        raise UsageError("no script", cure="Name a file, or give it with -e 'begin { ... }'.")
    name = words.pop(0)
    if name == "-":
        text, name = sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), ""
    else:
        text, name = _read(name)
    if "\0" in text:
        raise UsageError(f"{name or 'stdin'} is no script", why="It holds bytes that are no text.")
    return text, name, words


def _read(name: str) -> tuple[str, str]:
    """A script and its name."""
    with open(name, encoding="utf-8", errors="surrogateescape") as file:
        return file.read(), name


def _stages(words: list[str]) -> list[str]:
    if not words:
        return []
    from bpfwright.facets.trace.stages import chosen
    return [stage for word in words for stage in chosen(word)]


def _program(command: str | None) -> str:
    if command is None:
        return ""
    from bpfwright.facets.trace.children import program_of
    return program_of(command)


def _runs(pid: int) -> bool:
    """Whether there is such a process, seen from here."""
    import os
    return pid > 0 and os.path.exists(f"/proc/{pid}")


def _form(name: str) -> int:
    """--fmt: a script in the one canonical form."""
    from bpfwright.facets.trace.parser import parse
    from bpfwright.facets.trace.render import render
    with open(name, encoding="utf-8", errors="surrogateescape") as file:
        sys.stdout.write(render(parse(file.read(), name).program).rstrip("\n") + "\n")
    return 0


def _version() -> int:
    from bpfwright._version import __version__
    print(f"bpfwright {__version__}, the language of bpftrace 0.26")
    return 0


def _parameters(words: list[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Positional parameters, and named ones: `--name=value` or `--name`."""
    positional, named = [], {}
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, _, value = word[2:].partition("=")
            named[name] = value
        else:
            positional.append(word)
    return tuple(positional), named


def _run(chosen: argparse.Namespace, text: str, file: str, options: Options, machine: Any) -> int:
    from bpfwright.facets.trace.configuration import DEFAULTS
    from bpfwright.facets.trace.running import Running
    from bpfwright.facets.trace.scripts import compiled
    if chosen.test or chosen.bench:
        options.tests = "test" if chosen.test else "bench"
    made = compiled(text, file, options, machine)
    if not chosen.no_warnings:
        for warning in made.plan.warnings:
            print(f"bpfwright: warning: {warning}", file=sys.stderr)
    out = open(chosen.output, "wb") if chosen.output else sys.stdout.buffer  # noqa: SIM115
    child = None
    try:
        if chosen.command is not None:
            from bpfwright.facets.trace.children import started
            child = started(chosen.command)
        with Running(made, machine, out, sys.stderr.buffer, json=chosen.format == "json", quiet=chosen.quiet,
                     buffering=chosen.buffering, warnings=not chosen.no_warnings, defaults=DEFAULTS, pid=chosen.pid,
                     command=chosen.command or "") as running:
            if chosen.test:
                return running.run_tests()
            if chosen.bench:
                return running.run_benches()
            running.start(child=child.pid if child is not None else None)
            if chosen.verbose:
                for link in running.links:
                    print(f"bpfwright: attached to {link.description}", file=sys.stderr)
            if chosen.dry_run:
                return 0
            if child is not None:
                child.go()
            return running.follow(child=child, pid=chosen.pid, seconds=chosen.seconds)
    finally:
        if child is not None:
            child.close()
        if chosen.output:
            out.close()


