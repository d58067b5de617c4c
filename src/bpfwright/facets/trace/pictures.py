"""Maps as HTML for notebooks: tables, histograms as bars, stacks as text; nothing is loaded from elsewhere."""
from __future__ import annotations

from html import escape

from bpfwright._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpfwright.facets.trace.tracing import Gathered, Traced

__all__ = ["page", "picture"]

_MOST_ROWS = 100
_BAR = "background:#4c78a8;height:1em;min-width:1px"


def page(traced: Traced) -> str:
    """All maps of a script, and what it printed."""
    parts = [picture(map) for map in traced.maps.values() if len(map)]
    if traced.output:
        parts.insert(0, f"<pre>{escape(traced.output)}</pre>")
    if traced.errors:
        parts.append(f'<pre style="color:#b00">{escape(traced.errors)}</pre>')
    return "".join(parts) or "<i>nothing was gathered</i>"


def picture(map: Gathered) -> str:
    """One map."""
    items = map.items()[::-1]
    shown = items[:_MOST_ROWS]
    left = len(items) - len(shown)
    body = "".join(_histogram(map.name, key, value) for key, value in shown) if map.is_histogram else _table(map, shown)
    return body + (f"<p>and {left:,} more</p>" if left > 0 else "")


def _histogram(name: str, key: Any, counters: list[tuple[int | None, int | None, int]]) -> str:
    most = max((count for _, _, count in counters), default=1) or 1
    rows = "".join(
        f"<tr><td style='text-align:right'>{_bound(low)} &ndash; {_bound(high)}</td>"
        f"<td style='text-align:right'>{count:,}</td>"
        f"<td style='width:20em;text-align:left'><div style='{_BAR};width:{100 * count / most:.1f}%'></div></td></tr>"
        for low, high, count in counters)
    title = name if key is None else f"{name}[{_text(key)}]"
    return f"<table><caption>{title}</caption><tr><th>value</th><th>count</th><th></th></tr>{rows}</table>"


def _bound(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _table(map: Gathered, shown: list[tuple[Any, Any]]) -> str:
    left, right = "<td style='text-align:left'>", "<td style='text-align:right'>"
    rows = "".join(f"<tr>{left}{_text(key)}</td>{right}{_text(value)}</td></tr>" for key, value in shown)
    return f"<table><caption>{escape(map.name)}</caption><tr><th>key</th><th>{escape(map.type)}</th></tr>{rows}</table>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple) and value and all(isinstance(part, str) for part in value) and len(value) > 2:
        return "<br>".join(escape(part) for part in value)
    if isinstance(value, tuple):
        return ", ".join(_text(part) for part in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))
