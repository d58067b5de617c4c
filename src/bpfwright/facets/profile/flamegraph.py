"""Flame graphs: one SVG that needs nothing else, with zoom, search and keys; and a page around it."""
from __future__ import annotations

from html import escape
from math import log2
from os import path
from zlib import crc32

from bpfwright._typing import Iterator, NamedTuple
from bpfwright.facets.profile.folded import label
from bpfwright.facets.profile.model import Frame, Profile

__all__ = ["Node", "draw", "tree", "write"]

WIDTH, ROW, HEAD, FOOT, LETTER = 1200, 18, 64, 28, 7.25
_NARROWEST = 1 / 40_000  # of the width: what is narrower is not drawn, and said so
# Hue, and how far the name may turn it; saturation and lightness are the same for all.
_HUES = {"process": (215, 10), "kernel": (14, 10), "user": (48, 12), "python": (150, 25), "jit": (275, 20),
         "mark": (0, 0)}


class Node:
    """A frame at one place of the tree: its weight, of that its own, and what it was before (in a difference)."""

    __slots__ = ("before", "children", "frame", "own", "weight")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.weight = 0
        self.own = 0
        self.before = 0
        self.children: dict[tuple[str, str], Node] = {}

    def child(self, frame: Frame) -> Node:
        """The child of that label; made when it is new."""
        key = (label(frame), frame.kind)
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = Node(frame)
        return found


class Box(NamedTuple):
    """A node where it is drawn: `left` and its weight in units of the profile."""

    node: Node
    depth: int
    left: int


def tree(profile: Profile, before: Profile | None = None) -> Node:
    """All stacks grown together from their roots."""
    root = Node(Frame("all", "mark"))
    for each, old in ((profile, False), (before, True)):
        for stack, weight in each.stacks.items() if each is not None else ():
            node = root
            for frame in (None, *stack):
                node = node if frame is None else node.child(frame)
                if old:
                    node.before += weight
                else:
                    node.weight += weight
            if not old:
                node.own += weight
    return root


def _boxes(root: Node) -> Iterator[Box]:
    work = [Box(root, 0, 0)]
    while work:
        box = work.pop()
        yield box
        left = box.left
        children = []
        for _, child in sorted(box.node.children.items()):
            if child.weight:
                children.append(Box(child, box.depth + 1, left))
                left += child.weight
        work += reversed(children)


def _color(frame: Frame) -> str:
    hue, turn = _HUES.get(frame.kind, (48, 12))
    if frame.kind == "mark":
        return "hsl(0,0%,80%)"
    number = crc32(frame.name.encode("utf-8", "replace"))
    return f"hsl({hue + number % (2 * turn + 1) - turn},{70 + number // 64 % 20}%,{62 + number // 4096 % 12}%)"


def _difference(node: Node, total: int, before: int) -> tuple[str, str]:
    """The color and words of what has changed: shares, as the two were not taken for as long."""
    now, then = node.weight / max(total, 1), node.before / max(before, 1)
    words = f", {100 * (now - then):+.2f} % of all"
    if now == then:
        return "hsl(0,0%,88%)", words
    strength = min(abs(log2(max(now, 1e-6) / max(then, 1e-6))), 2.0) / 2.0 if then else 1.0
    return f"hsl({0 if now > then else 220},80%,{92 - 32 * strength:.0f}%)", words


def _amount(weight: int, unit: str) -> str:
    return f"{weight / 1e6:,.3f} ms" if unit == "ns" else f"{weight:,} {unit}"


def _clean(text: str) -> str:
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def draw(profile: Profile, before: Profile | None = None) -> str:
    """The SVG. With `before`, colors say what became more (red) and less (blue)."""
    root = tree(profile, before)
    total, old_total = max(root.weight, 1), max(root.before, 1)
    drawn, left_out, deepest = [], 0, 0
    for box in _boxes(root):
        if box.node.weight / total < _NARROWEST:
            left_out += 1
            continue
        deepest = max(deepest, box.depth)
        drawn.append(box)
    height = HEAD + (deepest + 1) * ROW + FOOT
    parts = [_svg_head(height, profile, total, left_out)]
    parts += [_box(box, total, height, profile.unit, None if before is None else old_total) for box in drawn]
    parts.append(f"</g>\n<script><![CDATA[\n{_script()}\n]]></script>\n</svg>\n")
    return "".join(parts)


def _svg_head(height: int, profile: Profile, total: int, left_out: int) -> str:
    foot = f"{left_out:,} frames narrower than {_NARROWEST:.3%} are not drawn" if left_out else ""
    return f"""<svg xmlns="http://www.w3.org/2000/svg" class="bpfwright-flame" width="{WIDTH}" height="{height}" \
viewBox="0 0 {WIDTH} {height}" role="tree" aria-label="{_clean(profile.title or 'flame graph')}" data-total="{total}">
<style>
.bpfwright-flame {{ font: 12px ui-monospace, monospace; background: #fdfdfb; }}
.bpfwright-flame g.f {{ cursor: pointer; outline: none; }}
.bpfwright-flame g.f:hover rect, .bpfwright-flame g.f:focus rect {{ stroke: #000; stroke-width: 1.2; }}
.bpfwright-flame g.f.found rect {{ fill: #d94bd0 !important; }}
.bpfwright-flame g.f.above {{ opacity: .55; }}
.bpfwright-flame text {{ pointer-events: none; fill: #111; }}
.bpfwright-flame input {{ font: inherit; width: 95%; box-sizing: border-box; }}
</style>
<text x="10" y="22" style="font-size:15px">{_clean(profile.title or 'flame graph')}</text>
<foreignObject x="{WIDTH - 270}" y="6" width="260" height="30"><input xmlns="http://www.w3.org/1999/xhtml" \
type="search" placeholder="search: text or /pattern/" aria-label="search frames" /></foreignObject>
<text class="matched" x="{WIDTH - 270}" y="50"></text>
<text class="detail" x="10" y="46">{_clean('; '.join(profile.quality.lines()[:1]))}</text>
<text x="10" y="{height - 9}" style="fill:#666">{foot}</text>
<g class="frames">
"""


def _box(box: Box, total: int, height: int, unit: str, before: int | None) -> str:
    node = box.node
    left, width = box.left * WIDTH / total, node.weight * WIDTH / total
    top = height - FOOT - (box.depth + 1) * ROW
    color, words = (_color(node.frame), "") if before is None else _difference(node, total, before)
    text = label(node.frame)
    where = f" [{node.frame.module}]" if node.frame.module else ""
    title = f"{text}{where}: {_amount(node.weight, unit)} ({100 * node.weight / total:.2f} %{words})"
    shown = text if len(text) * LETTER <= width - 6 else text[:max(0, int((width - 6) / LETTER) - 1)]
    shown = "" if width < 18 else shown if shown == text else f"{shown}\N{HORIZONTAL ELLIPSIS}"
    return (f'<g class="f" data-x="{box.left}" data-w="{node.weight}" data-d="{box.depth}" '
            f'data-n="{_clean(text)}" tabindex="{0 if box.depth == 0 else -1}" role="treeitem" '
            f'aria-label="{_clean(title)}"><title>{_clean(title)}</title>'
            f'<rect x="{left:.2f}" y="{top}" width="{max(width - 0.4, 0.2):.2f}" height="{ROW - 1}" rx="1.5" '
            f'style="fill:{color}"/><text x="{left + 3:.2f}" y="{top + 13}">{_clean(shown)}</text></g>\n')


def _script() -> str:
    with open(path.join(path.dirname(__file__), "flamegraph.js"), encoding="utf-8") as file:
        return file.read()


def write(profile: Profile, format: str = "flamegraph", before: Profile | None = None) -> str:
    """The SVG, or a page around it (html)."""
    svg = draw(profile, before)
    if format != "html":
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + svg
    said = "".join(f"<li>{_clean(line)}</li>" for line in profile.quality.lines())
    legend = ("red: more than before; blue: less" if before is not None else
              "blue: processes; yellow: native code; orange: kernel; green: Python; violet: made at run time")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{_clean(profile.title or 'flame graph')}</title>
<meta name="viewport" content="width=device-width"><style>
body {{ margin: 0 8px; background: #fdfdfb; font: 13px ui-monospace, monospace; }} svg {{ width: 100%; height: auto; }}
</style></head><body>
{svg}<ul>{said}</ul>
<p>{legend}. Click or Enter: zoom. Escape: all of it. Arrows: move. / or Ctrl-F: search.</p>
</body></html>
"""
