"""How often a rule tells: limit, threshold, both and detection_filter, by source, destination, both, flow or rule."""
from __future__ import annotations

from collections import OrderedDict

from bpfwright._typing import Callable
from bpfwright.facets.intrusion.signatures.model import Hostbit, Threshold

__all__ = ["Hostbits", "Thresholds"]

_SECOND = 10**9


class Thresholds:
    """What was counted so far, of the last `most` that something was counted of; what is forgotten counts anew."""

    def __init__(self, most: int = 65_536) -> None:
        self.most = most
        self.forgotten = 0
        self._counted: OrderedDict[object, tuple[int, int]] = OrderedDict()

    def tells(self, rule: int, threshold: Threshold, source: int, destination: int, flow: object, now_ns: int) -> bool:
        """Count a match; whether it is told."""
        key = (rule, *_tracked(threshold.track, source, destination, flow))
        began, count = self._counted.pop(key, (now_ns, 0))
        if now_ns - began > threshold.seconds * _SECOND:
            began, count = now_ns, 0
        count += 1
        told = _TELLS[threshold.kind](count, threshold.of)
        if threshold.kind == "threshold" and told:
            count = 0
        self._counted[key] = began, count
        if len(self._counted) > self.most:
            self._counted.popitem(last=False)
            self.forgotten += 1
        return told


_TELLS: dict[str, Callable[[int, int], bool]] = {
    "limit": lambda count, of: count <= of, "threshold": lambda count, of: count >= of,
    "both": lambda count, of: count == of, "filter": lambda count, of: count > of}


def _tracked(track: str, source: int, destination: int, flow: object) -> tuple[object, ...]:
    return {"by_src": (source,), "by_dst": (destination,), "by_flow": (flow,),
            "by_both": tuple(sorted((source, destination))), "by_rule": ()}[track]


class Hostbits:
    """Bits of addresses and of pairs of them, while they last; of `most` at once, the oldest go first, counted."""

    def __init__(self, most: int = 65_536) -> None:
        self.most = most
        self.forgotten = 0
        self._until: OrderedDict[object, int] = OrderedDict()

    def there(self, bit: Hostbit, source: int, destination: int, now_ns: int) -> bool:
        """Whether it is set."""
        return self._until.get(_bit_key(bit, source, destination), 0) > now_ns

    def change(self, bit: Hostbit, source: int, destination: int, now_ns: int) -> None:
        """Do what a rule that matched says."""
        if bit.command.startswith("is"):
            return
        key = _bit_key(bit, source, destination)
        known = self._until.pop(key, 0) > now_ns
        if bit.command == "set" or (bit.command == "toggle" and not known):
            self._until[key] = now_ns + bit.seconds * _SECOND
            if len(self._until) > self.most:
                self._until.popitem(last=False)
                self.forgotten += 1


def _bit_key(bit: Hostbit, source: int, destination: int) -> object:
    """One side's addresses are as good as the other's: a bit of an address is the same whoever it sends to."""
    if bit.track == "by_both":
        return bit.name, min(source, destination), max(source, destination)
    return bit.name, source if bit.track == "by_src" else destination
