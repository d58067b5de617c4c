"""Folded stacks: a line each, frames parted by `;`, then its weight. What flame graph tools read and write."""
from __future__ import annotations

from bpfwright.errors import FormatError
from bpfwright.facets.profile.model import Frame, Profile

__all__ = ["label", "read", "write"]

_SUFFIXES = {"kernel": "_[k]", "jit": "_[j]", "python": "_[p]"}
_KINDS = {suffix: kind for kind, suffix in _SUFFIXES.items()}


def label(frame: Frame) -> str:
    """A frame in one line's terms: `;` parts frames and a newline parts stacks, so neither may stand in a name."""
    place = f" ({frame.file.rpartition('/')[2]}:{frame.line})" if frame.kind == "python" and frame.file else ""
    text = f"{frame.name}{place}".replace(";", ":")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text) + _SUFFIXES.get(frame.kind, "")


def write(profile: Profile, format: str = "folded") -> str:
    """The lines, sorted, as diffs and greps like them."""
    lines: dict[str, int] = {}
    for stack, weight in profile.stacks.items():
        line = ";".join(map(label, stack))
        lines[line] = lines.get(line, 0) + weight
    return "".join(f"{line} {weight}\n" for line, weight in sorted(lines.items()))


def _frame(text: str, first: bool) -> Frame:
    kind = _KINDS.get(text[-4:], "")
    if kind:
        return Frame(text[:-4], kind)
    if text.startswith("[") and text.endswith("]") and " " in text:
        return Frame(text, "mark")
    return Frame(text, "process" if first else "user")


def read(text: str, name: str = "the folded stacks") -> Profile:
    """Lines of folded stacks, ours or another tool's. Raises FormatError."""
    stacks: dict[tuple[Frame, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        frames, _, weight = line.rpartition(" ")
        if not frames or not weight.isdecimal():
            raise FormatError(f"line {number} of {name} is no folded stack", why=repr(line[:80]),
                              cure="Each line is FRAME;FRAME;... WEIGHT.")
        stack = tuple(_frame(part, not at) for at, part in enumerate(frames.split(";")))
        stacks[stack] = stacks.get(stack, 0) + int(weight)
    return Profile(stacks, title=name)
