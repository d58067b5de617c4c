"""A default of deny on a real wire: what lives on, what comes back, what does not come in."""
from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright import Userspace, attach, u32, u64
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.facet import Edit
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.watching import Watch
from bpfwright.facets.firewall.facet import FACET
from bpfwright.headers import UDP, Ethernet, IPv4
from bpfwright.hooks import tc, xdp
from bpfwright.kernel.netlink import Netlink
from bpfwright.maps import Array, Hash
from tests.facets.firewall.test_editing import Killed, dying_after
from tests.datapath.wire import HOST, PEER, Wire, wired

pytestmark = pytest.mark.kernel

DENY = """
interfaces: [uplink]
firewall:
  default: deny
  rules:
    - name: web
      match: {protocol: tcp, destination-port: 8080, source: 192.0.2.0/24}
      action: allow
    - name: slow
      match: {protocol: udp, destination-port: %d}
      limit: {packets: 1/h, burst: 3}
      action: allow
"""


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wired() as made:
        yield made


@pytest.fixture
def controller(tmp_path: Path, wire: Wire) -> Iterator[Controller]:
    ledger = Ledger(f"firewall-{os.getpid()}", state=str(tmp_path))
    with Controller("", {"firewall": FACET}, ledger=ledger) as made:
        try:
            yield made
        finally:
            if ledger.exists:
                made.remove()
            assert not os.path.exists(ledger.pins)


def listening(address: str, port: int) -> socket.socket:
    made = socket.create_server((address, port))
    made.settimeout(10)
    return made


def test_a_host_that_denies(controller: Controller, wire: Wire) -> None:
    with listening(HOST, 2222) as admin, listening(HOST, 8080) as web, listening(HOST, 9999) as closed:
        with wire.peer_entered():
            session = socket.create_connection((HOST, 2222), timeout=10)
            far = listening(PEER, 7000)
        there, _ = admin.accept()
        there.settimeout(10)
        controller.apply(DENY % wire.host.getsockname()[1])

        session.sendall(b"still here")                       # the connection that was there lives on
        assert there.recv(100) == b"still here"
        with wire.peer_entered():
            visitor = socket.create_connection((HOST, 8080), timeout=10)
            with pytest.raises(TimeoutError):
                socket.create_connection((HOST, 9999), timeout=0.3)
        web.accept()[0].close()
        out = socket.create_connection((PEER, 7000), timeout=10)  # what the host begins gets its answers
        back, _ = far.accept()
        back.sendall(b"answer")
        assert out.recv(100) == b"answer"
        assert wire.arrive(5) == 3                           # a rule's limit

        rows = {row["rule"]: row for row in controller.status().rows["firewall"] if "rule" in row}
        assert rows["web"]["packets"] >= 2 and rows["keep replies"]["packets"] >= 3
        assert (rows["slow"]["packets"], rows["slow"]["limited"]) == (5, 2)
        assert rows["default in"]["packets"] >= 1
        counted = {each.reason: each.packets for each in controller.status().counted if each.stage == "firewall"}
        assert counted["over a limit"] == 2 and counted["default"] == rows["default in"]["packets"]

        controller.apply(DENY.replace("8080", "8081") % 1)   # a change keeps what flows are known
        session.sendall(b"and here")
        assert there.recv(100) == b"and here"
        back.sendall(b"again")
        assert out.recv(100) == b"again" and wire.arrive(2) == 0
        for each in (session, there, visitor, far, out, back, closed):
            each.close()


LISTED = "interfaces: [uplink]\nfirewall:\n  sets:\n    bad: {file: bad.txt, room: 8}\n" \
    "  rules:\n    - {name: bad, match: {source: '@bad'}, action: drop, reason: bad}\n"


def test_a_set_that_is_changed_in_place(controller: Controller, wire: Wire, tmp_path: Path) -> None:
    listed, file = tmp_path / "bad.txt", str(tmp_path / "net.yaml")
    listed.write_text("203.0.113.0/24\n")
    controller.apply(LISTED, file)
    assert wire.arrive() == 5
    number = controller.edit("firewall", Edit("bad", add=(PEER,))).number
    assert wire.arrive() == 0 and controller.status().edits == 1
    assert controller.elements("firewall", "bad") == [f"{PEER}/32", "203.0.113.0/24"]
    explained = controller.explain(bytes(Ethernet() / IPv4(source=PEER) / UDP()), "uplink", [Userspace()])
    assert explained[0].steps[-1].reason == "bad"
    listed.unlink()                                          # a generation is what it was made of
    assert controller.status().record.number == number == 1
    controller.edit("firewall", Edit("bad", remove=(PEER,)))
    assert wire.arrive() == 5 and controller.elements("firewall", "bad") == ["203.0.113.0/24"]
    controller.edit("firewall", Edit("bad", add=(PEER,)))

    listed.write_text("198.51.100.0/24\n")
    assert controller.apply(LISTED, file).edits == 3 and wire.arrive() == 5
    back = controller.rollback()                             # with what was changed in it
    assert back is not None and back.number == 1 and wire.arrive() == 0
    assert controller.elements("firewall", "bad") == [f"{PEER}/32", "203.0.113.0/24"]
    controller.edit("firewall", Edit("bad", remove=(PEER,)))
    assert wire.arrive() == 5


def test_the_command_that_changes_a_set(controller: Controller, wire: Wire, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bpfwright import cli
    from bpfwright.datapath import controller as controlling
    monkeypatch.setattr(controlling, "Ledger", lambda name: controller.ledger)
    (tmp_path / "bad.txt").write_text("")
    controller.apply(LISTED, str(tmp_path / "net.yaml"))

    def said(*words: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["net", "set", *words])
        assert ended.value.code == code
        out, err = capsys.readouterr()
        return out + err

    assert said("bad", "add", PEER, "2001:db8::/32") == "generation 1: bad: 2 came in\n"
    assert said("bad") == f"{PEER}/32\n2001:db8::/32\n" and wire.arrive() == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PEER} # a friend\n\n2001:db8::/32\n"))
    assert said("bad", "remove", "-") == "generation 1: bad: 2 went out\n" and wire.arrive() == 5
    assert "10.0.0.0/8 is no element of bad" in said("bad", "remove", "10.0.0.0/8", code=2)
    assert "takes a set, `add` or `remove`" in said("bad", "swap", "10.0.0.0/8", code=2)
    assert "net set takes a set" in said(code=2)


OUT = """
interfaces: [uplink]
firewall:
  rules:
    - {name: marked, direction: out, match: {mark: 0x70/0xf0}, action: drop, reason: marked}
    - {name: mark, direction: out, match: {destination-port: 7}, mark: 0x5/0xf, action: continue}
    - {name: away, direction: out, match: {destination-port: 9}, action: redirect, to: other}
    - {name: aside, match: {protocol: udp, destination-port: %d}, action: redirect, to: other}
"""


def test_marks_and_redirects(controller: Controller, wire: Wire) -> None:
    marks = Array[u32](max_entries=1)
    ports = Hash[u32, u64](max_entries=16)

    @tc.program
    def behind(ctx: tc.Context) -> tc.Action:
        udp = ctx.find(UDP)
        if udp is not None and udp.dport == 7:
            marks[0] = ctx.mark
        return tc.NEXT

    @xdp.program
    def aside(ctx: xdp.Context) -> xdp.Action:
        udp = ctx.find(UDP)
        if udp is not None:
            ports.increment(udp.dport)
        return xdp.PASS

    with Netlink() as netlink:
        netlink.create_veth("other", "end")
        netlink.set_up("other")
        netlink.set_up("end")
    number = wire.host.getsockname()[1]
    with attach(aside, xdp.Interface("end")) as there:
        controller.apply(OUT % number)
        with attach(behind, tc.Egress("uplink")) as session, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0xA0)
            sender.sendto(b"x", (PEER, 7))
            assert session[marks][0] == 0xA5
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x7F)
            sender.sendto(b"x", (PEER, 7))
            assert session[marks][0] == 0xA5  # dropped before
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0)
            sender.sendto(b"x", (PEER, 9))
            assert wire.arrive(3) == 0       # it goes out of another interface
            ends = time.monotonic() + 5
            while there[ports].get(number) != 3 and time.monotonic() < ends:
                time.sleep(0.01)
            assert there[ports].get(9) == 1 and there[ports].get(number) == 3
        rows = {row["rule"]: row["packets"] for row in controller.status().rows["firewall"] if "rule" in row}
        assert (rows["marked"], rows["mark"], rows["away"], rows["aside"]) == (1, 1, 1, 3)


def test_a_mark_from_the_driver_to_the_stack(controller: Controller, wire: Wire) -> None:
    marks = Array[u32](max_entries=1)

    @tc.program
    def behind(ctx: tc.Context) -> tc.Action:
        udp = ctx.find(UDP)
        if udp is not None:
            marks[0] = ctx.mark
        return tc.NEXT

    text = """
interfaces: [uplink]
firewall:
  rules:
    - {name: low, match: {protocol: udp}, mark: 0x5/0xf, action: continue}
    - {name: high, match: {protocol: udp, length: 0-%d}, mark: 0x%x0/0xf0, action: allow}
"""
    with attach(behind, tc.Ingress("uplink")) as session:
        controller.apply(text % (1500, 0xA))
        assert wire.arrive(2) == 2 and session[marks][0] == 0  # it stands before ours
    with attach(behind, tc.Ingress("uplink")) as session:
        assert wire.arrive(2) == 2 and session[marks][0] == 0xA5
        controller.apply(text % (28, 0xB))
        assert wire.arrive(2) == 2 and session[marks][0] == 5  # nothing is left of the packet before
        controller.apply(text % (1500, 0xC))
        assert wire.arrive(2) == 2 and session[marks][0] == 0xC5


def test_flows_that_move(controller: Controller, wire: Wire) -> None:
    controller.apply("interfaces: [uplink]\nfirewall: {rules: [{name: all, match: {state: [new, established]}, "
                     "action: allow}]}\n")
    number = wire.host.getsockname()[1]
    with Watch(controller, flows=5) as watch, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        assert wire.arrive(3) == 3
        (flow,) = [flow for flow in watch.look().flows if flow.responder_port == number]
        assert (flow.origin, flow.responder, flow.protocol, flow.state) == (PEER, HOST, 17, "new")
        assert (flow.sent_packets, flow.got_packets, flow.got_bytes) == (3, 0, 0) and 0 <= flow.idle_s < 60
        wire.host.sendto(b"back", wire.peer.getsockname())
        other.sendto(bytes(100), (PEER, 9))
        moved = watch.look().flows
        assert [(each.responder_port, each.sent_packets, each.got_packets) for each in moved
                if each.protocol == 17] == [(9, 1, 0), (number, 0, 1)]  # the most bytes first
        assert [each.state for each in moved if each.responder_port == number] == ["established"]
        assert not [each for each in watch.look().flows if each.protocol == 17]


SHUT = """
interfaces: [uplink]
firewall:
  sets:
    shut: {kind: ports, room: 4, elements: [1]}
    bad: {room: 4, elements: [203.0.113.0/24]}
  rules:
    - {name: shut, match: {destination-port: '@shut'}, action: drop}
    - {name: bad, match: {source: '@bad'}, action: drop}
"""


def test_a_change_whose_process_dies_is_completed_by_the_next_command(controller: Controller, wire: Wire) -> None:
    """By whatever comes next, be it a look: and ports under traffic."""
    port = wire.host.getsockname()[1]
    controller.apply(SHUT)
    assert wire.arrive() == 5
    for edit, text in ((Edit("shut", add=(f"{port}-{port}",)), str(port)), (Edit("bad", add=(PEER,)), f"{PEER}/32")):
        with dying_after(2), pytest.raises(Killed):  # announced, and nothing done
            controller.edit("firewall", edit)
        assert wire.arrive() == 5
        assert controller.status().edits == 1 and wire.arrive() == 0
        assert text in controller.elements("firewall", edit.name)
        controller.edit("firewall", Edit(edit.name, remove=(*edit.add,)))
        assert wire.arrive() == 5
        controller.apply(SHUT)
