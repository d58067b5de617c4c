"""Section `intrusion` of net.yaml."""
from __future__ import annotations

import os

from bpfwright._typing import TYPE_CHECKING
from bpfwright.datapath.configuration import Section
from bpfwright.facets.intrusion.model import Beacon, Flood, Scan, Settings
from bpfwright.facets.intrusion.watches import watches

if TYPE_CHECKING:
    from bpfwright.facets.intrusion.signatures.section import Wanted

__all__ = ["MOST_TARGETS", "read"]

MOST_TARGETS = 400  # of a scan, that a bitmap of 256 bits can tell


def read(section: Section) -> Settings:
    """The section's settings; ConfigurationError by line. A detector that is not named is off."""
    found = Settings(
        tuple(scalar.text for scalar in section.scalars("interfaces")),
        _scan(section, "scan", 25, 10.0), _scan(section, "slow-scan", 60, 600.0), _flood(section),
        section.flag("fragments"), section.flag("arp"), section.number("dns-guesses", 0, low=2, high=64),
        _beacon(section), section.seconds("block", 0.0, high=86400.0), _log(section),
        section.number("entries", 65_536, low=256, high=1 << 24), _signatures(section), watches(section))
    if not (found.scan or found.slow_scan or any(found.flood) or found.fragments or found.arp or found.dns
            or found.beacon or found.signatures or found.watches):
        section.wrong("nothing is looked for", "Write `scan: {targets: 25, window: 10s}`, `arp: true` and the like.")
    return found


def _signatures(section: Section) -> Wanted | None:
    """Only who asks for them pays for what reads them."""
    if not any(key in section for key in ("signatures", "variables", "unsupported", "depth", "streams")):
        return None
    from bpfwright.facets.intrusion.signatures.section import wanted
    return wanted(section)


def _scan(section: Section, key: str, targets: int, window_s: float) -> Scan | None:
    inside = section.section(key)
    if inside is None:
        return None
    found = Scan(inside.number("targets", targets, low=3, high=MOST_TARGETS),
                 inside.seconds("window", window_s, low=0.1, high=86400.0))
    inside.done()
    return found


def _flood(section: Section) -> Flood:
    inside = section.section("flood")
    if inside is None:
        return Flood()
    found = Flood(*(inside.number(key, 0, low=10, high=1 << 32) for key in ("syn", "udp", "icmp")))
    if not any(found):
        inside.wrong("no rate is named", "Write `syn: 1000`, packets a second to one destination.")
    inside.done()
    return found


def _beacon(section: Section) -> Beacon | None:
    inside = section.section("beacon")
    if inside is None:
        return None
    found = Beacon(inside.number("connections", 8, low=3, high=1000), inside.seconds("least", 1.0, low=0.001))
    inside.done()
    return found


def _log(section: Section) -> str:
    path = section.path("log", "")
    if path and not os.path.isdir(os.path.dirname(path)):
        section.wrong(f"there is no folder for {path}", "Make it first.", at="log")
    return path
