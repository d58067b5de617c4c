"""A guarded file's opens are recorded, and replayed without this kernel: the same keys, values and denials."""
from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any

from vmtest.cases.example_lsm import MODULE

HOOK = ""  # no row of its own
SINCE = "6.1"  # 5.10 has no atomics that give the old value


def build() -> dict[str, bytes]:
    from vmtest.python_programs import compiled
    return compiled(MODULE.guard)


def opens(machine: Any, spec: Any, paths: tuple[str, str], really: bool) -> tuple[list[bool], bytes | None]:
    """Which opens were denied, and what the map says of the guarded file."""
    denied = []
    with contextlib.closing(machine.load(spec)) as held:
        guarded, program = held.maps["guarded"], held.programs["guard"]
        key = MODULE.guarded.key.to_bytes(MODULE.inode(paths[0]))
        guarded.update(key, bytes(8))
        link = machine.watch.attach("guard", lambda: MODULE.guard.hook.attach(machine, program, MODULE.guard,
                                                                             MODULE.guard.target))
        with link:
            for path in paths if really else ():
                try:
                    os.close(os.open(path, os.O_RDONLY))
                    denied.append(False)
                except PermissionError:
                    denied.append(True)
        return denied, guarded.lookup(key)


def check(files: dict[str, bytes]) -> None:
    from bpfwright import objfile
    from bpfwright.recording import Recorder, Recording, Replay
    spec = objfile.read(files["object"])
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as secret, tempfile.NamedTemporaryFile(dir="/dev/shm") as other:
        paths = secret.name, other.name
        with Recorder() as recorder:
            denied, value = opens(recorder, spec, paths, True)
            assert denied == [True, False]
            recording = Recording.parse(recorder.finish().to_bytes())
        assert len(recording.runs) >= 2 and recording.lost == 0, recording
        with Replay(recording, memory_bytes=1 << 24) as machine:
            assert opens(machine, spec, paths, False)[1] == value == (1).to_bytes(8, "little")
            assert machine.ended and machine.replayed >= 2
