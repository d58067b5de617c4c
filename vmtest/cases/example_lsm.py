"""The example that guards a file: nobody opens it, others are opened as before, and the denials are counted."""
from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

HOOK = "LSM, the example that guards a file"
SINCE = "5.10"


def example() -> Any:
    path = Path(__file__).parents[2] / "examples" / "lsm_file_guard.py"
    spec = importlib.util.spec_from_file_location("lsm_file_guard", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULE = example()


def build() -> dict[str, bytes]:
    from vmtest.python_programs import compiled
    return compiled(MODULE.guard)


def check(files: dict[str, bytes]) -> None:
    from bpfwright import objfile
    from bpfwright.kernel import Kernel
    with (contextlib.closing(Kernel()) as kernel,
          contextlib.closing(kernel.load(objfile.read(files["object"]))) as held,
          tempfile.NamedTemporaryFile(dir="/dev/shm") as secret, tempfile.NamedTemporaryFile(dir="/dev/shm") as other):
        guarded, program = held.maps["guarded"], held.programs["guard"]
        key = MODULE.guarded.key.to_bytes(MODULE.inode(secret.name))
        guarded.update(key, bytes(8))
        with MODULE.guard.hook.attach(kernel, program, MODULE.guard, MODULE.guard.target):
            os.close(os.open(other.name, os.O_RDONLY))
            try:
                os.close(os.open(secret.name, os.O_RDONLY))
            except PermissionError:
                pass
            else:
                raise AssertionError("the file could be opened")
            assert guarded.lookup(key) == (1).to_bytes(8, "little")
        os.close(os.open(secret.name, os.O_RDONLY))
