"""Write src/bpfwright/headers/__init__.py: which name stands in which file. `--check` only compares."""
from __future__ import annotations

import ast
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "src/bpfwright/headers"
HEAD = '''"""Packet headers, one file each; a name is imported from its file when it is first asked for.

Written by scripts/generate_headers.py from the `__all__` of the files beside it.
"""
from __future__ import annotations

from importlib import import_module

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING
from bpfwright.spec.packet import Packet, catalogue

if TYPE_CHECKING:
'''
TAIL = '''

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)


def _load_all() -> None:
    for file in sorted(set(_FILES.values())):
        import_module(f"{__name__}.{file}")


catalogue(_load_all)
'''


def names_of(path: Path) -> list[str]:
    """The strings of a module's `__all__`."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise SystemExit(f"{path}: no __all__")


def import_of(file: str, names: list[str]) -> str:
    line = f"    from bpfwright.headers.{file} import {', '.join(names)}\n"
    if len(line) <= 121:
        return line
    half = len(names) // 2
    return f"    from bpfwright.headers.{file} import ({', '.join(names[:half])},\n{'':8}{', '.join(names[half:])})\n"


def wrapped(opening: str, items: list[str], closing: str) -> str:
    lines = [opening]
    for item in items:
        if len(lines[-1]) + len(item) > 116:
            lines[-1] = lines[-1].rstrip()
            lines.append("    ")
        lines[-1] += f"{item}, "
    return "\n".join(lines).rstrip(", ") + closing


def written() -> str:
    """The whole module."""
    files = {path.stem: names_of(path) for path in sorted(FOLDER.glob("[a-z]*.py"))}
    files = {file: [name for name in names if name[0].isupper()] for file, names in files.items()}
    imports = "".join(import_of(file, names) for file, names in files.items())
    pairs = sorted((name, file) for file, names in files.items() for name in names)
    everything = wrapped("__all__ = [", [f'"{name}"' for name in sorted([*(n for n, _ in pairs), "Packet"])], "]\n")
    table = wrapped("_FILES = {\n    ", [f'"{name}": "{file}"' for name, file in pairs], ",\n}\n")
    return f"{HEAD}{imports}\n{everything}\n{table}{TAIL}"


def main() -> int:
    target = FOLDER / "__init__.py"
    if "--check" in sys.argv:
        if target.read_text() == written():
            return 0
        print("headers/__init__.py is stale: run scripts/generate_headers.py", file=sys.stderr)
        return 1
    target.write_text(written())
    return 0


if __name__ == "__main__":
    sys.exit(main())
