"""Events: what kernel programs send, record by record or in bulk as columns; the struct type is the schema."""
from __future__ import annotations

from bpfwright.events.perf import PerfBuffer, PerfReader
from bpfwright.events.ring import Ring, RingReader
from bpfwright.events.schema import Column, Schema
from bpfwright.events.stream import Events

__all__ = ["Column", "Events", "PerfBuffer", "PerfReader", "Ring", "RingReader", "Schema"]
