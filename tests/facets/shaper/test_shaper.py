"""Rates that are kept and classes that share: on test runs, and on a wire of the test's own."""
from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bpfwright.datapath.configuration import read
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.facet import Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.protocols import own_fields
from bpfwright.datapath.places import Interface
from bpfwright import Userspace
from bpfwright.errors import ConfigurationError, KernelError, NotSupported, TargetError
from bpfwright.facets.shaper import fq, htb
from bpfwright.facets.shaper.facet import FACET
from bpfwright.datapath.conditions import Prefix
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6
from bpfwright.hooks import tc
from bpfwright.kernel import Kernel, qdisc
from bpfwright.kernel.mounts import cgroup2
from bpfwright.kernel.netlink import Netlink, interface_index

from tests.datapath.toy import Toy
from tests.datapath.wire import Wire, wired

pytestmark = pytest.mark.kernel

SCENE = Scene({"eth0": Interface("eth0", 1, bytes(6), 1500, ())}, None)


def settings(text: str) -> Any:
    section = read(text, "net.yaml").section("shaper")
    assert section is not None
    found = FACET.read(section)
    section.done()
    return found


def limits(*lines: str) -> str:
    return "shaper:\n  limits:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


@pytest.fixture
def machine() -> Iterator[Any]:
    with Kernel() as kernel:
        yield kernel


# what a rule is about

A, B = "192.0.2.1", "198.51.100.9"
PACKETS = {
    "web": Ethernet() / IPv4(source=A, destination=B) / TCP(sport=999, dport=443),
    "back": Ethernet() / IPv4(source=B, destination=A) / TCP(sport=443, dport=999),
    "dns": Ethernet() / IPv4(source=A, destination="192.0.2.53") / UDP(sport=999, dport=53),
    "voice": Ethernet() / IPv4(source=A, destination=B, dscp=46) / UDP(sport=1, dport=16000),
    "six": Ethernet() / IPv6(source="2001:db8::1", destination="2001:db8:1::9", traffic_class=46 << 2) / TCP(dport=443),
}


@pytest.mark.parametrize(("match", "hit"), [
    ("destination-port: 443", {"web", "six"}), ("port: 443", {"web", "back", "six"}), ("source-port: [443, 1]",
                                                                                      {"back", "voice"}),
    ("destination-port: [1-52, 54-1000]", {"web", "back", "six"}), ("protocol: udp", {"dns", "voice"}),
    ("protocol: [6, 17]", set(PACKETS)), ("dscp: ef", {"voice", "six"}), ("dscp: [46, cs1]", {"voice", "six"}),
    ("source: 192.0.2.0/24", {"web", "dns", "voice"}), ("destination: [192.0.2.53, 2001:db8:1::/48]", {"dns", "six"}),
    ("source: 0.0.0.0/0", set(PACKETS) - {"six"}), ("source: '::/0'", set(PACKETS)),
    ("{destination: 198.51.100.0/24, protocol: tcp}", {"web"}), ("{protocol: tcp, dscp: 46}", {"six"}),
])
def test_matches(machine: Any, match: str, hit: set[str]) -> None:
    inside = match if match.startswith("{") else f"{{{match}}}"
    part = FACET.build(settings(limits(f"name: it, direction: egress, rate: 1Gbit, match: {inside}")), SCENE)
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        found = set()
        for name, packet in PACKETS.items():
            before = _row(part, generation)["packets"]
            generation.session.test(packet)  # type: ignore[attr-defined]
            found |= {name} if _row(part, generation)["packets"] > before else set()
        assert found == hit


def _row(part: Any, generation: Generation, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = part.rows(generation.maps)[number]
    return found


def test_prefixes_as_numbers() -> None:
    assert Prefix.parse("192.0.2.0/24") == (0, 0xFFFF_C000_0200, (1 << 64) - 1, (1 << 64) - 256)
    assert Prefix.parse("2001:db8::/32") == (0x20010DB8 << 32, 0, 0xFFFFFFFF << 32, 0)


# who sends

@pytest.fixture
def group() -> Iterator[str]:
    """A cgroup below the root of the tree, by its path in it."""
    name = f"bpfwright-shaper-{os.getpid()}"
    path = Path(cgroup2()) / name
    (path / "below").mkdir(parents=True)
    try:
        yield name
    finally:
        until_removed(path / "below")
        until_removed(path)


def until_removed(path: Path) -> None:
    for _ in range(50):
        try:
            path.rmdir()
            return
        except OSError:  # who was in it is on its way out
            time.sleep(0.02)
    raise AssertionError(f"{path} is in use")


SENDER = """
import os, socket, sys
open(sys.argv[1] + '/cgroup.procs', 'w').write('0')
open('/proc/self/comm', 'w').write(sys.argv[2])
print('in', flush=True)
sys.stdin.readline()
if len(sys.argv) > 3: os.setuid(int(sys.argv[3]))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(7): s.sendto(b'x', ('192.0.2.2', 9))
"""


@contextmanager
def sender(path: str, name: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A process in a cgroup, which sends seven datagrams when it is told to."""
    process = subprocess.Popen([sys.executable, "-S", "-c", SENDER, f"{cgroup2()}/{path}", name, *more],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "in\n"
        yield process
        process.communicate("go\n", timeout=20)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("match", ["cgroup: GROUP", "cgroup: GROUP/below", "process: NAME", "process: PID", "user: 4242"])
def test_who_sends(controller: Controller, wire: Wire, group: str, match: str) -> None:
    name = f"s{os.getpid()}"
    with sender(f"{group}/below", name, *(["4242"] if "user" in match else [])) as process:
        match = match.replace("GROUP", group).replace("NAME", name).replace("PID", str(process.pid))
        controller.apply("interfaces: [uplink]\n" + limits(
            f"name: it, direction: egress, rate: 1Gbit, match: {{protocol: udp, destination-port: 9, {match}}}"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
            another.sendto(b"x", ("192.0.2.2", 9))
    (row,) = controller.status().rows["shaper"]
    assert row["packets"] == 7
    controller.apply("interfaces: [uplink]\ntoy: {}\n")
    controller.rollback()  # the process has ended: what was found out about it is kept
    (row,) = controller.status().rows["shaper"]
    assert row["packets"] >= 0


def test_a_process_is_meant_by_its_cgroup_when_nobody_else_is_in_it(group: str) -> None:
    name = f"s{os.getpid()}"
    text = limits(f"name: a, direction: egress, rate: 1Mbit, match: {{process: {name}}}")
    with sender(group, name) as one, sender(f"{group}/below", f"o{os.getpid()}"):
        with pytest.raises(ConfigurationError, match=f"with others: o{os.getpid()}") as caught:
            settings(text)
        assert caught.value.line == 3 and "systemd-run" in caught.value.cure
        with pytest.raises(ConfigurationError, match="with others"):
            settings(text.replace(name, str(one.pid)))
    with pytest.raises(ConfigurationError, match="there is no process"):
        settings(text)
    with pytest.raises(ConfigurationError, match="there is no user nobody-at-all"):
        settings(text.replace(f"process: {name}", "user: nobody-at-all"))


# buckets

def test_a_bucket_holds_its_burst_and_then_its_rate(machine: Any) -> None:
    part = FACET.build(settings(limits("name: it, direction: ingress, rate: 8Mbit, burst: 200000")), SCENE)
    packet = bytes(Ethernet() / IPv4() / UDP() / bytes(958))  # 1,000 bytes are a millisecond
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        began = time.monotonic_ns()
        for _ in range(2000):
            generation.session.test(packet)  # type: ignore[attr-defined]
        took_ms = (time.monotonic_ns() - began) / 1e6
        tick_ms = time.clock_getres(6) * 1e3  # of CLOCK_MONOTONIC_COARSE, which a burst of 200 ms is told by
        row = _row(part, generation)
        assert row["packets"] + row["dropped"] == 2000 and row["bytes"] == 1000 * row["packets"]
        assert min(2000, 200 + (took_ms - tick_ms) * 0.95 - 1) <= row["packets"] <= 201 + took_ms + tick_ms + 1


@pytest.mark.parametrize(("per", "shares"), [("source", 1), ("flow", 4), ("destination", 2), ("all", 1)])
def test_everybody_has_a_bucket(machine: Any, per: str, shares: int) -> None:
    text = limits(f"name: it, direction: egress, rate: 1kbit, burst: 2000, per: {per}")
    part = FACET.build(settings(text), SCENE)
    packets = [Ethernet() / IPv4(source=A, destination=f"198.51.100.{to}") / UDP(sport=port, dport=9)
               for to in (1, 2) for port in (5, 6)]
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        for packet in packets:
            for _ in range(60):
                generation.session.test(bytes(packet).ljust(100, b"\0"))  # type: ignore[attr-defined]
        # a bucket of 2,000 bytes takes 21 packets of 100: the last one may begin when it is just not full
        assert _row(part, generation)["packets"] == 21 * shares


def test_what_does_not_allow_marks_has_none(machine: Any) -> None:
    part = FACET.build(settings(limits("name: it, direction: egress, rate: 1kbit, burst: 2000, ecn: true")), SCENE)
    packet = Ethernet() / IPv4(source=A, destination=B, ecn=0) / UDP() / bytes(58)
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        program = generation.plan.made[0].program
        results = [generation.session.test_of(program, packet) for _ in range(25)]
        assert [result.action for result in results] == [tc.NEXT] * 21 + [tc.SHOT] * 4
        assert {result.data for result in results} == {bytes(packet)}
        assert _row(part, generation)["marked"] == 0


def test_marks_come_between_half_and_full(machine: Any) -> None:
    part = FACET.build(settings(limits("name: it, direction: egress, rate: 1kbit, burst: 2000, ecn: true")), SCENE)
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        program = generation.plan.made[0].program
        seen = []
        for _ in range(25):
            packet = Ethernet() / IPv4(source=A, destination=B, ecn=2) / UDP() / bytes(58)
            result = generation.session.test_of(program, packet)
            ip = result.packet.find(IPv4)
            assert ip is not None and result.packet.recomputed().find(IPv4) == ip  # the checksum is right
            seen.append("dropped" if result.action == tc.SHOT else "marked" if ip.ecn == 3 else "sent")
        assert seen == ["sent"] * 11 + ["marked"] * 10 + ["dropped"] * 4
        row = _row(part, generation)
        assert (row["packets"], row["marked"], row["dropped"]) == (21, 10, 4)


# pacing: this kernel has no fq; vmtest/cases/pacing.py measures it with one

def paces(*lines: str) -> str:
    return "shaper:\n  pacing:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


def given_times(part: Any, machine: Any, packets: list[bytes]) -> list[int | None]:
    """When each is to go out, in ms after the first; 0 for at once, None for a drop."""
    found: list[int | None] = []
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        program = generation.plan.made[0].program
        first = 0
        for packet in packets:
            result = generation.session.program(program).test_run(packet, context=bytes(192))
            at = int.from_bytes(result.context[152:160], "little")  # __sk_buff.tstamp
            first = first or at
            found.append(None if result.value == tc.SHOT else (at - first + 10**6) // 10**6 if at else 0)
    return found


@pytest.mark.parametrize("make", [Kernel, Userspace])
def test_each_packet_has_its_time(make: Any) -> None:
    """A packet of 1,000 bytes is a second at 8 kbit/s; three go at once, and four seconds are too long to wait."""
    part = FACET.build(settings(paces("name: it, rate: 8kbit, burst: 2000, horizon: 4s")), SCENE)
    packet = bytes(Ethernet() / IPv4() / UDP() / bytes(958))
    with make() as machine:
        times = given_times(part, machine, [packet] * 9)
    assert times[:3] == [0, 0, 0] and times[-2:] == [None, None]
    waits = [at for at in times[3:-2] if at is not None]
    assert waits == [1, 1001, 2001, 3001]


@pytest.mark.parametrize("how", ["pacing", "limits"])
def test_a_packet_counts_with_the_headers_of_its_segments(machine: Any, how: str) -> None:
    """1,000 bytes that take 4,000 on the wire."""
    rule = "name: it, rate: 8kbit, burst: 4000"
    part = FACET.build(settings(paces(rule) if how == "pacing" else limits(f"{rule}, direction: egress")), SCENE)
    packet, context = bytes(Ethernet() / IPv4() / UDP() / bytes(958)), bytearray(192)
    context[160:164] = (4000).to_bytes(4, "little")
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        program = generation.session.program(generation.plan.made[0].program)
        said = [program.test_run(packet, context=bytes(context)).value for _ in range(3)]
        assert [value == tc.SHOT for value in said] == [False, False, True]  # the third one may not begin
        assert _row(part, generation)["bytes"] == 8000


def test_each_flow_waits_for_itself_and_is_marked(machine: Any) -> None:
    part = FACET.build(settings(paces("name: it, rate: 8kbit, per: flow, horizon: 4s, ecn: true, match: {dscp: 0}")),
                       SCENE)
    packets = [bytes(Ethernet() / IPv4(ecn=2) / UDP(sport=port) / bytes(958)) for port in (1, 2)]
    voice = bytes(Ethernet() / IPv4(dscp=46) / UDP(sport=1) / bytes(958))
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        for packet in [*packets, voice] * 6:
            generation.session.test(packet)  # type: ignore[attr-defined]
        row = _row(part, generation)
    assert (row["packets"], row["waited"], row["dropped"], row["marked"]) == (10, 8, 2, 4)
    assert row["how"] == "paced per flow" and row["bytes"] == 10_000


@pytest.mark.parametrize(("text", "line", "said"), [
    (paces("name: a"), 3, "rate is missing"), (paces("name: a, rate: 1Mbit, horizon: 10s"), 3, "horizon"),
    (paces("name: a, rate: 1Mbit, direction: egress"), 3, "there is no such key"),
    (paces("name: a, rate: 1Mbit", "name: a, rate: 1Mbit"), 3, "a stands here twice"),
])
def test_mistakes_in_pacing(text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(text)
    assert said in str(caught.value) and caught.value.line == line


# on a wire

@pytest.fixture
def wire() -> Iterator[Wire]:
    with wired() as made:
        yield made


@pytest.fixture
def controller(tmp_path: Path, wire: Wire) -> Iterator[Controller]:
    ledger = Ledger(f"shape-{os.getpid()}", state=str(tmp_path))
    with Controller("", {"shaper": FACET, "toy": Toy()}, ledger=ledger) as made:
        try:
            yield made
        finally:
            if ledger.exists:
                made.remove()
            if "uplink" in [name for _, name in socket.if_nameindex()]:
                assert _root() == ("noqueue", 0)


def _root() -> tuple[str, int]:
    with Netlink() as netlink:
        return tuple(qdisc.root(netlink, interface_index("uplink"))[:2])  # type: ignore[return-value]


TREE = """\
interfaces: [uplink]
shaper:
  rate: 40Mbit
  classes:
  - {name: gold, rate: GOLD, match: {destination-port: 7001}}
  - {name: rest, rate: 8Mbit}
"""


def _sent(seconds: float) -> dict[str, float]:
    """Mbit a second that go out by class, while two ports are sent all that goes."""
    senders = []
    for port in (7001, 7002):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
        sender.connect(("192.0.2.2", port))
        senders.append(sender)
    before, began = _counts(), time.monotonic()

    def send(sender: socket.socket) -> None:
        payload = bytes(1400)
        while time.monotonic() < began + seconds:
            try:
                sender.send(payload)
            except ConnectionRefusedError:
                pass

    threads = [threading.Thread(target=send, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after, took = _counts(), time.monotonic() - began
    for sender in senders:
        sender.close()
    return {name: (after[name] - before.get(name, 0)) * 8 / 1e6 / took for name in after}


def _counts() -> dict[str, int]:
    tree = settings(TREE.replace("GOLD", "30Mbit").split("\n", 1)[1]).tree
    assert tree is not None
    return {row["rule"]: row["bytes"] for row in htb.rows(tree, ("uplink",))}


def test_classes_share_as_they_are_promised(controller: Controller, wire: Wire) -> None:
    controller.apply(TREE.replace("GOLD", "30Mbit"))
    assert _root()[0] == "htb"
    rates = _sent(2.0)
    assert 26 <= rates["uplink gold"] <= 36 and 6 <= rates["uplink rest"] <= 12
    applied = controller.apply(TREE.replace("GOLD", "8Mbit"))  # changed in place: the queues stay
    assert applied.fresh == []
    rates = _sent(2.0)
    assert 16 <= rates["uplink gold"] <= 26 and 14 <= rates["uplink rest"] <= 25
    assert 34 <= sum(rates.values()) <= 46
    status = {row["rule"]: row for row in controller.status().rows["shaper"]}
    assert status["uplink gold"]["how"] == "HTB class" and status["uplink gold"]["bytes"] > 1e6


def test_htb_follows_the_way_back(controller: Controller, wire: Wire) -> None:
    controller.apply("interfaces: [uplink]\ntoy: {}\n")
    controller.apply(TREE.replace("GOLD", "30Mbit"))
    assert _root()[0] == "htb"
    controller.rollback()
    assert _root() == ("noqueue", 0) and wire.arrive() == 5
    controller.apply(TREE.replace("GOLD", "30Mbit"))
    controller.apply(TREE.replace("GOLD", "20Mbit").replace("name: rest", "name: other"))
    with Netlink() as netlink:
        assert len(list(qdisc.classes(netlink, interface_index("uplink"), htb.MAJOR))) == 3  # the old one is gone
    controller.apply("interfaces: [uplink]\ntoy: {}\n")
    assert _root() == ("noqueue", 0)


def test_a_qdisc_of_others_stays(controller: Controller, wire: Wire) -> None:
    with Netlink() as netlink:
        qdisc.set_htb(netlink, interface_index("uplink"), 0x77, 0)
        with pytest.raises(KernelError, match="root qdisc of somebody else: htb 77:"):
            controller.apply(TREE.replace("GOLD", "30Mbit"))
        assert qdisc.root(netlink, interface_index("uplink")).handle == qdisc.handle_of(0x77)
        assert list(controller.ledger.linked()) == []
        qdisc.delete_root(netlink, interface_index("uplink"))


def test_without_fq_pacing_is_refused_and_nothing_changes(controller: Controller, wire: Wire) -> None:
    """Where there is fq, vmtest/cases/pacing.py."""
    controller.apply("interfaces: [uplink]\ntoy: {}\n")
    text = "interfaces: [uplink]\n" + paces("name: a, rate: 1Mbit")
    if has_fq():
        controller.apply(text)
        assert _root()[0] == "fq"
        return
    with pytest.raises(NotSupported, match="no fq, which pacing needs") as caught:
        controller.apply(text)
    assert "limits" in caught.value.cure and _root() == ("noqueue", 0)
    assert controller.status().record.text.endswith("toy: {}\n") and wire.arrive() == 5


def test_classes_with_pacing_without_fq_are_refused_too(controller: Controller, wire: Wire) -> None:
    """The classes that were there go on as they were, and nothing new stays at a root that was somebody's."""
    both = TREE + "  pacing:\n  - {name: a, rate: 1Mbit}\n"
    with Netlink() as netlink:
        qdisc.give_back(netlink, interface_index("uplink"), PFIFO)
        if has_fq():
            return
        with pytest.raises(NotSupported, match="no fq, which pacing needs"):
            controller.apply(both.replace("GOLD", "30Mbit"))
        assert qdisc.root(netlink, interface_index("uplink")) == PFIFO
        controller.apply(TREE.replace("GOLD", "30Mbit"))
        with pytest.raises(NotSupported, match="no fq, which pacing needs"):
            controller.apply(both.replace("GOLD", "8Mbit").replace("name: rest", "name: other"))
        assert _root()[0] == "htb" and len(list(qdisc.classes(netlink, interface_index("uplink"), htb.MAJOR))) == 3
        rates = _sent(1.0)
        assert 24 <= rates["uplink gold"] <= 38 and 6 <= rates["uplink rest"] <= 14
        controller.remove()
        assert qdisc.root(netlink, interface_index("uplink")) == PFIFO
        qdisc.delete_root(netlink, interface_index("uplink"))


PFIFO = qdisc.Qdisc("pfifo", qdisc.handle_of(0x77), qdisc.ROOT, (321).to_bytes(4, "little"))


def test_what_somebody_gave_to_the_root_comes_back_as_it_was(controller: Controller, wire: Wire) -> None:
    with Netlink() as netlink:
        qdisc.give_back(netlink, interface_index("uplink"), PFIFO)
        controller.apply(TREE.replace("GOLD", "30Mbit"))
        controller.apply(TREE.replace("GOLD", "20Mbit"))
        assert _root()[0] == "htb"
        controller.apply("interfaces: [uplink]\ntoy: {}\n")
        assert qdisc.root(netlink, interface_index("uplink")) == PFIFO
        controller.rollback()
        assert _root()[0] == "htb"
        controller.remove()
        assert qdisc.root(netlink, interface_index("uplink")) == PFIFO
        qdisc.delete_root(netlink, interface_index("uplink"))


def test_no_class_is_one_that_goes_before_pacing() -> None:
    """fq reads the last four bits of a priority: 7 would not wait."""
    tree = htb.Tree(10**9, tuple(htb.Class(f"class-{number}", 10**6, 10**9, 0, 0) for number in range(64)), "class-0")
    numbers = htb.minors(tree)
    assert len(set(numbers.values())) == 64 and all(0 < number <= 0xFFFF for number in numbers.values())
    assert {number % 16 for number in numbers.values()} == {0}


def has_fq() -> bool:
    with Netlink() as netlink:
        try:
            qdisc.set_fq(netlink, interface_index("uplink"), fq.MAJOR, packets=10, of_a_flow=10)
        except KernelError:
            return False
        qdisc.delete_root(netlink, interface_index("uplink"))
        return True


def test_a_limit_on_real_traffic(controller: Controller, wire: Wire) -> None:
    controller.apply("interfaces: [uplink]\n" + limits(
        "name: udp, direction: ingress, rate: 1kbit, burst: 1514, per: source, match: {protocol: udp}"))
    came = wire.arrive(200)
    assert 1514 // 46 <= came <= 1514 // 45 + 2  # bytes of a frame, those of the test's datagrams
    (row,) = controller.status().rows["shaper"]
    assert row["dropped"] == 200 - came
    applied = controller.apply("interfaces: [uplink]\n" + limits(
        "name: udp, direction: ingress, rate: 1kbit, burst: 1514, per: source, match: {protocol: udp}, entries: 65536"))
    assert applied.fresh == [] and wire.arrive(20) <= 2  # the buckets went on


@pytest.mark.parametrize(("text", "line", "said"), [
    ("shaper: {rate: 1Mbit}\n", 1, "rate and default are for classes"), ("shaper: {}\n", 1, "neither classes nor limits nor pacing"),
    (limits("name: a, direction: up, rate: 1Mbit"), 3, "'up' is none of ingress, egress"),
    (limits("name: a, direction: egress"), 3, "rate is missing"),
    (limits("name: a, direction: egress, rate: 1mbit"), 3, "'1mbit' is not a rate"),
    (limits("name: a, direction: egress, rate: 1bit"), 3, "not between 1kbit"),
    (limits("name: a, direction: egress, rate: 1Mbit, per: host"), 3, "'host' is none of"),
    (limits("name: a, direction: ingress, rate: 1Mbit, per: cgroup"), 3, "no sender here"),
    (limits("name: a, direction: egress, rate: 1Mbit, match: {port: 70000}"), 3, "not between 0 and 65535"),
    (limits("name: a, direction: egress, rate: 1Mbit, match: {port: 9-5}"), 3, "ends before it begins"),
    (limits("name: a, direction: egress, rate: 1Mbit, match: {source: 1.2.3}"), 3, "not an IPv4 address"),
    (limits("name: a, direction: egress, rate: 1Mbit, match: {dscp: ev}"), 3, "'ev' is none of"),
    (limits("name: a, direction: egress, rate: 1Mbit, match: {cgroup: no/such}"), 3, "there is no cgroup no/such"),
    (limits("name: a, direction: egress, rate: 1Mbit, match: {sport: 5}"), 3, "there is no such key"),
    (limits("name: a, direction: egress, rate: 1Mbit, match: {}"), 3, "nothing in particular"),
    (limits("name: a, direction: egress, rate: 1Mbit", "name: a, direction: egress, rate: 1Mbit"), 3, "a stands here twice"),
    ("shaper:\n  classes:\n  - {name: a, rate: 1Mbit}\n", 2, "rate is missing"),
    ("shaper:\n  rate: 1Mbit\n  classes:\n  - {name: a, rate: 1Mbit}\n  - {name: b, rate: 1kbit}\n", 4, "promised more"),
    ("shaper:\n  rate: 1Mbit\n  classes:\n  - {name: a, rate: 500kbit, ceil: 2Mbit}\n", 4, "at most its ceil"),
    ("shaper:\n  rate: 1Mbit\n  default: c\n  classes:\n  - {name: a, rate: 1Mbit}\n", 3, "'c' is none of a"),
])
def test_mistakes(text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(text)
    assert said in caught.value.what and caught.value.line == line


def test_an_interface_that_is_not_named() -> None:
    text = limits("name: a, direction: egress, rate: 1Mbit").replace("shaper:\n", "shaper:\n  interfaces: [eth7]\n")
    with pytest.raises(TargetError, match="eth7, which is not among"):
        FACET.build(settings(text), SCENE)


def test_a_field_of_a_protocol_of_ones_own(tmp_path: Path, machine: Any) -> None:
    (tmp_path / "telemetry.py").write_text(
        "from bpfwright.headers import UDP\nfrom bpfwright.spec.header import Header, Link\n"
        "from bpfwright.types import be32, u8\n\nclass Telemetry(Header):\n"
        "    follows = (Link(UDP, 'dport', (4790,)),)\n    kind: u8 = 0\n    sensor: be32 = 0\n")
    text = f"protocols: {{telemetry: {{file: {tmp_path}/telemetry.py}}}}\nshaper:\n  limits:\n" \
        "    - {name: bulk, direction: ingress, rate: 1Gbit, match: {telemetry.kind: 3-5}}\n"
    whole = read(text, "net.yaml")
    whole.sources.own_fields = own_fields(whole)
    section = whole.section("shaper")
    assert section is not None
    part = FACET.build(FACET.read(section), SCENE)
    frame = {kind: bytes(Ethernet() / IPv4() / UDP(dport=4790) / bytes([kind, 0, 0, 0, 9])) for kind in (2, 3, 5)}
    with Generation.load(plan_of({"shaper": part}), machine) as generation:
        generation.fill()
        counts = {}
        for kind, data in frame.items():
            before = _row(part, generation)["packets"]
            generation.session.test(data)  # type: ignore[attr-defined]
            counts[kind] = _row(part, generation)["packets"] - before
        assert counts == {2: 0, 3: 1, 5: 1}
