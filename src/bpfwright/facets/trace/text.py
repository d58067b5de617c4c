"""A script's text, spans in it, and what is said about them: the same look as every CompileError's."""
from __future__ import annotations

from bpfwright._typing import Iterable, NamedTuple
from bpfwright.errors import CompileError

__all__ = ["Mistakes", "Note", "Span", "Text", "did_you_mean", "nearest"]

MOST_MISTAKES = 20


class Text:
    """One file's text; `position(offset)` is its line (from 1) and column (from 0)."""

    __slots__ = ("_starts", "content", "file")

    def __init__(self, content: str, file: str = "") -> None:
        self.content = content
        self.file = file
        self._starts: list[int] = []

    def position(self, offset: int) -> tuple[int, int]:
        starts = self._starts
        if not starts:  # only errors and debuggers ask
            starts.append(0)
            at = self.content.find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = self.content.find("\n", at + 1)
        low, high = 0, len(starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if starts[middle] <= offset else (low, middle)
        return low + 1, offset - starts[low]

    def line(self, number: int) -> str:
        """The line's text without its end."""
        self.position(0)
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.content)
        return self.content[start:end].rstrip("\r")

    def span(self, start: int, end: int) -> Span:
        return Span(self, start, end)


class Span(NamedTuple):
    """Where something stands: offsets into a text, `end` not included."""

    text: Text
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.text.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.text.position(self.start)[1]

    @property
    def end_line(self) -> int:
        return self.text.position(self.end)[0]

    @property
    def end_column(self) -> int:
        return self.text.position(self.end)[1]

    def to(self, other: Span) -> Span:
        """From this one's begin to the other's end."""
        return Span(self.text, self.start, other.end)


_WIDEST, _BEFORE = 200, 80


class Note(NamedTuple):
    """One thing said about a place: what it is, and what to write instead. A warning until it is raised."""

    span: Span
    what: str
    cure: str = ""

    def error(self) -> CompileError:
        """The same as an error, with line and caret; a span over several lines is marked to its first line's end."""
        span = self.span
        line, column = span.text.position(span.start)
        source = span.text.line(line)
        end = min(column + span.end - span.start, max(len(source), column + 1))
        return _Placed(self.what, file=span.text.file, line=line, column=column, end_column=end, source=source,
                       cure=self.cure)


class _Placed(CompileError):
    """A mistake as it is shown: of a very long line only the part around it, and nothing that a terminal obeys."""

    def __str__(self) -> str:
        first = max(0, self.column - _BEFORE) if len(self.source) > _WIDEST else 0
        shown = self.source[first:first + _WIDEST] if len(self.source) > _WIDEST else self.source
        safe = "".join([c if c.isprintable() or c == "\t" else "?" for c in shown])
        end = min(self.end_column - first, len(safe) + 1)
        part = CompileError(self.what, file=self.file, line=self.line, column=self.column - first, end_column=end,
                            source=safe, cure=self.cure)
        return str(part)


class Mistakes(CompileError):
    """All that is wrong with a script, in the order of its text; the fields are those of the first mistake.

    At most twenty are kept: what comes after that many is rarely more than an echo.
    """

    def __init__(self, notes: list[Note]) -> None:
        ordered = sorted(dict.fromkeys(notes), key=lambda note: (note.span.text.file, note.span.start))
        self.mistakes = tuple(note.error() for note in ordered[:MOST_MISTAKES])
        first = self.mistakes[0]
        super().__init__(first.what, file=first.file, line=first.line, column=first.column,
                         end_column=first.end_column, source=first.source, cure=first.cure)

    def __str__(self) -> str:
        return "\n".join(str(mistake) for mistake in self.mistakes)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that `word` is most likely a slip of, or nothing."""
    if len(word) > 40:
        return ""
    best, least = "", 1 + min(3, max(1, len(word) // 3))
    letters = set(word.lower())
    for name in known:
        # A letter that only one of them has is one change at least: most of a kernel's names end here.
        if abs(len(name) - len(word)) <= least and len(letters ^ (found := set(name.lower()))) <= 2 * least and \
                len(letters - found) <= least and len(found - letters) <= least:
            distance = _distance(word.lower(), name.lower(), least)
            if distance < least or (best and distance == least and len(name) > len(best)):  # letters get lost
                best, least = name, distance
    return best


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "", before: str = "") -> str:
    """The cure for a name that is not there: the nearest one, or what else is to be done."""
    close = nearest(word, known)
    return f"Did you mean `{before}{close}`?" if close else otherwise


def _distance(one: str, other: str, most: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours from one word to the other, or something above `most`
    where there are more."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one):
        earlier, before, row = before, row, [i + 1]
        for j, b in enumerate(other):
            cost = min(before[j + 1] + 1, row[j] + 1, before[j] + (a != b))
            if i and j and a == other[j - 1] and b == one[i - 1]:
                cost = min(cost, earlier[j - 1] + 1)
            row.append(cost)
        if min(row) > most and min(before) > most:
            break
    return max(row[-1], min(row))
