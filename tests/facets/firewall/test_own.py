"""Fields of a protocol of one's own in rules."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfwright.datapath.configuration import read
from bpfwright.datapath.protocols import own_fields
from bpfwright.errors import ConfigurationError
from bpfwright.headers import UDP, Ethernet, IPv4, IPv6

from .guard import Guard

TELEMETRY = '''
from bpfwright.headers import UDP
from bpfwright.spec.header import Header, Link
from bpfwright.types import L, be16, be32, bits, u8

class Telemetry(Header):
    follows = (Link(UDP, "dport", (4790,)),)
    version: bits[u8, L[4]] = 1
    kind: bits[u8, L[4]] = 0
    hops: u8 = 0
    length: be16 = 0
    sensor: be32 = 0
'''
RULES = """
  rules:
    - {name: alarms, match: {telemetry.kind: [3, 4]}, action: drop}
    - {name: sensor, match: {telemetry.sensor: 0x01020304, protocol: udp}, not: {telemetry.kind: 0}, action: drop}
    - {name: ours, match: {telemetry.version: 1}, action: allow}
"""


def telemetry(version: int, kind: int, sensor: int = 9) -> bytes:
    return bytes([version << 4 | kind, 7, 0, 0]) + sensor.to_bytes(4, "big")


@pytest.fixture
def own(tmp_path: Path) -> Any:
    (tmp_path / "telemetry.py").write_text(TELEMETRY)
    return f"protocols: {{telemetry: {{file: {tmp_path}/telemetry.py}}}}\n"


def test_rules_about_its_fields(machine: Any, own: str) -> None:
    with Guard(RULES, machine, own=own) as guard:
        for ip in (IPv4(), IPv6()):
            def frame(payload: bytes, dport: int = 4790, ip: Any = ip) -> Any:
                return Ethernet() / ip / UDP(dport=dport) / payload

            assert guard.rule(frame(telemetry(1, 3))) == "alarms" and guard.rule(frame(telemetry(2, 4))) == "alarms"
            assert guard.rule(frame(telemetry(1, 1, 0x01020304))) == "sensor"
            assert guard.rule(frame(telemetry(1, 0, 0x01020304))) == "ours"
            assert guard.rule(frame(telemetry(2, 0))) == "default in"
            assert guard.rule(frame(telemetry(1, 3), dport=4791)) == "default in"
            assert guard.rule(frame(telemetry(1, 3)[:7])) == "default in"


@pytest.mark.parametrize(("text", "line", "said"), [
    ("protocols: {telemetry: {file: none.py}}", 1, "cannot be read"),
    ("protocols: {a-b: {file: telemetry.py}}", 1, "'a-b' is no protocol"),
    ("protocols: {telemetry: {file: telemetry.py, header: Other}}", 1, "has no header Other"),
    ("protocols: {telemetry: {file: two.py}}", 1, "has 2 header classes"),
    ("protocols: {telemetry: {file: broken.py}}", 1, "broken.py fails: ZeroDivisionError"),
    ("protocols: {telemetry: {file: loose.py}}", 1, "Loose follows no header"),
    ("protocols: {telemetry: {file: telemetry.py, port: 9}}", 1, "there is no such key"),
])
def test_mistakes(text: str, line: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "telemetry.py").write_text(TELEMETRY)
    (tmp_path / "two.py").write_text(TELEMETRY + "class Other(Telemetry):\n    pass\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "loose.py").write_text(TELEMETRY.partition("class")[0] + "class Loose(Header):\n    x: u8 = 0\n")
    with pytest.raises(ConfigurationError) as error:
        own_fields(read(text, str(tmp_path / "net.yaml")))
    assert said in str(error.value) and f"net.yaml:{line}:" in str(error.value)


def test_numbers_that_a_field_cannot_have(own: str) -> None:
    from bpfwright.userspace import Userspace
    with pytest.raises(ConfigurationError, match="16 is not between 0 and 15"):
        Guard("\n  rules:\n    - {name: x, match: {telemetry.kind: 16}, action: drop}\n", Userspace(), own=own)
    with pytest.raises(ConfigurationError, match=r"telemetry\.colour: there is no such key"):
        Guard("\n  rules:\n    - {name: x, match: {telemetry.colour: 1}, action: drop}\n", Userspace(), own=own)
