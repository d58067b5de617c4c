"""Alerts of signatures as lines of EVE JSON."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.parsed import address_text
from bpfwright.facets.intrusion.eve import follows, stamp
from bpfwright.facets.intrusion.signatures.classes import CLASSES
from bpfwright.facets.intrusion.signatures.engine import Found
from bpfwright.facets.intrusion.signatures.model import Signature
from bpfwright.facets.intrusion.signatures.protocols.message import Message

__all__ = ["engine_line", "eve_of", "flow_id", "severity"]

_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "IPv6-ICMP", 132: "SCTP"}
_LOW = (1 << 64) - 1
_MOST_TEXT = 2048


def severity(found: Found) -> int:
    """The rule's priority, or its class's; 3 where it has none."""
    return found.rule.priority or CLASSES.get(found.rule.classtype, ("", 3))[1]


def flow_id(found: Found) -> int:
    """A number of 53 bits for a flow: the same for all its packets, in both directions."""
    packet = found.packet
    ends = sorted(((packet.source, packet.source_port), (packet.destination, packet.destination_port)))
    mixed = found.flow
    for number in (packet.protocol, *(value for end in ends for value in end)):
        mixed = (mixed ^ number & _LOW ^ number >> 64 & _LOW) * 0x9E37_79B9_7F4A_7C15 & _LOW
        mixed ^= mixed >> 29
    return mixed & (1 << 53) - 1


def engine_line(rule: Signature, text: str, wall_ns: int, *, off: bool) -> dict[str, Any]:
    """What the engine itself has to say about a rule."""
    return {"timestamp": stamp(wall_ns), "log_level": "Error" if off else "Warning", "event_type": "engine",
            "engine": {"message": text, "signature_id": rule.sid, "switched_off": off}}


def eve_of(found: Found, wall_ns: int, interface: str, *, until_ns: int = 0) -> dict[str, Any]:
    """An alert; `wall_ns` is what makes its monotonic time one since 1970. "blocked" is what the kernel dropped; of a
    rule that was decided when the packet had passed, `until_ns` says how long its source is kept out."""
    rule, packet = found.rule, found.packet
    line: dict[str, Any] = {
        "timestamp": stamp(found.time_ns + wall_ns), "flow_id": flow_id(found), "in_iface": interface,
        "event_type": "alert", "src_ip": address_text(packet.source >> 64, packet.source & _LOW),
        "dest_ip": address_text(packet.destination >> 64, packet.destination & _LOW)}
    if packet.source_port >= 0:
        line |= {"src_port": packet.source_port, "dest_port": packet.destination_port}
    line["proto"] = _PROTOCOLS.get(packet.protocol, f"{packet.protocol:03}")
    if packet.type >= 0:
        line |= {"icmp_type": packet.type, "icmp_code": packet.code}
    alert: dict[str, Any] = {
        "action": "blocked" if found.dropped else "allowed", "gid": rule.gid, "signature_id": rule.sid, "rev": rule.rev,
        "signature": rule.msg, "category": CLASSES.get(rule.classtype, ("", 3))[0], "severity": severity(found)}
    if rule.target:
        ends = {"source": ("src", "dest"), "target": ("dest", "src")}
        alert |= {word: _end(line, kinds[rule.target == "src_ip"]) for word, kinds in ends.items()}
    if rule.metadata:
        alert["metadata"] = {name: [value for other, value in rule.metadata if other == name]
                             for name, _ in rule.metadata}
    if rule.references:
        alert["references"] = [f"{kind}:{value}" for kind, value in rule.references]
    line["alert"] = alert
    if found.to_server is not None:
        line["direction"] = "to_server" if found.to_server else "to_client"
    line["stream"] = int(found.in_stream)
    if found.speaks:
        line["app_proto"] = found.speaks
    if found.message is not None:
        line |= _said(found.message)
    if until_ns:
        line["follows"] = follows(line["src_ip"], until_ns + wall_ns)
    return line


_NAMES = {"http": {"http.host": "hostname", "http.uri.raw": "url", "http.user_agent": "http_user_agent",
                   "http.method": "http_method", "http.protocol": "protocol", "http.stat_code": "status",
                   "http.content_type": "http_content_type"}, "tls": {"tls.sni": "sni"}}


def _said(message: Message) -> dict[str, Any]:
    """What the message says, as far as EVE has words for it."""
    if message.protocol == "dns":
        return {"dns": {"query": [{"type": "query", "rrname": _text(name)} for name in message.values("dns.query")]}}
    known = {word: _text(b", ".join(values)) for name, word in _NAMES.get(message.protocol, {}).items()
             if (values := message.values(name))}
    if known.get("status", "").isdigit():
        return {message.protocol: {**known, "status": int(known["status"])}}
    return {message.protocol: known} if known else {}


def _text(data: bytes) -> str:
    return data[:_MOST_TEXT].decode("utf-8", "backslashreplace")


def _end(line: dict[str, Any], side: str) -> dict[str, Any]:
    found = {"ip": line[f"{side}_ip"]}
    if f"{side}_port" in line:
        found["port"] = line[f"{side}_port"]
    return found
