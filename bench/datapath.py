"""The data path under change: what a program in the chain costs, and whether packets are lost or misjudged meanwhile.

    sudo .venv/bin/python bench/datapath.py [--quick] [--changes N] [--kills N]

`chain`: test runs (ns a run, best of several loads) of programs put together from so many stages of ours, and of
programs of other objects linked in as subprograms; and the root with its tail call. `a packet that passes`: one UDP
packet through each facet alone and through all four (XDP and tc ingress), less what an empty program costs. `adds and
removes`: a program of another object comes and goes under traffic. `changes`: two tables change places in one
configuration change: a packet that is judged by one old and one new table would pass, and none may. `kills`: the
controller is killed at random moments of a change. Traffic is UDP between two namespaces, good and bad datagrams: each
good one must arrive, no bad one may.
"""
from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bench import measuring
from bpfwright import u32, u64
from bpfwright.datapath.configuration import Section, read
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.facet import Hooked, Part, Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.objects import FACET as OBJECTS
from bpfwright.datapath.roots import Seat, root_xdp, xdp_stages
from bpfwright.datapath.stage import CONTINUE, Stage, drop
from bpfwright.headers import IPv4
from bpfwright.hooks import tc, xdp
from bpfwright.kernel import Kernel
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from bpfwright.maps import Hash
from bpfwright.session import load

TOP = Path(__file__).resolve().parents[1]
HOST, GOOD, BAD = "192.0.2.1", "192.0.2.2", "192.0.2.3"
CHAIN_BAR_NS, A_SECOND = 10.0, 4000
PASSES = """
typedef unsigned int u32; typedef unsigned long long u64;
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
__attribute__((section("xdp"), used)) int looks(struct xdp_md *ctx) {
    unsigned char *d = (void *)(u64)ctx->data, *e = (void *)(u64)ctx->data_end;
    return d + 34 <= e && d[23] == 99 ? 1 : 2; }
__attribute__((section("xdp"), used)) int nothing(struct xdp_md *ctx) { return 2; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"""


class Tables:
    """Two stages with a table each; a change can let them change places."""

    name = "tables"

    def read(self, section: Section) -> tuple[list[Any], list[Any]]:
        return ([each.parsed(IPv4.Address) for each in section.scalars("first")],
                [each.parsed(IPv4.Address) for each in section.scalars("second")])

    def build(self, settings: Any, scene: Scene) -> Part:
        tables: Any = [Hash[u32, u64](max_entries=64) for _ in range(2)]

        def stage(number: int) -> Stage:
            table = tables[number]

            def look(ctx: Any, packet: Any) -> Any:
                return drop(0) if packet.family == 4 and u32(packet.source_low) in table else CONTINUE

            return Stage(f"table{number}", look, frozenset({"network"}), ("listed",))

        def fill(maps: Any) -> None:
            for table, addresses in zip(tables, settings, strict=True):
                for address in addresses:
                    maps(table)[int(address)] = 1

        return Part([Hooked(name, "xdp", stage(number), 100 + number) for name in scene.interfaces
                     for number in range(2)], fill=fill)


def config(swapped: bool, *, extra: str = "") -> str:
    first, second = ("", BAD) if swapped else (BAD, "")
    return f"interfaces: [uplink]\ntables: {{first: [{first}], second: [{second}]}}\n{extra}"


# the chain

def _of_ours(count: int) -> Part:
    def stage(number: int) -> Stage:
        wanted = 200 + number

        def look(ctx: Any, packet: Any) -> Any:
            return drop(0) if packet.protocol == wanted else CONTINUE

        return Stage(f"stage{number}", look, frozenset({"network"}), ("other",))

    return Part([Hooked("lo", "xdp", stage(number), number) for number in range(count)])


def _of_others(count: int, file: str) -> Part:
    text = "objects:\n" + "".join(f"  program{number}: {{file: {file}, program: nothing}}\n" for number in range(count))
    section = read(text, "net.yaml").section("objects")
    assert section is not None
    return OBJECTS.build(OBJECTS.read(section), Scene({"lo": None}, None))


def ns_of(machine: Any, part: Part, packet: bytes, loads: int, repeat: int) -> float:
    found = []
    for _ in range(loads):
        with Generation.load(plan_of({"x": part}), machine) as generation:
            program = generation.plan.made[0].program
            found.append(generation.session.test_of(program, packet, repeat=repeat).duration_ns)
    return min(found)


def rooted_ns(machine: Any, part: Part, packet: bytes, loads: int, repeat: int) -> float:
    """The root's tail call and the same program behind it."""
    found = []
    for _ in range(loads):
        with Generation.load(plan_of({"x": part}), machine) as generation, \
                load(root_xdp, machine=machine, config=Seat(number=0)) as root:
            loaded = generation.session.program(generation.plan.made[0].program)
            root[xdp_stages].handle.update(bytes(4), loaded.fd.to_bytes(4, "little"))
            found.append(root.test(packet, repeat=repeat).duration_ns)
    return min(found)


def chain(machine: Any, file: str, quick: bool) -> bool:
    from bpfwright.headers import UDP, Ethernet
    packet = bytes(Ethernet() / IPv4(source=GOOD) / UDP(dport=9))
    loads, repeat, many = (2, 100_000, 8) if quick else (5, 1_000_000, 8)
    one = ns_of(machine, _of_ours(1), packet, loads, repeat)
    ours = (ns_of(machine, _of_ours(1 + many), packet, loads, repeat) - one) / many
    first = ns_of(machine, _of_others(1, file), packet, loads, repeat)
    others = (ns_of(machine, _of_others(1 + many, file), packet, loads, repeat) - first) / many
    root = rooted_ns(machine, _of_ours(1), packet, loads, repeat) - one
    print(f"{'chain':<28}{'ns':>8}   bar {CHAIN_BAR_NS:.0f}")
    print(f"{'one more stage of ours':<28}{ours:>8.1f}")
    print(f"{'one more linked program':<28}{others:>8.1f}   it only passes")
    print(f"{'the root and its tail call':<28}{root:>8.1f}   once a hook")
    return ours <= CHAIN_BAR_NS and others <= CHAIN_BAR_NS


# all facets together

ALONE = {
    "firewall": """\
firewall:
  sets: {listed: {elements: [%s]}}
  rules:
    - {name: listed, match: {source: '@listed'}, action: drop}
    - {name: web, match: {protocol: tcp, destination-port: [80, 443, 8000-8999]}, action: drop}
    - {name: narrow, match: {source: 10.0.0.0/8, protocol: udp, length: 0-99}, action: drop}
""",
    "balancer": """\
balancer:
  gateway: 02:00:00:00:00:01
  backends: {one: 10.9.0.1, two: 10.9.0.2}
  vips:
    - {address: 10.8.0.1, port: 80, backends: [one, two]}
""",
    "intrusion": """\
intrusion:
  scan: {targets: 25, window: 10s}
  flood: {syn: 5000, udp: 1G, icmp: 500}
  fragments: true
  block: 10m
""",
    "shaper": """\
shaper:
  limits:
    - {name: dns, direction: ingress, rate: 1000Gbit, match: {protocol: udp, destination-port: 9}}
    - {name: each, direction: ingress, rate: 1000Gbit, per: source, match: {protocol: udp}}
""",
}
TOGETHER_BAR = 1.3


def _parts(names: list[str], machine: Any) -> dict[str, Part]:
    from bpfwright.datapath.sections import facets as all_facets
    from bpfwright.datapath.places import interface
    known = all_facets()
    whole = read("".join(ALONE[name] % ", ".join(f"198.18.{n // 256}.{n % 256}" for n in range(1000))
                         if "%s" in ALONE[name] else ALONE[name] for name in names), "net.yaml")
    parts = {}
    for name in names:
        section = whole.section(name)
        assert section is not None
        parts[name] = known[name].build(known[name].read(section), Scene({"lo": interface("lo")}, machine))
    return parts


def _cost_ns(names: list[str], machine: Any, packet: bytes, loads: int, repeat: int) -> float:
    """What a packet that comes in costs at XDP and at tc ingress together, the floor of each taken off."""
    best = []
    for _ in range(loads):
        with Generation.load(plan_of(_parts(names, machine)), machine) as generation:
            generation.fill()
            best.append(sum(generation.session.test_of(made.program, packet, repeat=repeat).duration_ns
                            - (_floor_ns(machine, "xdp" if made.places[0].hook == "xdp" else "tc", packet, repeat))
                            for made in generation.plan.made if made.places[0].hook != "egress"))
    return min(best)


def _floor_ns(machine: Any, hook: str, packet: bytes, repeat: int) -> int:
    with load(passes_xdp if hook == "xdp" else passes_tc, machine=machine) as program:
        return min(program.test(packet, repeat=repeat).duration_ns for _ in range(2))


@xdp.program
def passes_xdp(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS


@tc.program
def passes_tc(ctx: tc.Context) -> tc.Action:
    return tc.NEXT


def together(machine: Any, quick: bool) -> bool:
    from bpfwright.headers import UDP, Ethernet
    packet = bytes(Ethernet() / IPv4(source=GOOD, destination=HOST) / UDP(sport=7, dport=9))
    loads, repeat = (1, 50_000) if quick else (5, 500_000)
    alone = {name: _cost_ns([name], machine, packet, loads, repeat) for name in ALONE}
    every = _cost_ns(list(ALONE), machine, packet, loads, repeat)
    dearest = max(alone.values())
    print(f"\n{'a packet that passes':<28}{'ns':>8}   floor taken off")
    for name, ns in alone.items():
        print(f"{name + ' alone':<28}{ns:>8.0f}")
    print(f"{'all four':<28}{every:>8.0f}   {every / dearest:.2f} of the dearest alone, bar {TOGETHER_BAR}; "
          f"{every / sum(alone.values()):.2f} of their sum")
    return every <= TOGETHER_BAR * dearest


# traffic

class Tally(NamedTuple):
    """Good datagrams sent and arrived, and bad ones sent and arrived."""

    sent: int
    came: int
    bad_sent: int
    bad_came: int


SENDER = """
import os, sys, time
good, bad = int(sys.argv[1]), int(sys.argv[2])
pause, number, goes_on = 8 / float(sys.argv[3]), 0, True
def stop(*_):
    global goes_on
    goes_on = False
import signal
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while goes_on:
    for _ in range(8):
        os.write(good, b"g%d" % number); os.write(bad, b"b%d" % number); number += 1
    time.sleep(pause)
print(number, flush=True)
"""


class Traffic:
    """Datagrams from two addresses of a peer, a sender of its own, counted on this side."""

    def __init__(self, peer: NetworkNamespace) -> None:
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE: what waits is not lost
        self.receiver.bind((HOST, 0))
        self.receiver.settimeout(0.5)
        self.senders = []
        for address in (GOOD, BAD):
            with peer.entered():
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, 0))
            made.connect(self.receiver.getsockname())
            self.senders.append(made)
        while not self._came():
            self.senders[0].send(b"?")

    def _came(self) -> bytes:
        try:
            return self.receiver.recv(64)
        except TimeoutError:
            return b""

    @contextmanager
    def flowing(self) -> Iterator[list[Tally]]:
        """Traffic while the block runs; afterwards the list holds its tally."""
        fds = [each.fileno() for each in self.senders]
        sender = subprocess.Popen([sys.executable, "-c", SENDER, *map(str, fds), str(A_SECOND)], pass_fds=fds,
                                  stdout=subprocess.PIPE, text=True)
        assert sender.stdout is not None and sender.stdout.readline() == "ready\n"
        counts = {b"g": 0, b"b": 0}
        over = threading.Event()

        def count() -> None:
            while True:
                data = self._came()
                if data[:1] in counts:
                    counts[data[:1]] += 1
                elif not data and over.is_set():
                    return

        counter = threading.Thread(target=count)
        counter.start()
        tally: list[Tally] = []
        sent = 0
        try:
            yield tally
        finally:
            sender.send_signal(signal.SIGTERM)
            sent = int(sender.communicate(timeout=30)[0] or 0)
            over.set()
            counter.join()
        tally.append(Tally(sent, counts[b"g"], sent, counts[b"b"]))

    def close(self) -> None:
        for each in (self.receiver, *self.senders):
            each.close()


@contextmanager
def scene() -> Iterator[tuple[Controller, Traffic]]:
    with NetworkNamespace.create() as host, NetworkNamespace.create() as peer, host.entered():
        with Netlink() as netlink:
            netlink.create_veth("uplink", "far")
            netlink.add_address("uplink", HOST, 24)
            netlink.set_up("uplink")
            netlink.move("far", peer.fd)
        with peer.entered(), Netlink() as netlink:
            for address in (GOOD, BAD):
                netlink.add_address("far", address, 24)
            netlink.set_up("far")
        traffic = Traffic(peer)
        with tempfile.TemporaryDirectory(dir="/run") as state, \
                Controller("", facets(), ledger=Ledger(f"bench-{os.getpid()}", state=state)) as controller:
            try:
                yield controller, traffic
            finally:
                traffic.close()
                if controller.ledger.exists:
                    controller.remove()


def facets() -> dict[str, Any]:
    return {"tables": Tables(), "objects": OBJECTS}


def told(name: str, count: int, seconds: float, tally: Tally, more: str = "") -> bool:
    lost, passed = tally.sent - tally.came, tally.bad_came
    print(f"{name:<18}{count:>7}{seconds / count * 1e3:>11.1f}{tally.sent:>12,}{lost:>7}{tally.bad_sent:>12,}"
          f"{passed:>12}   {more}")
    return lost == 0 and passed == 0


def adds_and_removes(count: int, file: str) -> bool:
    with scene() as (controller, traffic):
        controller.apply(config(False))
        began = time.perf_counter()
        with traffic.flowing() as tally:
            for number in range(count):
                added = f"objects: {{looks: {{file: {file}, program: looks}}}}\n"
                controller.apply(config(False, extra="" if number % 2 else added))
            seconds = time.perf_counter() - began
        return told("adds and removes", count, seconds, tally[0])


def changes(count: int) -> bool:
    with scene() as (controller, traffic):
        controller.apply(config(False))
        began = time.perf_counter()
        with traffic.flowing() as tally:
            for number in range(count):
                controller.apply(config(number % 2 == 0))
            seconds = time.perf_counter() - began
        return told("changes", count, seconds, tally[0])


CHANGER = """
import sys
sys.path[:0] = {paths!r}
from bench.datapath import *
with Controller("", facets(), ledger=Ledger({name!r}, state={state!r})) as controller:
    for number in range(1_000_000):
        controller.apply(config(number % 2 == 0))
        print(number, flush=True)
"""


def kills(count: int) -> bool:
    """After each kill the next process must find one whole generation and go on; nothing else may be left behind."""
    draws = random.Random(7)
    whole = 0
    with scene() as (controller, traffic):
        controller.apply(config(False))
        ledger = controller.ledger
        script = CHANGER.format(paths=[str(TOP), str(TOP / "src")], name=ledger.name,
                                state=os.path.dirname(ledger.state))
        began = time.perf_counter()
        with traffic.flowing() as tally:
            for _ in range(count):
                changer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
                assert changer.stdout is not None
                changer.stdout.readline()
                time.sleep(draws.uniform(0, 0.1))
                changer.kill()
                changer.wait()
                changer.stdout.close()
                live = controller.status().record
                whole += live.text in (config(False), config(True))
            seconds = time.perf_counter() - began
        controller.apply(config(False))
        records = {record.number for record in ledger.records()}
        left = {name for name in os.listdir(ledger.pins) if name.isdigit()} - set(map(str, records))
        good = told("kills", count, seconds, tally[0], f"{whole} times whole, {len(left)} left behind")
        return good and whole == count and not left and len(records) == 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    chosen = parser.parse_args()
    print(measuring.machine())
    with tempfile.TemporaryDirectory() as folder, Kernel() as machine:
        (Path(folder) / "looks.c").write_text(PASSES)
        subprocess.run(["clang-14", "-O2", "-g", "-target", "bpf", "-c", "looks.c", "-o", "looks.o"], cwd=folder,
                       check=True)
        file = f"{folder}/looks.o"
        good = [chain(machine, file, chosen.quick), together(machine, chosen.quick)]
        print(f"\n{'under traffic':<18}{'times':>7}{'ms each':>11}{'good sent':>12}{'lost':>7}{'bad sent':>12}"
              f"{'unfiltered':>12}")
        good += [adds_and_removes(20 if chosen.quick else 200, file),
                 changes(100 if chosen.quick else chosen.changes), kills(5 if chosen.quick else chosen.kills)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
