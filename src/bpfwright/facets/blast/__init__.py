"""Traffic from header expressions and captures, at millions of frames a second; what arrives is counted and timed.

    from bpfwright.facets.blast import blast
    report = blast("Ethernet() / IPv4(source='198.18.0.0/16') / UDP(dport=range(1, 1000))", interface="left",
                   receive="right", count=1_000_000)
    report.sent, report.lost, report.latency.percentile(99)
"""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.facets.blast.control import Blaster, Reflector, blast
    from bpfwright.facets.blast.frames import Frames
    from bpfwright.facets.blast.model import Latency, Options, Report, Second
    from bpfwright.facets.blast.values import hold, random

__all__ = ["Blaster", "Frames", "Latency", "Options", "Reflector", "Report", "Second", "blast", "hold", "random"]

_FILES = {"Blaster": "control", "Frames": "frames", "Latency": "model", "Options": "model", "Reflector": "control",
          "Report": "model", "Second": "model", "blast": "control", "hold": "values", "random": "values"}

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)
