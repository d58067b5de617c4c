"""Sources that send too much: found by the sketch, shut out, let in again; limits, and what was written down."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bpfwright import _host
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.mitigation import WINDOW_SHIFT
from bpfwright.headers import UDP, Arp, Ethernet, IPv4, IPv6
from bpfwright.kernel.cpus import possible_cpus
from bpfwright.userspace import Userspace
from tests.facets.firewall.guard import Guard, settings_of

E = Ethernet()
TEXT = """
  mitigate: {packets: 1000/s, block: 60s, most: 2, never: [192.0.2.0/28], audit: %s}
  rules:
    - {name: web, match: {destination-port: 80}, action: allow}
"""


def send(guard: Guard, source: str, count: int) -> bool:
    """So many packets of a source by test runs; whether the last was dropped."""
    packet = E / (IPv6(source=source) if ":" in source else IPv4(source=source)) / UDP(dport=80)
    return bool(guard.programs["lo", "xdp"].test_run(bytes(packet), repeat=count).value == 1)


def test_a_source_is_shut_out_and_let_in(machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = tmp_path / "audit.jsonl"
    if isinstance(machine, Userspace):  # the userspace machine's time is its own
        machine.now_ns = 5 << WINDOW_SHIFT
        monkeypatch.setattr(_host, "now_ns", lambda: machine.now_ns)
    with Guard(TEXT % audit, machine) as guard:
        tend = guard.part.tend
        assert tend is not None
        send(guard, "203.0.113.1", 300 // possible_cpus())  # this machine's programs may run on one CPU or on all
        for number in range(200):
            send(guard, f"198.51.100.{number}", 1)
        tend(guard.generation.maps)
        assert not audit.exists() and not send(guard, "203.0.113.1", 1)

        for source in ("203.0.113.2", "192.0.2.3", "2001:db8::7", "203.0.113.4"):
            send(guard, source, 5000)
            tend(guard.generation.maps)
        entries = [json.loads(line) for line in audit.read_text().splitlines()]
        assert [(entry["what"], entry["source"]) for entry in entries] == [
            ("shut out", "203.0.113.2"), ("spared", "192.0.2.3"), ("shut out", "2001:db8::7"),
            ("no room", "203.0.113.4")]
        assert all(entry["packets"] >= 1000 and entry["time"] > 1e9 for entry in entries)
        assert [send(guard, source, 1) for source in ("203.0.113.2", "2001:db8::7", "203.0.113.4", "203.0.113.1")] == [
            True, True, False, False]
        assert guard.reasons()["source shut out"] >= 2 and not guard.drops(E / Arp())
        shown = [row for row in guard.rows() if "source" in row]
        assert [row["source"] for row in shown] == ["203.0.113.2", "2001:db8::7"] and 0 < shown[0]["shut out for"] <= 60

        ahead = _host.now_ns() + (61 << WINDOW_SHIFT)
        monkeypatch.setattr(_host, "now_ns", lambda: ahead)
        if isinstance(machine, Userspace):
            machine.now_ns = ahead
        tend(guard.generation.maps)
        entries = [json.loads(line) for line in audit.read_text().splitlines()][4:]
        assert {(entry["what"], entry["source"]) for entry in entries} == {("let in", "203.0.113.2"),
                                                                          ("let in", "2001:db8::7")}
        assert not send(guard, "203.0.113.2", 1)


@pytest.mark.parametrize(("text", "what"), [
    ("{block: 5s}", "packets is missing"), ("{packets: 5}", "no rate"), ("{packets: 5/h}", "less than one"),
    ("{packets: 5/s, block: 1}", "not a time"), ("{packets: 5/s, block: 2d}", "not between"),
    ("{packets: 5/s, most: 0}", "0"),
    ("{packets: 5/s, never: [x]}", "no address"), ("{packets: 5/s, never: ['@x']}", "no set"),
    ("{packets: 5/s, until: 5}", "no such key"),
])
def test_mistakes(text: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        settings_of(f"  mitigate: {text}\n")
