"""What nft and iptables do with packets, and what their rules do here: the same frames, every rule's counts."""
from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.places import interface
from bpfwright.facets.firewall.facet import FACET
from bpfwright.headers import ICMP, TCP, UDP, Ethernet, ICMPv6, IPv4, IPv6
from bpfwright.userspace import Userspace
from tests.datapath.wire import HOST, Wire, wired
from tests.facets.firewall.guard import Guard

pytestmark = pytest.mark.kernel
SO_MARK, SO_RCVMARK = 36, 75


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wired() as made:
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
        Path("/proc/sys/net/ipv4/conf/uplink/rp_filter").write_text("0")
        Path("/proc/sys/net/ipv6/conf/uplink/disable_ipv6").write_text("0")  # wires are without, to be quiet
        yield made


def run(words: Sequence[str], given: str = "") -> str:
    done = subprocess.run(words, input=given, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def send(wire: Wire, frames: Sequence[Any]) -> None:
    """Frames from the other end of the wire, as they are, at the host's address."""
    mac = interface("uplink", "auto").mac
    with wire.peer_entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("far", 0))
        for frame in frames:
            raw.send((mac + bytes(frame)[6:]).ljust(60, b"\0"))
    time.sleep(0.1)


def v4(source: str = "10.0.0.1", **more: Any) -> Any:
    return Ethernet(source="02:00:00:00:00:01") / IPv4(source=source, destination=HOST, **more)


def v6() -> Any:
    return Ethernet() / IPv6(source="2001:db8::7", destination="ff02::1")


IPTABLES = [
    "-p tcp -m multiport --dports 1,2:3 -j ACCEPT",
    "-p tcp --dport 22 -m limit --limit 1/hour --limit-burst 3 -j ACCEPT",
    "-p udp --dport 50 -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 2 --hashlimit-mode srcip "
    "--hashlimit-htable-expire 8000000 --hashlimit-name a -j ACCEPT",
    "-p udp --dport 51 -m hashlimit --hashlimit-above 1/hour --hashlimit-burst 2 --hashlimit-mode srcip "
    "--hashlimit-htable-expire 8000000 --hashlimit-name b -j DROP",
    "-p udp -m limit --limit 1/hour --limit-burst 4 -j LOG --log-prefix counted",
    "-p udp --dport 52 -m limit --limit 2/day --limit-burst 1 -j MARK --set-mark 5",
    "-p udp -m multiport --ports 5,6 -j DROP",
    "-p udp -m multiport ! --ports 50:60 -j ACCEPT",
    "-p tcp --tcp-flags SYN,ACK,FIN SYN,FIN -j DROP",
    "-p tcp --syn --dport 80:90 -j RETURN",
    "-p tcp --dport 80:90",
    "-p icmp --icmp-type 3/1 -j DROP",
    "-p icmp --icmp-type any -m ttl --ttl-gt 60 -j ACCEPT",
    "-p udp -m dscp --dscp 10 -j DROP",
    "-p udp -m length --length 100:200 -j DROP",
    "-p udp -m mac --mac-source 02:00:00:00:00:01 -m comment --comment \"a b\" ! -s 10.0.0.0/8 -j MARK --or-mark 4",
    "-m conntrack --ctstate INVALID -j DROP",
    "-m conntrack --ctstate NEW ! -p udp -j ACCEPT",
]


def frames_v4() -> list[Any]:
    found: list[Any] = []
    for source in ("10.0.0.1", "10.0.0.2", "172.16.0.1"):
        found += [v4(source) / UDP(sport=9, dport=port) / bytes(size) for port in (50, 51, 52) for size in (0, 1, 90)]
        found += [v4(source) / UDP(sport=sport, dport=dport) for sport, dport in ((5, 55), (55, 6), (7, 8), (7, 59))]
        found += [v4(source) / TCP(sport=30 + number, dport=port, syn=1) for number in range(2)
                  for port in (1, 2, 4, 22, 80, 90, 91)]
        found += [v4(source) / TCP(sport=40, dport=95, syn=1, fin=1), v4(source) / TCP(sport=41, dport=4, ack=1),
                  v4(source) / TCP(sport=42, dport=85, ack=1)]
        found += [v4(source, ttl=ttl) / ICMP(type=kind, code=code) for ttl in (60, 61)
                  for kind, code in ((8, 0), (13, 0), (3, 1))]
        found += [v4(source, dscp=10) / UDP(sport=9, dport=53)]
    return found


def counted(text: str) -> dict[int, int]:
    """The packets of each rule of iptables-save -c, by its line."""
    found = {number: re.match(r"\[(\d+):\d+\] -A ", line) for number, line in enumerate(text.splitlines(), 1)}
    return {number: int(match[1]) for number, match in found.items() if match}


def compared(wire: Wire, tmp_path: Path, binary: str, text: str, frames: Sequence[Any], sets: str = "",
             machine: Any = None) -> list[str]:
    """Rules of iptables get frames, and as they are imported the same frames: every rule counts the same. The rules
    that have counted, as they are saved; those that jump and return are none."""
    Path("/proc/sys/net/netfilter/nf_conntrack_tcp_loose").write_text("0")
    run([f"{binary}-restore"], text)
    file = tmp_path / "rules.v4"
    file.write_text(run([f"{binary}-save"]))
    send(wire, frames)
    lines = file.read_text().splitlines()
    real = {line: count for line, count in counted(run([f"{binary}-save", "-c"])).items()
            if not re.search(r" -[jg] [a-z]|-A [a-z].* -j RETURN", lines[line - 1])}
    with Guard(f"  shadowed: allow\n  log: {tmp_path}/log\n{sets}  import:\n"
               f"    - {{file: {file}, format: iptables-save, reject: drop}}\n", machine or Userspace()) as guard:
        for frame in frames:
            guard.drops(frame)
        ours: Counter[int] = Counter()
        for row in guard.rows():
            name, _, place = row.get("rule", "").rpartition(":")
            if name == str(file) and (line := int(place.partition(" ")[0])) in real:
                # of a hashlimit from above on, what is beyond is what its rule matches there
                over = "--hashlimit-above" in lines[line - 1]
                ours[line] += row["limited"] if over else row["packets"] - row["limited"]
        assert {lines[line - 1]: ours[line] for line in real} == {lines[line - 1]: real[line] for line in real}
        if guard.part.tend is not None:
            guard.part.tend(guard.generation.maps)
    return [lines[line - 1] for line, count in real.items() if count]


@pytest.mark.parametrize("binary", ["iptables-nft", "iptables-legacy"])
def test_iptables(wire: Wire, tmp_path: Path, binary: str) -> None:
    rules = "".join(f"-A INPUT {rule}\n" for rule in IPTABLES)
    hit = compared(wire, tmp_path, binary, f"*filter\n:INPUT DROP [0:0]\n{rules}COMMIT\n", frames_v4())
    assert len(hit) == len(IPTABLES)
    logged = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [each["prefix"] for each in logged] == ["counted"] * 4


JUMPS = """*filter
:INPUT DROP [0:0]
:dns - [0:0]
:near - [0:0]
:rest - [0:0]
-A INPUT ! -i lo -s 10.0.0.0/8 -j near
-A INPUT -p udp -j dns
-A INPUT -p icmp -g rest
-A INPUT -p udp -m udp --dport 8 -j REJECT
-A INPUT -p icmp -j ACCEPT
-A near ! -s 10.0.0.1 -j RETURN
-A near -p tcp -g rest
-A near -m conntrack --ctstate NEW -j dns
-A near -p udp -m udp --dport 52 -j DROP
-A near -j RETURN
-A near -p udp -j DROP
-A dns -p udp -m udp --dport 50:52 -m length --length 0:28 -j ACCEPT
-A dns -p udp -m multiport --ports 5,55 -j DROP
-A rest -s 10.0.0.1 -p tcp -m tcp --dport 2:4 -j ACCEPT
-A rest -m iprange --src-range 10.0.0.1-10.0.0.2 -p icmp -m ttl --ttl-gt 60 -j DROP
-A rest -p tcp -j LOG --log-prefix rest
COMMIT
"""


@pytest.mark.parametrize("binary", ["iptables-nft", "iptables-legacy"])
def test_jumps_of_iptables(wire: Wire, tmp_path: Path, binary: str) -> None:
    hit = compared(wire, tmp_path, binary, JUMPS, frames_v4())
    assert len(hit) == 7, hit


SETS = {"near": ("hash:net", ["10.0.0.1", "172.16.0.0/12"]), "web": ("bitmap:port range 0-65535", ["1-4", "90"]),
        "services": ("hash:ip,port", ["10.0.0.2,udp:9", "10.0.0.1,udp:5"])}
SECTION = """  sets:
    near: {elements: [10.0.0.1, 172.16.0.0/12]}
    web: {kind: ports, elements: [1-4, 90]}
    services: {kind: endpoints, elements: ["10.0.0.2:9", "10.0.0.1:5"]}
"""


SET_RULES = [
    "-p udp -m set --match-set services src,src -m udp --dport 50 -j ACCEPT",
    "-p udp -m set ! --match-set services src,src -m set --match-set near src -m udp --dport 51 -j DROP",
    "-p tcp -m set --match-set web dst -m set ! --match-set near src -j DROP",
    "-p tcp -m set ! --match-set web dst -m set --match-set near src -j ACCEPT",
    "-p icmp -m set --match-set near src -j DROP", "-m set --match-set near src",
]


def sets_compared(wire: Wire, tmp_path: Path, binary: str, machine: Any = None) -> None:
    """Rules that ask for ipset's sets, and for those of a section."""
    for name, (kind, elements) in SETS.items():
        run(["ipset", "create", name, *kind.split()])
        for element in elements:
            run(["ipset", "add", name, element])
    text = "*filter\n:INPUT DROP [0:0]\n" + "".join(f"-A INPUT {rule}\n" for rule in SET_RULES) + "COMMIT\n"
    assert len(compared(wire, tmp_path, binary, text, frames_v4(), SECTION, machine)) == len(SET_RULES)


@pytest.mark.parametrize("binary", ["iptables-nft", "iptables-legacy"])
def test_sets_of_ipset(wire: Wire, tmp_path: Path, binary: str) -> None:
    sets_compared(wire, tmp_path, binary)


NFT = """
table inet t {
  set bad { type ipv4_addr; flags interval; elements = { 172.16.0.0/16, 10.0.0.7-10.0.0.9 } }
  set web { type inet_service; elements = { 80, 90 } }
  set kinds { type inet_proto; elements = { tcp, udp } }
  set services { type ipv4_addr . inet_service; elements = { 192.0.2.1 . 4, 192.0.2.9 . 22 } }
  set few { type ipv4_addr; flags dynamic; size 1000; }
  set many { type ipv4_addr; flags dynamic,timeout; timeout 3h; size 1000; }
  chain input {
    type filter hook input priority 0; policy drop;
    udp dport 50 counter log prefix "fifty " meta mark set meta mark & 0xffffff0f | 0x20
    udp dport 50 limit rate 1/hour burst 3 packets counter accept
    udp dport 51 update @many { ip saddr limit rate 1/hour burst 2 packets } counter accept
    udp dport 52 add @few { ip saddr limit rate over 1/hour burst 2 packets } counter drop
    udp dport 52 limit rate 1/hour burst 2 packets meta mark set 7 counter
    meta l4proto @kinds counter continue
    ip daddr . tcp dport @services counter accept
    ip saddr . udp sport { 172.16.0.1 . 5, 10.0.0.2 . 55 } counter drop
    ip saddr @bad tcp dport @web counter drop
    tcp flags & (fin | syn) == fin | syn counter drop
    tcp flags == syn tcp dport != { 80, 1-3 } counter accept
    tcp flags ! fin,rst tcp sport 31 counter return
    ct state invalid counter drop
    ip ttl > 60 icmp type { echo-request, timestamp-request } counter accept
    ip saddr != 10.0.0.0/8 udp length > 0 counter accept
    icmpv6 type echo-request counter accept
    meta nfproto ipv6 udp sport 9 counter drop
    ip protocol vmap { udp : return, icmp : drop }
    counter
  }
}
"""


def with_ipv6() -> None:
    """Switch it on at the wire, and wait until it takes packets in."""
    Path("/proc/sys/net/ipv6/conf/uplink/disable_ipv6").write_text("0")
    for _ in range(100):
        with open("/proc/thread-self/net/ipv6_route", encoding="ascii") as file:
            if any(line.startswith("ff00") and "uplink" in line for line in file):
                return
        time.sleep(0.05)
    raise AssertionError("there is no route for multicast")


def test_nft(wire: Wire, tmp_path: Path) -> None:
    with_ipv6()
    Path("/proc/sys/net/netfilter/nf_conntrack_tcp_loose").write_text("0")
    text = NFT.replace(" udp length > 0", " meta l4proto udp")
    run(["nft", "-f", "-"], text)
    file = tmp_path / "rules.json"
    file.write_text(run(["nft", "-j", "list", "ruleset"]))
    frames = [*frames_v4(), v6() / ICMPv6(type=128), v6() / UDP(sport=9, dport=9)]
    send(wire, frames)
    real = {each["rule"]["handle"]: sum(inner["counter"]["packets"] for inner in each["rule"]["expr"]
                                        if "counter" in inner)
            for each in json.loads(run(["nft", "-j", "list", "ruleset"]))["nftables"] if "rule" in each
            and any("counter" in inner for inner in each["rule"]["expr"])}
    lines = {int(line.rpartition(" ")[2]): line for line in run(["nft", "-a", "list", "ruleset"]).splitlines()
             if "# handle" in line}
    with Guard(f"  shadowed: allow\n  log: {tmp_path}/log\n  import:\n    - {{file: {file}, format: nft-json}}\n",
               Userspace()) as guard:
        for frame in frames:
            guard.drops(frame)
        ours: Counter[int] = Counter()
        for row in guard.rows():
            words = row.get("rule", "").split()
            if words[:3] == ["inet", "t", "input"] and len(words) == 4:
                over = " over " in lines[int(words[3])]
                ours[int(words[3])] += row["limited"] if over else row["packets"] - row["limited"]
        assert {lines[number]: ours[number] for number in real} == {lines[number]: real[number] for number in real}
        assert all(real.values())
        guard.part.tend(guard.generation.maps)  # type: ignore[misc]
        logged = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert [each["prefix"] for each in logged] == ["fifty "] * 9


def delivered(wire: Wire, ports: Sequence[int]) -> list[tuple[int, ...]]:
    """(port, mark) of datagrams that reach sockets of the host, three sent to each port."""
    found = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taking:
            taking.bind((HOST, port))
            taking.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
            taking.settimeout(0.1)
            with wire.peer_entered():
                sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for _ in range(3):
                sending.sendto(b"x", (HOST, port))
            sending.close()
            try:
                while True:
                    _, told, _, _ = taking.recvmsg(10, 100)
                    marks = [int.from_bytes(data[:4], "little") for level, kind, data in told
                             if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
                    found.append((port, *marks))
            except TimeoutError:
                pass
    return found


MARKS = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p udp --dport 7000:7009 -j MARK --set-xmark 0x21/0xff
-A INPUT -p udp --dport 7001 -j MARK --set-xmark 0x4/0x6
-A INPUT -p udp --dport 7002 -m limit --limit 1/hour --limit-burst 1 -j MARK --set-xmark 0x0/0x20
-A INPUT -p udp --dport 7003 -m limit --limit 1/hour --limit-burst 2 -j ACCEPT
-A INPUT -p udp --dport 7003 -j DROP
-A INPUT -p udp --dport 7004 -m limit --limit 1/hour --limit-burst 1 -j DROP
COMMIT
"""


@pytest.mark.parametrize("ours", [False, True], ids=["iptables", "imported"])
def test_marks_and_limits_on_a_wire(wire: Wire, tmp_path: Path, ours: bool) -> None:
    wanted = [(7000, 0x21)] * 3 + [(7001, 0x25)] * 3 + [(7002, 0x01)] + [(7002, 0x21)] * 2 + [(7003, 0x21)] * 2 \
        + [(7004, 0x21)] * 2 + [(7010, 0)] * 3
    ports = (7000, 7001, 7002, 7003, 7004, 7010)
    if not ours:
        run(["iptables-restore"], MARKS)
        assert delivered(wire, ports) == wanted
        return
    (tmp_path / "rules.v4").write_text(MARKS)
    ledger = Ledger(f"imported-{os.getpid()}", state=str(tmp_path))
    with Controller("", {"firewall": FACET}, ledger=ledger) as controller:
        controller.apply(f"interfaces: [uplink]\nfirewall: {{import: [{{file: {tmp_path}/rules.v4, "
                         "format: iptables-save}]}\n")
        try:
            assert delivered(wire, ports) == wanted
        finally:
            controller.remove()
