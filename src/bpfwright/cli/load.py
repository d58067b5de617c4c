"""Load a BPF object, whoever compiled it; attach and pin it if told to.

Without --attach and --pin this only asks the verifier. With --attach the programs work until Ctrl-C; with --pin as well
they stay after this command has ended, until their names under DIR are removed. When any step fails, all is undone.
"""
from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager

from bpfwright._typing import TYPE_CHECKING, Callable, Iterator
from bpfwright.cli import attaching
from bpfwright.cli.inspect import read_object
from bpfwright.cli.names import kernel_names
from bpfwright.cli.output import Cell, Column, add_options, write
from bpfwright.errors import KernelError, UsageError

if TYPE_CHECKING:
    import argparse

    from bpfwright.kernel import Kernel
    from bpfwright.kernel.loader import KernelObject
    from bpfwright.spec.machine import Link

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright load x.bpf.o                                does the verifier accept it?",
    "bpfwright load x.bpf.o --attach -i eth0               attached until Ctrl-C",
    "bpfwright load x.bpf.o --attach -i eth0 --pin mine    stays; to end it: rm -r /sys/fs/bpf/mine",
)

COLUMNS = (Column("id", "ID", right=True), Column("kind", "KIND"), Column("type", "TYPE"), Column("name", "NAME"),
           Column("attached", "ATTACHED TO"), Column("pinned", "PINNED AT"))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.o", help="the object")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only these of its programs")
    parser.add_argument("--attach", action="store_true", help="attach the programs where their sections say")
    parser.add_argument("--pin", metavar="DIR", help="give programs, maps and links names in DIR (below bpffs)")
    parser.add_argument("--log", action="store_true", help="after a rejection print all that the verifier said")
    attaching.add_options(parser)
    add_options(parser)


def run(chosen: argparse.Namespace) -> int:
    spec = read_object(chosen.file)
    unknown = set(chosen.programs) - {program.name for program in spec.programs}
    if unknown:
        raise UsageError(f"{chosen.file} has no program {min(unknown)}",
                         cure=f"It has {', '.join(program.name for program in spec.programs) or 'none'}.")
    names = frozenset(chosen.programs) or None
    from bpfwright.kernel import Kernel  # 10 ms that --help need not take
    with ExitStack() as undo, _stoppable():
        folder = _pin_folder(chosen.pin, undo) if chosen.pin else ""
        kernel = undo.enter_context(Kernel())
        held = undo.enter_context(kernel.load(spec, programs=names, pins=folder))
        links: dict[str, Link] = {}
        if chosen.attach:
            for name, program in held.programs.items():
                links[name] = undo.enter_context(attaching.attach(kernel, program, chosen))
        pinned = _pin(folder, held, links, undo) if folder else {}
        write(chosen, COLUMNS, _rows(held, links, pinned))
        sys.stdout.flush()
        if folder:
            _let_live(undo, held, links, kernel)
        elif chosen.attach:
            _wait()
        else:
            print("bpfwright: the verifier accepts it; nothing stays loaded", file=sys.stderr)
    return 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends this as Ctrl-C does: everything is undone on the way out."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait() -> None:
    print("bpfwright: attached; Ctrl-C detaches", file=sys.stderr)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("bpfwright: detached", file=sys.stderr)


def _pin_folder(wanted: str, undo: ExitStack) -> str:
    """The directory to pin in, made if it is missing, and unmade should anything fail."""
    from bpfwright.kernel.mounts import bpffs
    folder = path = os.path.join(bpffs(), wanted)
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        os.mkdir(path, 0o700)
        undo.callback(os.rmdir, path)
    return folder


def _pin(folder: str, held: KernelObject, links: dict[str, Link], undo: ExitStack) -> dict[str, str]:
    """Pin everything, and remember how to take it back; by name of what is pinned."""
    wanted: list[tuple[str, str, Callable[[str], None]]] = []
    wanted += [(f"program {name}", name, program.pin) for name, program in held.programs.items()]
    wanted += [(f"map {name}", f"map_{name}", item.pin) for name, item in held.maps.items()
               if not item.spec.pin_by_name]
    wanted += [(f"link {name}", f"link_{name}", link.pin) for name, link in links.items()]
    places = {}
    for key, name, pin in wanted:
        path = os.path.join(folder, name.replace("/", "_").replace(".", "_"))
        try:
            pin(path)
        except KernelError as problem:
            raise KernelError(f"{key} cannot be pinned at {path}", problem.errno or 0,
                              why=os.strerror(problem.errno or 0),
                              cure=f"Something is pinned there already: rm -r {folder}, or choose another DIR."
                              if os.path.exists(path) else "") from None
        undo.callback(os.unlink, path)
        places[key] = path
    return places


def _let_live(undo: ExitStack, held: KernelObject, links: dict[str, Link], kernel: Kernel) -> None:
    """All is pinned: forget how to undo it, and only give the descriptors back."""
    undo.pop_all()
    for link in links.values():
        link.close()
    held.close()
    kernel.close()


def _rows(held: KernelObject, links: dict[str, Link], pinned: dict[str, str]) -> Iterator[dict[str, Cell]]:
    kinds = kernel_names("BPF_PROG_TYPE_")
    for name, program in held.programs.items():
        attached = links[name].description if name in links else None
        yield {"id": program.id, "kind": "program", "type": kinds.get(program.spec.type, str(program.spec.type)),
               "name": name, "attached": attached, "pinned": pinned.get(f"program {name}")}
    kinds = kernel_names("BPF_MAP_TYPE_")
    for name, item in held.maps.items():
        yield {"id": item.id, "kind": "map", "type": kinds.get(item.spec.type, str(item.spec.type)), "name": name,
               "attached": None, "pinned": pinned.get(f"map {name}")}
    for name, link in links.items():
        if f"link {name}" in pinned:
            yield {"id": None, "kind": "link", "type": None, "name": name, "attached": link.description,
                   "pinned": pinned[f"link {name}"]}
