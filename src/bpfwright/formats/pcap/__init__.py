"""Captures of packets: pcap and pcapng, read and written."""
from __future__ import annotations

from bpfwright.formats.pcap.reader import Capture, Record, read_capture
from bpfwright.formats.pcap.writer import capture_header, capture_record, write_capture

__all__ = ["Capture", "Record", "capture_header", "capture_record", "read_capture", "write_capture"]
