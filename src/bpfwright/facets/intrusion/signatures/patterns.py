"""Patterns as entries of the kernel's table: words under masks, chained by the hash of one word."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.facets.intrusion.signatures.model import Content
from bpfwright.facets.intrusion.signatures.records import CARRIED, ENTRY_WORDS
from bpfwright.facets.intrusion.signatures.searching import FOLD, MOST_CHAINED, MULTIPLIER

__all__ = ["COMPARED", "Patterns"]

COMPARED = CARRIED
"""Bytes of a pattern that the kernel compares, from its start: as many as it carries over from segment to segment."""
_WHOLE = 7  # bytes of which four are an aligned word wherever they stand
_LEAST_BITS, _MOST_BITS = 10, 16
_ANYWHERE = 65535
_MOST_ENTRIES = 65535  # their numbers have 16 bits
_FULL, _NOCASE = 0xFF, 0xDF
_HEADS = {"aligned": "aligned_heads", "dense": "dense_heads", "pairs": "pair_heads"}


class Patterns:
    """The entries of all patterns; `add` them, then `settle`. Entry 0 is none."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = [_entry()]
        self._chains: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._used = {"aligned": 0, "dense": 0, "pairs": 0}

    def add(self, content: Content, bucket: int, *, stream: bool, drop: int) -> None:
        """A pattern for a bucket; `drop`: the sid of a rule that it decides, else 0."""
        size = min(len(content.pattern), COMPARED)
        first, last = content.first, content.last
        fixed = first if last == first and not stream and not content.relative else None
        kind, places = _places(size, fixed)
        self._used[kind] |= 1 << bucket
        for back in places:
            entry = _entry()
            _write(entry, content, back, size)
            anywhere = content.relative or last is None
            entry |= {"buckets": 1 << bucket, "back": back, "first": 0 if content.relative else min(first, _ANYWHERE),
                      "last": _ANYWHERE if anywhere or last is None else min(last, _ANYWHERE),
                      "size": size if stream else len(content.pattern), "drop": drop}
            self._link((kind, _key(kind, content.pattern, back)), entry)

    def _link(self, key: tuple[str, int], entry: dict[str, Any]) -> None:
        chain = self._chains.setdefault(key, [])
        for known in chain:
            if known | {"buckets": 0} == entry | {"buckets": 0}:
                known["buckets"] |= entry["buckets"]
                return
        chain.append(entry)

    def settle(self) -> set[int]:
        """Chains as the kernel walks them: by slots of tables, none too long. Gives the sids that it cannot decide."""
        bits = self.bits()
        by_slot: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for (kind, key), chain in self._chains.items():
            place = key & 0xFFFF if kind == "pairs" else (key * MULTIPLIER & 0xFFFFFFFF) >> 32 - bits[kind]
            by_slot.setdefault((kind, place), []).extend(chain)
        undecided: set[int] = set()
        self._heads: dict[tuple[str, int], tuple[int, int]] = {}
        for slot, chain in by_slot.items():
            if len(chain) > MOST_CHAINED:
                undecided |= {entry["drop"] for entry in chain if entry["drop"]}
                buckets = 0
                for entry in chain:
                    buckets |= entry["buckets"]
                chain = [_entry() | {"buckets": buckets, "last": _ANYWHERE, "size": 0}]
            chain.sort(key=lambda entry: not entry["drop"])  # the first that fits is the one that decides
            buckets = 0
            for place, entry in enumerate(chain):
                buckets |= entry["buckets"]
                entry["next"] = len(self.entries) + 1 if place + 1 < len(chain) else 0
                self.entries.append(entry)
            self._heads[slot] = (len(self.entries) - len(chain), buckets)
        if len(self.entries) > _MOST_ENTRIES:
            raise UsageError(f"these rules make {len(self.entries)} entries of patterns, {_MOST_ENTRIES} are the most",
                             cure="A pattern takes four; leave rules out, or watch other interfaces with some of them.")
        for entry in self.entries:  # what is undecided in one place is so in all
            if entry["drop"] in undecided:
                entry["drop"] = 0
        return undecided

    def bits(self) -> dict[str, int]:
        """How large each pass's table is: sixteen places for each word, so that chance finds few."""
        counts = {kind: sum(kind == each for each, _ in self._chains) for kind in _HEADS}
        found = {kind: min(max((count * 16 - 1).bit_length(), _LEAST_BITS), _MOST_BITS) if count else 0
                 for kind, count in counts.items()}
        return found | {"pairs": _MOST_BITS if counts["pairs"] else 0}

    def tables(self, bits: dict[str, int]) -> dict[str, Any]:
        """The tables of all passes, and which buckets need which pass."""
        import numpy as np
        found: dict[str, Any] = {"floating": self._used["aligned"], "short": self._used["dense"],
                                 "shortest": self._used["pairs"]}
        for kind, heads in _HEADS.items():
            if bits[kind]:
                found[kind] = np.zeros(1 << bits[kind], np.uint8)
                found[heads] = np.zeros(1 << bits[kind], np.uint16)
        for (kind, slot), (head, buckets) in self._heads.items():
            found[kind][slot] = _coarse(buckets)
            found[_HEADS[kind]][slot] = head
        return found


def _coarse(mask: int) -> int:
    for shift in (32, 16, 8):
        mask |= mask >> shift
    return mask & 0xFF


def _entry() -> dict[str, Any]:
    return {"words": [0] * ENTRY_WORDS, "masks": [0] * ENTRY_WORDS, "buckets": 0, "first": 0, "last": 0, "back": 0,
            "size": 0, "drop": 0, "next": 0}


def _places(size: int, fixed: int | None) -> tuple[str, list[int]]:
    """The pass that looks for a pattern, and at which of its bytes."""
    if size >= _WHOLE and fixed is None:
        return "aligned", [0, 1, 2, 3]
    if fixed is not None and size >= 4 + -fixed % 4:
        return "aligned", [-fixed % 4]  # the payload begins at a whole word
    return ("dense", [0]) if size >= 4 else ("pairs", [0])


def _key(kind: str, pattern: bytes, back: int) -> int:
    word = int.from_bytes(pattern[back:back + (2 if kind == "pairs" else 4)], "little")
    return (word | FOLD) & (0xFFFF if kind == "pairs" else 0xFFFFFFFF)


def _write(entry: dict[str, Any], content: Content, back: int, size: int) -> None:
    """The pattern's bytes into words: the second holds the one `back` bytes behind its start."""
    value, mask = bytearray(4 * ENTRY_WORDS), bytearray(4 * ENTRY_WORDS)
    for at in range(min(size, 4 * ENTRY_WORDS - 4 + back)):
        letter = content.pattern[at:at + 1]
        mask[4 - back + at] = _NOCASE if content.nocase and letter.isalpha() else _FULL
        value[4 - back + at] = letter[0] & mask[4 - back + at]
    entry["words"] = [int.from_bytes(value[at:at + 4], "little") for at in range(0, len(value), 4)]
    entry["masks"] = [int.from_bytes(mask[at:at + 4], "little") for at in range(0, len(mask), 4)]
