"""What changed between two profiles: as a flame graph in two colors, folded lines with two weights, or a table."""
from __future__ import annotations

from bpfwright.errors import UsageError
from bpfwright.facets.profile import flamegraph, folded, saved
from bpfwright.facets.profile.model import Frame, Profile

__all__ = ["compare", "write"]

_ROWS = 40


def compare(before: str, after: str, format: str) -> str:
    """The difference of two files. Raises UsageError for formats that hold one profile only."""
    return write(saved.read(before), saved.read(after), format)


def write(before: Profile, after: Profile, format: str) -> str:
    """Shares are compared, since the two need not have been taken for as long."""
    if before.unit != after.unit:
        raise UsageError(f"one profile counts {before.unit}, the other {after.unit}")
    if format in ("flamegraph", "html"):
        shown = Profile(after.stacks, unit=after.unit, title=f"{before.title} \N{RIGHTWARDS ARROW} {after.title}",
                        quality=after.quality)
        return flamegraph.write(shown, format, before)
    if format not in _WRITERS:
        raise UsageError(f"{format} holds one profile, not a difference",
                         cure="Formats of a difference: table, folded, flamegraph, html.")
    return _WRITERS[format](before, after)


def _folded(before: Profile, after: Profile) -> str:
    """`STACK BEFORE AFTER`, as difffolded writes it."""
    lines: dict[str, list[int]] = {}
    for place, each in enumerate((before, after)):
        for stack, weight in each.stacks.items():
            lines.setdefault(";".join(map(folded.label, stack)), [0, 0])[place] += weight
    return "".join(f"{line} {old} {new}\n" for line, (old, new) in sorted(lines.items()))


def _table(before: Profile, after: Profile) -> str:
    """The functions whose own share has changed most."""
    shares: dict[str, list[float]] = {}
    for place, each in enumerate((before, after)):
        total = each.total or 1
        own: dict[Frame, tuple[int, int]] = each.functions()
        for frame, (weight, _) in own.items():
            shares.setdefault(folded.label(frame), [0.0, 0.0])[place] += 100 * weight / total
    rows = sorted(shares.items(), key=lambda row: (-abs(row[1][1] - row[1][0]), row[0]))[:_ROWS]
    lines = [f"{'BEFORE%':>8}  {'AFTER%':>8}  {'CHANGE':>8}  FUNCTION"]
    lines += [f"{old:8.2f}  {new:8.2f}  {new - old:+8.2f}  {name}" for name, (old, new) in rows]
    return "\n".join(lines) + "\n"


_WRITERS = {"folded": _folded, "table": _table}
