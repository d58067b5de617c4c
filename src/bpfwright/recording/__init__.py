"""Live runs recorded, and replayed without a kernel: the same program finds the same world, and says the same.

    with Recorder() as machine, attach(opened, machine=machine) as session: ...
    machine.finish().write("opens.rec")

    with Replay(Recording.open("opens.rec")) as machine, attach(opened, machine=machine) as session: ...
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.formats.recording import Recording

if TYPE_CHECKING:
    from bpfwright.recording.recorder import Recorder
    from bpfwright.recording.replay import Replay

__all__ = ["Recorder", "Recording", "Replay"]


def __getattr__(name: str) -> object:
    if name == "Recorder":
        from bpfwright.recording.recorder import Recorder
        return Recorder
    if name == "Replay":
        from bpfwright.recording.replay import Replay
        return Replay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
