"""Frames that are made, sent, counted and timed: exact counts of fields that vary, and the verifiers of all kernels."""
from __future__ import annotations

from vmtest.own_cache import own_cache

from bpfwright.vmlinux import net_device as _net_device  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "6.1"  # live frames came with 5.18


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache():
        sent()


def sent() -> None:
    from bpfwright.facets.blast import Reflector, blast
    from bpfwright.facets.blast.presets import PRESETS
    from vmtest.running import interface_pair
    text = PRESETS["vxlan"].text  # fields of all kinds, and four checksums, the outer ones over the inner
    with interface_pair() as (left, right):
        report = blast(text, interface=left, receive=right, length="140-150", count=3000, rate=30_000)
        # An emulated CPU may be too slow for its ring; what the driver took has to come.
        assert report.made == 3000 == report.sent + report.refused and report.sent > 1000, report
        assert (report.received, report.lost, report.duplicates) == (report.sent, 0, 0), report
        assert report.latency is not None and report.latency.timed == report.received
        with Reflector(right) as reflector:
            report = blast(text, interface=left, receive=left, length="140-150", count=500, rate=5_000)
            assert report.made == 500 and report.received == reflector.frames, report
            assert 0 < reflector.frames <= report.sent, report
