"""Alerts as lines of Suricata's EVE JSON, so that what reads those reads ours."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.parsed import address_text
from bpfwright.facets.intrusion.model import Alert, Kind

__all__ = ["FIRST_ID", "eve", "follows", "stamp"]

FIRST_ID = 9_700_000  # signature ids of our detectors, above those that rule sets use
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "IPv6-ICMP"}


def stamp(when_ns: int) -> str:
    """A time since 1970 as EVE has it."""
    from datetime import UTC, datetime
    moment = datetime.fromtimestamp(when_ns // 10**9, UTC).replace(microsecond=when_ns // 1000 % 10**6)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f+0000")


def follows(source: str, until_wall_ns: int) -> dict[str, Any]:
    """What is done to what follows of a source, when the packet that an alert is about has passed."""
    return {"action": "block", "src_ip": source, "until": stamp(until_wall_ns)}


def eve(alert: Alert, kind: Kind, wall_ns: int, interface: str, block_s: float = 0.0) -> dict[str, Any]:
    """An alert of a kind; `wall_ns` is what makes its monotonic time one since 1970. Its packet has passed: a source
    is blocked from the next one on, for `block_s`."""
    found: dict[str, Any] = {
        "timestamp": stamp(alert.time_ns + wall_ns), "event_type": "alert", "in_iface": interface}
    if alert.family:
        found |= {"src_ip": address_text(alert.source_high, alert.source_low),
                  "dest_ip": address_text(alert.destination_high, alert.destination_low)}
    if alert.protocol in (6, 17):
        found |= {"src_port": alert.source_port, "dest_port": alert.destination_port}
    if alert.protocol:
        found["proto"] = _PROTOCOLS.get(alert.protocol, str(alert.protocol))
    found["alert"] = {
        "action": "allowed", "gid": 1, "signature_id": FIRST_ID + alert.kind, "rev": 1,
        "signature": f"bpfwright {kind.signature}", "category": kind.category, "severity": kind.severity,
        "metadata": {"detector": [kind.name], "value": [str(alert.value)], "limit": [str(alert.limit)]}}
    if alert.blocked:
        found["follows"] = follows(address_text(alert.source_high, alert.source_low),
                                   alert.time_ns + wall_ns + int(block_s * 1e9))
    return found
