"""Recordings of live runs as files: what the programs found, and what user space did meanwhile."""
from __future__ import annotations

from bpfwright.formats.recording.file import Entry, Note, Recorded, Recording, Run

__all__ = ["Entry", "Note", "Recorded", "Recording", "Run"]
