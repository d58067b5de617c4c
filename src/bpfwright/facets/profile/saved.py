"""Profiles in files: our own JSON, which keeps everything, and folded stacks from anywhere."""
from __future__ import annotations

import json

from bpfwright._typing import Any
from bpfwright.errors import FormatError, TargetError
from bpfwright.facets.profile import folded
from bpfwright.facets.profile.model import Frame, Profile, Quality

__all__ = ["read", "write"]

_SCHEMA = "bpfwright/profile/1"
_LARGEST = 1 << 30


def write(profile: Profile, format: str = "json") -> str:
    """JSON with each frame once."""
    numbers: dict[Frame, int] = {}
    stacks = [{"frames": [numbers.setdefault(frame, len(numbers)) for frame in stack], "weight": weight}
              for stack, weight in profile]
    return json.dumps({"schema": _SCHEMA, "title": profile.title, "unit": profile.unit, "hz": profile.hz,
                       "duration_s": profile.duration_s, "quality": profile.quality._asdict(),
                       "frames": [frame._asdict() for frame in numbers], "stacks": stacks}, indent=1) + "\n"


def read(path: str) -> Profile:
    """A profile that was written as json or folded. Raises TargetError and FormatError."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST)
    except OSError as error:
        raise TargetError(f"{path} cannot be read", why=error.strerror or "") from None
    if not text.lstrip().startswith("{"):
        return folded.read(text, path)
    try:
        return _profile(json.loads(text))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise FormatError(f"{path} is no profile of ours", why=f"{type(error).__name__}: {error}",
                          cure="Write it with `-f json` or `-f folded`.") from None


def _profile(data: dict[str, Any]) -> Profile:
    if data.get("schema") != _SCHEMA:
        raise ValueError(f"its schema is {data.get('schema')!r}, not {_SCHEMA}")
    frames = [Frame(**frame) for frame in data["frames"]]
    stacks = {tuple(frames[number] for number in stack["frames"]): int(stack["weight"]) for stack in data["stacks"]}
    quality = Quality(**{**data["quality"], "notes": tuple(data["quality"]["notes"])})
    return Profile(stacks, unit=data["unit"], title=data["title"], hz=data["hz"], duration_s=data["duration_s"],
                   quality=quality)
