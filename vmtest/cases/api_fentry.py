"""The typed surface's fentry program: it reads a kernel struct by CO-RE, and tells of each file that is opened."""
from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from vmtest.python_programs import compiled, surface

HOOK = "fentry, the typed surface's program"
SINCE = "5.10"
MODULE = surface("p04_kernel_structs")


def build() -> dict[str, bytes]:
    return compiled(MODULE.opened)


def check(files: dict[str, bytes]) -> None:
    from bpfwright import objfile
    from bpfwright.events import Events, RingReader
    from bpfwright.kernel import Kernel
    from bpfwright.kernel.ring import MappedRing
    with (contextlib.closing(Kernel()) as kernel,
          contextlib.closing(kernel.load(objfile.read(files["object"]))) as held,
          contextlib.closing(RingReader(MappedRing(held.maps["exits"]), MODULE.exits.value.size)) as reader,
          tempfile.NamedTemporaryFile(dir="/dev/shm") as file):
        with MODULE.opened.hook.attach(kernel, held.programs["opened"], MODULE.opened, MODULE.opened.target):
            os.close(os.open(file.name, os.O_RDONLY))
        schema = Events(reader, MODULE.Exit).schema
        events = [schema.decode(bytes(record)) for record in reader.records()]
        comm = Path("/proc/self/comm").read_text().strip()
        # At the function's entry the file has no inode yet: the null pointer reads as 0.
        assert (os.getppid(), comm, 0, 0) in [(e.parent, e.comm, e.inode, e.io_wait) for e in events], events
