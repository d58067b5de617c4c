"""Events: what kernel programs send, record by record or in bulk as columns; the struct type is the schema."""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.events.perf import PerfBuffer, PerfReader
    from bpfwright.events.ring import Ring, RingReader
    from bpfwright.events.schema import Column, Schema
    from bpfwright.events.stream import Events

__all__ = ["Column", "Events", "PerfBuffer", "PerfReader", "Ring", "RingReader", "Schema"]

_FILES = {"Column": "schema", "Events": "stream", "PerfBuffer": "perf", "PerfReader": "perf", "Ring": "ring",
          "RingReader": "ring", "Schema": "schema"}

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)
