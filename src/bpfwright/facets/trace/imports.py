"""Imports: other scripts are put in before the one that names them; C is handed on, to be compiled later."""
from __future__ import annotations

from bpfwright._typing import Protocol
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.parser import Parsed, parse
from bpfwright.facets.trace.text import Mistakes, Note

__all__ = ["Disk", "Files", "with_imports"]

MOST_FILES = 500
_C = (".c", ".h", ".o", ".bc", ".so")


class Files(Protocol):
    """Where imported files are."""

    def names(self, path: str) -> list[str] | None:
        """What is in a folder, sorted; None if it is none."""

    def read(self, path: str) -> str | None:
        """A file's text; None if it is not there."""


class Disk:
    """The files of this machine. `asked` has the path of each that was asked for, there or not."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def names(self, path: str) -> list[str] | None:
        import os
        self.asked.append(os.path.abspath(path))
        try:
            return sorted(os.listdir(path))
        except OSError:
            return None

    def read(self, path: str) -> str | None:
        import os
        self.asked.append(os.path.abspath(path))
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return None


def with_imports(parsed: Parsed, files: Files, folders: tuple[str, ...] = ()) -> Parsed:
    """The program with what it imports. Paths are looked up beside the script that imports, then in `folders`.

    Each file comes once, however often it is imported, and before those that import it. Mistakes for what is not
    there, for circles, and for a config block in an imported script. Imports of C stay in the tree, with the path
    that was found.
    """
    loader = _Loader(files, folders)
    loader.add(parsed, parsed.program.span.text.file)
    if loader.mistakes:
        raise Mistakes(loader.mistakes)
    program = parsed.program
    parts = [each.program for each in loader.ready]
    return Parsed(tree.Program(
        program.span, program.settings, tuple(loader.c), tuple([one for part in parts for one in part.definitions]),
        tuple([one for part in parts for one in part.maps]), tuple([one for part in parts for one in part.macros]),
        tuple([one for part in parts for one in part.functions]), tuple([one for part in parts for one in part.probes]),
    ), tuple([note for each in loader.ready for note in each.warnings]))


class _Loader:
    def __init__(self, files: Files, folders: tuple[str, ...]) -> None:
        self.files = files
        self.folders = folders
        self.ready: list[Parsed] = []
        self.done: set[str] = set()
        self.open: list[str] = []
        self.c: list[tree.Import] = []
        self.mistakes: list[Note] = []

    def add(self, parsed: Parsed, path: str) -> None:
        """A script, after all that it imports."""
        self.open.append(_plain(path))
        for wanted in parsed.program.imports:
            self.wanted(wanted, _folder(path))
        self.open.pop()
        self.done.add(_plain(path))
        self.ready.append(parsed)

    def wanted(self, node: tree.Import, beside: str) -> None:
        for folder in (beside, *self.folders):
            path = node.path if node.path.startswith("/") else _plain(f"{folder}/{node.path}" if folder else node.path)
            names = self.files.names(path)
            if names is not None:
                scripts = [f"{path}/{name}" for name in names if name.endswith(".bt")]
                if not scripts:
                    self.mistakes.append(Note(node.span, f"no script is in `{node.path}`",
                                              "Scripts end in `.bt`; import C files by their names."))
                for script in scripts:
                    self.script(node, script, self.files.read(script))
                return
            content = self.files.read(path)
            if content is None:
                continue
            if path.endswith(_C):
                if all(path != known.path for known in self.c):
                    self.c.append(tree.Import(node.span, path))
            elif path.endswith(".bt"):
                self.script(node, path, content)
            else:
                self.mistakes.append(Note(node.span, f"`{node.path}` is neither a script nor C",
                                          "Scripts end in `.bt`, C in `.c`, `.h` or `.o`."))
            return
        self.mistakes.append(Note(node.span, f"there is no file or folder `{node.path}`",
                                  "Paths are looked up beside the script, then in the folders given with `-I`."))

    def script(self, node: tree.Import, path: str, content: str | None) -> None:
        if _plain(path) in self.done:
            return
        if _plain(path) in self.open:
            circle = " imports ".join(f"`{_base(one)}`" for one in (*self.open[self.open.index(_plain(path)):], path))
            self.mistakes.append(Note(node.span, "scripts import one another in a circle", f"It is {circle}."))
            return
        if content is None or len(self.open) + len(self.done) >= MOST_FILES or len(self.open) > 50:
            what = f"`{path}` cannot be read" if content is None else "these are too many scripts"
            self.mistakes.append(Note(node.span, what, f"At most {MOST_FILES} readable ones may be imported."))
            return
        parsed = parse(content, path)
        if parsed.program.settings:
            self.mistakes.append(Note(parsed.program.settings[0].span, "an imported script cannot configure",
                                      "Move the config block into the script that is run."))
        self.add(parsed, path)


def _folder(path: str) -> str:
    return path.rpartition("/")[0] if "/" in path else ""


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _plain(path: str) -> str:
    """The path without `.` and `..` steps."""
    steps: list[str] = []
    for step in path.split("/"):
        if step == ".." and steps and steps[-1] not in ("..", ""):
            steps.pop()
        elif step not in ("", ".") or (not steps and step == "" and path.startswith("/")):
            steps.append(step)
    return "/".join(steps)
