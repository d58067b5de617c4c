"""Signatures in a data path: stages for both hooks, and the tables that are written before they are live."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.facets.intrusion.signatures.compiling import Compiled, compiled
from bpfwright.facets.intrusion.signatures.kernel import Limits, Maps, maps_of, stage_of
from bpfwright.facets.intrusion.signatures.model import Signature
from bpfwright.facets.intrusion.signatures.networks import Networks
from bpfwright.facets.intrusion.signatures.records import Entry

__all__ = ["InKernel"]


class InKernel:
    """The kernel's part of some rules: `run[hook]` is what a stage does there."""

    def __init__(self, rules: list[Signature], limits: Limits) -> None:
        self.compiled: Compiled = compiled(rules)
        self.limits = limits
        self.maps: Maps = maps_of(self.compiled.layout, limits)
        self._networks = Networks(self.compiled)
        self.run = {hook: stage_of(self.compiled.layout, limits, self.maps, egress=hook == "egress",
                                   nets=self._networks.nets) for hook in ("xdp", "egress")}

    @property
    def kept(self) -> dict[str, Any]:
        """Maps that outlive a change."""
        return {"sessions": self.maps.sessions, "copies": self.maps.copies, "signature-counts": self.maps.counts,
                "signature-reasons": self.maps.reasons, "told": self.maps.told}

    def fill(self, maps: Callable[[Any], Any]) -> None:
        """Write the tables."""
        import numpy as np
        table = maps(self.maps.tables)
        struct = self.maps.tables.value.cls
        memory = bytearray(struct.__layout__().size)
        fields = struct.__layout__().fields
        for name, numbers in self.compiled.fields.items():
            if name not in fields:
                continue
            kind = numbers.dtype if isinstance(numbers, np.ndarray) else np.dtype(np.uint64)
            raw = np.ascontiguousarray(numbers, kind).tobytes()
            memory[fields[name].offset:fields[name].offset + len(raw)] = raw
        table.handle.update_batch(np.zeros(1, np.uint32), np.frombuffer(memory, np.uint8), 1)
        searched = any(self.compiled.layout.bits.values())
        entries: Any = maps(self.maps.entries) if searched else None
        for number, entry in enumerate(self.compiled.entries if searched else ()):
            entries[number] = Entry(entry["words"], entry["masks"], entry["buckets"], entry["first"], entry["last"],
                                    entry["back"], entry["size"], entry["drop"], entry["next"], 0)
        self._networks.fill(maps)
