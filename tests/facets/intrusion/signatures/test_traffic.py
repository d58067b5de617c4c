"""Rules in a data path of two namespaces: real connections, the log, status, and what is dropped."""
from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from bpfwright.facets.intrusion.facet import Intrusion

from tests.datapath.wire import Wire, wired

pytestmark = pytest.mark.kernel
HOST = "192.0.2.1"
RULES = """
alert tcp any any -> $HOME_NET 8000 (msg:"request"; flow:established,to_server; content:"GET /secret/place"; sid:1;)
alert tcp $HOME_NET 8000 -> any any (msg:"answer"; flow:established,to_client; content:"the secret itself"; sid:2;)
drop udp any any -> $HOME_NET 9000 (msg:"dropped at once"; content:"do not let in"; sid:3;)
drop udp any any -> $HOME_NET 9001 (msg:"dropped on a copy"; content:"do not"; content:"let in"; distance:1; sid:4;)
alert udp any any -> $HOME_NET 9002 (msg:"often"; content:"often"; threshold:type limit, track by_src, count 2, \\
  seconds 60; sid:5;)
alert tcp any any -> any any (msg:"not understood"; smb.share; content:"x"; sid:6;)
alert udp any any -> $HOME_NET 9003 (msg:"endless"; pcre:"/(([a-z])+.)+[A-Z]([a-z])+$/"; sid:7;)
"""


@contextmanager
def guarded(tmp_path: Path) -> Iterator[tuple[Wire, Controller, Any]]:
    """A wire with the rules at its end, and what tends them and gives the new lines of the log."""
    (tmp_path / "local.rules").write_text(RULES)
    log = tmp_path / "eve.json"
    text = (f"interfaces: [uplink]\nintrusion:\n  signatures: [local.rules]\n  unsupported: skip\n"
            f"  variables: {{HOME_NET: {HOST}}}\n  log: {log}\n  block: 3s\n")
    with wired() as wire, Controller("", {"intrusion": Intrusion()}, ledger=Ledger(
            f"signatures-{os.getpid()}", state=str(tmp_path))) as controller:
        try:
            controller.apply(text, str(tmp_path / "net.yaml"))
            with controller.generation() as (_, generation):
                part = generation.plan.parts["intrusion"]
                read = 0

                def lines() -> list[dict[str, Any]]:
                    nonlocal read
                    assert part.tend is not None
                    part.tend(generation.maps)
                    found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
                    new, read = found[read:], len(found)
                    return new

                yield wire, controller, lines
        finally:
            controller.remove()


def talk(wire: Wire, requests: list[bytes], answer: bytes) -> None:
    """A connection from the peer to the host's port 8000: requests one by one, then an answer."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, 8000))
        listener.listen()
        listener.settimeout(30)
        with wire.peer_entered():
            client = socket.socket()
        with client:
            client.settimeout(30)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.connect((HOST, 8000))
            server, _ = listener.accept()
            with server:
                server.settimeout(30)
                for request in requests:
                    client.sendall(request)
                    assert server.recv(1000) == request
                server.sendall(answer)
                assert client.recv(1000) == answer


def sent(wire: Wire, port: int, data: bytes, wait_s: float = 10.0) -> bool:
    """Whether a datagram of the peer's comes to the host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind((HOST, port))
        host.settimeout(wait_s)
        with wire.peer_entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(data, (HOST, port))
        try:
            return host.recv(1000) == data
        except TimeoutError:
            return False


def lost(wire: Wire, port: int, data: bytes) -> bool:
    return not sent(wire, port, data, 0.3)


def test_real_traffic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with guarded(tmp_path) as (wire, controller, lines):
        talk(wire, [b"GET /public/place HTTP/1.0\r\n\r\n"], b"nothing of interest")
        assert lines() == []
        talk(wire, [b"GE", b"T /sec", b"ret/place HTTP/1.0\r\n\r\n"], b"here is the secret itself")
        request, answer = lines()
        assert (request["alert"]["signature_id"], request["direction"], request["stream"]) == (1, "to_server", 1)
        assert (answer["alert"]["signature_id"], answer["direction"], answer["src_port"]) == (2, "to_client", 8000)
        assert request["flow_id"] == answer["flow_id"] and request["in_iface"] == "uplink"
        assert abs(time.time() - time.mktime(time.strptime(request["timestamp"][:19], "%Y-%m-%dT%H:%M:%S"))
                   + time.timezone) < 120

        assert sent(wire, 9000, b"you may let this in") and lost(wire, 9000, b"please do not let in")
        assert [(line["alert"]["signature_id"], line["alert"]["action"]) for line in lines()] == [(3, "blocked")]
        assert [sent(wire, 9002, b"often %d" % number) for number in range(4)] == [True] * 4
        assert [line["alert"]["signature_id"] for line in lines()] == [5, 5]

        assert sent(wire, 9001, b"do not ever let in")  # decided when it has passed
        (passed,) = lines()
        assert (passed["alert"]["signature_id"], passed["alert"]["action"]) == (4, "allowed")
        assert passed["follows"]["action"] == "block" and passed["follows"]["src_ip"] == passed["src_ip"]
        assert passed["follows"]["until"] > passed["timestamp"]
        assert lost(wire, 9002, b"anything of this source")
        time.sleep(3.1)
        assert sent(wire, 9002, b"anything once more")

        assert all(sent(wire, 9003, b"x" * 990) for _ in range(12))
        began = time.process_time()
        overruns = lines()
        assert time.process_time() - began < 1
        assert [line["event_type"] for line in overruns] == ["engine"] * 10
        assert [line["engine"]["switched_off"] for line in overruns] == [False] * 9 + [True]
        assert "rule 7 took more than 20 ms of a payload" in overruns[0]["engine"]["message"]
        assert "rule 7" in capsys.readouterr().err

        rows = {row["signatures"]: row["count"] for row in controller.status().rows["intrusion"] if "signatures" in row}
        assert (rows["rules"], rows["rules refused"], rows["alerts"]) == (6, 1, 6)
        assert rows["drop rules decided in the kernel"] == 1
        assert rows["drop rules decided on copies, which block the source"] == 1
        assert any("local.rules:8:" in word and "smb.share" in word for word in rows)
        told = {(row["signature"], row["verdict"]): row["count"] for row in controller.status().rows["intrusion"]
                if "signature" in row}
        assert told == {(1, "told"): 1, (2, "told"): 1, (3, "told"): 1, (3, "dropped in the kernel"): 1,
                        (4, "told"): 1, (5, "told"): 2, (7, "over its budget"): 10, (7, "switched off"): 1}


def test_what_is_known_goes_on_over_a_change(tmp_path: Path) -> None:
    with guarded(tmp_path) as (wire, controller, lines):
        assert sent(wire, 9002, b"often") and sent(wire, 9002, b"often")
        assert len(lines()) == 2
        (tmp_path / "local.rules").write_text(RULES.replace("dropped at once", "dropped now"))
        controller.apply(controller.status().record.text, str(tmp_path / "net.yaml"))
        with controller.generation() as (_, generation):
            part = generation.plan.parts["intrusion"]
            assert part.tend is not None
            assert sent(wire, 9002, b"often") and lost(wire, 9000, b"do not let in")
            part.tend(generation.maps)
        found = [json.loads(line) for line in (tmp_path / "eve.json").read_text().splitlines()]
        assert [line["alert"]["signature"] for line in found] == ["often", "often", "dropped now"]


BESIDE = """
interfaces: [uplink]
firewall:
  default: allow
  rules: [{name: web, match: {protocol: tcp, destination-port: [80, 443]}, action: drop}]
balancer:
  gateway: 02:00:00:00:00:01
  backends: {one: 10.9.0.1, two: 10.9.0.2}
  vips: [{address: 10.8.0.1, port: 80, backends: [one, two]}]
shaper:
  limits: [{name: dns, direction: ingress, rate: 1Gbit, match: {protocol: udp, destination-port: 9}}]
intrusion:
  scan: {targets: 25, window: 10s}
  signatures: [local.rules]
"""


def test_beside_all_other_facets(tmp_path: Path) -> None:
    """Verifiers and the stack have room for all of them in one program; both machines say the same."""
    from bpfwright.cli.net import facets
    from bpfwright.headers import UDP, Ethernet, IPv4
    from bpfwright.kernel import Kernel
    from bpfwright.userspace import Userspace
    rules = RULES.replace("$HOME_NET", "any").replace("smb.share", "http.uri")
    (tmp_path / "local.rules").write_text(rules + 'alert udp any any -> any 9004 (content:"xy"; sid:17;)\n')
    packet = bytes(Ethernet() / IPv4(source="203.0.113.1", destination=HOST) / UDP(dport=9000) / b"do not let in")
    with wired(), Kernel() as kernel, Controller("", facets(), ledger=Ledger(
            f"beside-{os.getpid()}", state=str(tmp_path))) as controller:
        try:
            controller.apply(BESIDE, str(tmp_path / "net.yaml"))
            for explained in controller.explain(packet, "uplink", [kernel, Userspace()]):
                last = explained.steps[-1]
                assert (last.stage, last.says, last.reason) == ("intrusion", "drops", "signature")
        finally:
            controller.remove()
