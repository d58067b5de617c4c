"""Profiles as speedscope reads them: https://www.speedscope.app/file-format-schema.json."""
from __future__ import annotations

import json

from bpfwright._typing import Any
from bpfwright._version import __version__
from bpfwright.facets.profile.folded import label
from bpfwright.facets.profile.model import Frame, Profile

__all__ = ["write"]


def write(profile: Profile, format: str = "speedscope") -> str:
    """One sampled profile; each frame is written once."""
    numbers: dict[Frame, int] = {}
    samples, weights = [], []
    for stack, weight in profile:
        samples.append([numbers.setdefault(frame, len(numbers)) for frame in stack])
        weights.append(weight)
    unit = "nanoseconds" if profile.unit == "ns" else "none"
    return json.dumps({
        "$schema": "https://www.speedscope.app/file-format-schema.json", "exporter": f"bpfwright {__version__}",
        "name": profile.title, "activeProfileIndex": 0, "shared": {"frames": [_frame(frame) for frame in numbers]},
        "profiles": [{"type": "sampled", "name": profile.title, "unit": unit, "startValue": 0,
                      "endValue": sum(weights), "samples": samples, "weights": weights}]}) + "\n"


def _frame(frame: Frame) -> dict[str, Any]:
    made: dict[str, Any] = {"name": label(frame)}
    if frame.file or frame.module:
        made["file"] = frame.file or frame.module
    if frame.line:
        made["line"] = frame.line
    return made
