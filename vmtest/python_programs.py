"""Cases whose program is a Python function: compiled here for the oldest kernel, attached there by its own hook."""
from __future__ import annotations

import contextlib
import importlib.util
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Watched", "compiled", "compiled_file", "loaded", "surface"]

CELLS = struct.Struct("<3Q")
FIRST = struct.pack("<I", 0)


def surface(name: str) -> Any:
    """One of the twelve programs of the typed surface, which are a user's modules."""
    path = Path(__file__).parent.parent / "tests" / "api" / "programs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(program: Any) -> dict[str, bytes]:
    """The object of one program; what it asks of a kernel's types is asked of the one here."""
    from bpfwright.kernel import Kernel
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import OLDEST
    from bpfwright.session import prepare
    with contextlib.closing(Kernel()) as kernel:
        prepare([program], kernel)
    return {"object": compile_programs([program], OLDEST).elf}


def compiled_file(path: Path) -> bytes:
    """What `bpfwright build` makes of a file, in a process of its own: files of one name do not meet."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "object"
        subprocess.run([sys.executable, "-m", "bpfwright.cli", "build", str(path), "-o", str(output)], check=True,
                       capture_output=True)
        return output.read_bytes()


class Watched:
    """A loaded program with the struct that it keeps: how often it ran for this process, and what it saw."""

    def __init__(self, kernel: Any, held: Any, declared: Any) -> None:
        self._kernel = kernel
        self._program = held.programs[declared.name]
        self._cells = held.maps["seen"]
        self._declared = declared
        self.expect(0)

    def expect(self, value: int) -> None:
        """Start from nothing seen; `value` is what the program may look at."""
        self._cells.update(FIRST, CELLS.pack(0, os.getpid(), value))

    @property
    def seen(self) -> tuple[int, int]:
        """(count, value)."""
        count, _, value = CELLS.unpack(self._cells.lookup(FIRST))
        return count, value

    def attached(self) -> Any:
        """The link, made as `attach` makes it."""
        return self._declared.hook.attach(self._kernel, self._program, self._declared, self._declared.target)


@contextlib.contextmanager
def loaded(files: dict[str, bytes], declared: Any) -> Iterator[Watched]:
    """In the guest: no compiler, only the declaration and the object."""
    from bpfwright import objfile
    from bpfwright.kernel import Kernel
    with contextlib.closing(Kernel()) as kernel, contextlib.closing(kernel.load(objfile.read(files["object"]))) as held:
        yield Watched(kernel, held, declared)
