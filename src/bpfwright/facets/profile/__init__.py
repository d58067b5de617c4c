"""Profiles of what runs and of what waits: kernel, native and Python stacks, of the machine, a process or a command.

    from bpfwright.facets.profile import profile
    taken = profile(10)                 # seconds; profile(pid=4711, duration_s=10); profile(command=("make",))
    taken.top(); taken.folded(); taken.to_html(); taken.to_pandas()
"""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.facets.profile.control import Profiler, profile
    from bpfwright.facets.profile.model import Frame, Options, Profile, Quality
    from bpfwright.facets.profile.saved import read

__all__ = ["Frame", "Options", "Profile", "Profiler", "Quality", "profile", "read"]

_FILES = {"Frame": "model", "Options": "model", "Profile": "model", "Profiler": "control", "Quality": "model",
          "profile": "control", "read": "saved"}

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)
