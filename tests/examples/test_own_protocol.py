"""The example of a protocol of one's own: one file, and all four facets go by it."""
from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from bpfwright.cli.net import facets
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from bpfwright.headers import UDP, Ethernet, IPv4
from bpfwright.kernel import Kernel
from bpfwright.userspace import Userspace
from tests.datapath.wire import HOST, wired
from tests.examples.stage import EXAMPLES

pytestmark = pytest.mark.kernel


def telemetry(kind: int, sensor: int, *, version: int = 1, level: int = 0) -> bytes:
    return bytes([version << 4 | kind, level, 0, 0]) + sensor.to_bytes(4, "big")


def frame(payload: bytes, to: str = HOST, source: str = "203.0.113.9") -> bytes:
    return bytes(Ethernet() / IPv4(source=source, destination=to) / UDP(sport=9, dport=4790) / payload)


def test_all_four_facets(tmp_path: Path) -> None:
    folder = tmp_path / "own_protocol"
    shutil.copytree(EXAMPLES / "own_protocol", folder)
    text = (folder / "net.yaml").read_text().replace("[eth0]", "[uplink]")
    with wired() as wire, Kernel() as kernel:
        ledger = Ledger(f"own-{os.getpid()}", state=str(tmp_path / "state"))
        with Controller("", facets(), ledger=ledger) as controller:
            try:
                controller.apply(text, str(folder / "net.yaml"))

                def end(data: bytes) -> tuple[str, str, bytes]:
                    both = controller.explain(data, "uplink", [kernel, Userspace()])
                    assert both[0].steps == both[1].steps and both[0].data == both[1].data
                    return both[0].steps[-1].stage, both[0].steps[-1].reason, both[0].data

                assert end(frame(telemetry(1, 5, version=0)))[:2] == ("firewall", "old version")
                assert end(frame(telemetry(1, 5), source="198.51.100.7"))[:2] == ("firewall", "stolen")
                backends = {end(frame(telemetry(1, 5), "192.0.2.80", f"203.0.113.{host}"))[2][30:34]
                            for host in range(2)}
                assert len(backends) == 1  # one sensor, many addresses

                with wire.peer_entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    for payload in (telemetry(2, 5), telemetry(7, 5), telemetry(4, 5, level=201), telemetry(4, 6)):
                        sender.sendto(payload, (HOST, 4790))
                rows = controller.status().rows
                assert {"alert": "sensor alarm", "count": 1} in rows["intrusion"]  # once for each address a minute
                assert [row["packets"] for row in rows["shaper"] if row["rule"] == "ingress bulk"] == [1]
                with controller.generation() as (_, generation):
                    tend: Any = generation.plan.parts["intrusion"].tend
                    tend(generation.maps)
                (alert,) = [json.loads(line) for line in (folder / "alerts.json").read_text().splitlines()]
                assert alert["alert"]["signature"] == "bpfwright sensor alarm" and alert["dest_port"] == 4790
            finally:
                if ledger.exists:
                    controller.remove()
