"""The functions with the most time of their own, as rows for people."""
from __future__ import annotations

from bpfwright.facets.profile.folded import label
from bpfwright.facets.profile.model import Profile

__all__ = ["write"]

_ROWS = 40


def write(profile: Profile, format: str = "table") -> str:
    """Own and whole weight, their shares, function, and where it is."""
    total = profile.total or 1
    scale, unit = (1e6, "ms") if profile.unit == "ns" else (1, profile.unit)
    lines = [("SELF", "SELF%", "TOTAL", "TOTAL%", "FUNCTION", "MODULE")]
    for frame, own, whole in profile.top(_ROWS):
        lines.append((_weight(own / scale), f"{100 * own / total:.1f}", _weight(whole / scale),
                      f"{100 * whole / total:.1f}", label(frame), frame.module.rpartition("/")[2]))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    shown = [f"{_weight(profile.total / scale)} {unit}"]
    for line in lines:
        numbers = "  ".join(line[column].rjust(widths[column]) for column in range(4))
        shown.append(f"{numbers}  {line[4].ljust(widths[4])}  {line[5]}".rstrip())
    return "\n".join(shown) + "\n"


def _weight(number: float) -> str:
    return f"{number:,.1f}" if isinstance(number, float) and not number.is_integer() else f"{int(number):,}"
