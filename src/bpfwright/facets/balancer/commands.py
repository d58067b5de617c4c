"""A balancer's hands: open tunnels on a backend, say where a flow goes, tell a BGP speaker what is served.

VIPs and backends themselves stand in net.yaml (`bpfwright net apply`). `receive` is a backend's one command: it takes
packets out of IPIP and GUE, gives the VIPs to this host without saying so on the wire, and undoes all of it at the end.
"""
from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator
from bpfwright.errors import SessionError, TargetError, UsageError

if TYPE_CHECKING:
    from bpfwright.facets.balancer.model import Settings
    from bpfwright.facets.balancer.tables import Tables

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright balancer receive -i eth0 --vip 198.51.100.80 --vip 2001:db8::80        on each backend",
    "bpfwright balancer simulate net.yaml 192.0.2.7:40000 198.51.100.80:443           which backend for this flow?",
    "bpfwright balancer routes net.yaml                                               lines for a BGP speaker",
    "bpfwright balancer connections --follow | ssh other bpfwright balancer learn      tell another node",
    "bpfwright balancer status                                                        how the backends stand",
    "bpfwright balancer backend web1 drain                                            no new connections",
    "bpfwright balancer backend web1 auto                                             what checks say counts again",
)
_VERBS = ("backend", "connections", "learn", "receive", "routes", "simulate", "status")
_WORDS = ("up", "down", "drain", "auto")
_LOOK_NS = 10**9


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("verb", choices=_VERBS, help="what to do")
    parser.add_argument("words", nargs="*", metavar="FILE | ADDRESS:PORT | NAME",
                        help="routes: net.yaml; simulate: net.yaml, from and to; backend: its name and up, down, drain "
                        "or auto")
    receive = parser.add_argument_group("receive")
    receive.add_argument("-i", "--interface", action="append", default=[], metavar="NAME", help="where tunnels arrive")
    receive.add_argument("--vip", action="append", default=[], metavar="ADDRESS", help="that this host serves")
    receive.add_argument("--tunnel", action="append", default=[], metavar="ADDRESS",
                         help="that tunnels lead to (the interface's own)")
    receive.add_argument("--kind", choices=("ipip", "gue", "both"), default="both", help="(both)")
    receive.add_argument("--gue-port", type=int, default=6080, metavar="PORT", help="(6080)")
    receive.add_argument("--mss", choices=("any", "auto"), default="any", help="auto: SYNs of VIPs say segments that "
                         "fit the tunnel (any)")
    receive.add_argument("-d", "--duration", type=float, metavar="SECONDS", help="so long; else until Ctrl-C")
    receive.add_argument("--mode", choices=("auto", "native", "generic"), default="auto", help="of XDP (auto)")
    parser.add_argument("--name", default="net", help="backend, status: of the data path (net)")
    parser.add_argument("--at", default="", metavar="VIP", help="backend: at this VIP only, as status writes it")
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table", help="status: (table)")
    parser.add_argument("-j", "--json", dest="format", action="store_const", const="json", help="the same as -f json")
    parser.add_argument("--udp", action="store_true", help="simulate: a datagram, not a segment")
    parser.add_argument("--follow", action="store_true", help="routes, connections: go on saying what changes, until "
                        "Ctrl-C")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    wanted, do = _DO[chosen.verb]
    if len(chosen.words) != wanted:
        raise UsageError(f"balancer {chosen.verb} takes {wanted or 'no'} words, not {len(chosen.words)}",
                         cure="bpfwright balancer --help")
    return do(chosen)


def settings_in(path: str) -> Settings:
    """Section `balancer` of a file."""
    from bpfwright.datapath.configuration import read
    from bpfwright.facets.balancer import configuration
    try:
        with open(path, encoding="utf-8") as file:
            whole = read(file.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"{path} cannot be read", why=getattr(error, "strerror", "") or str(error)) from None
    section = whole.section("balancer")
    if section is None:
        whole.wrong("there is no section balancer")
    settings = configuration.read(section)
    section.done()
    return settings


# the live one

@contextmanager
def _live(chosen: argparse.Namespace) -> Iterator[tuple[tuple[Settings, Tables, Any], Callable[[], bool]]]:
    """The balancer of the data path that is live: settings, tables, and the tables' maps; and whether it still is."""
    from bpfwright.datapath.controller import Controller
    from bpfwright.datapath.sections import facets
    with Controller(chosen.name, facets()) as controller, controller.generation() as (record, generation):
        part = generation.plan.parts.get("balancer")
        if part is None:
            raise SessionError(f"data path {chosen.name!r} has no balancer", cure="bpfwright net status")
        settings, tables = part.inside
        yield (settings, tables, generation.maps), lambda: controller.live_number() == record.number


def _backend(chosen: argparse.Namespace) -> int:
    """Say how a backend stands. What is live follows at once; what a person said outlives changes and processes."""
    from bpfwright.facets.balancer.control import told
    name, word = chosen.words
    if word not in _WORDS:
        raise UsageError(f"a backend cannot be told {word!r}", cure=f"Say {', '.join(_WORDS)}.")
    with _live(chosen) as (live, _):
        changed = told(*live, name, word, chosen.at)
    print(f"{name}: {word} at {changed} VIP{'' if changed == 1 else 's'}"
          if changed else f"{name}: {word}, as before", file=sys.stderr)
    return 0


def _status(chosen: argparse.Namespace) -> int:
    import json

    from bpfwright.facets.balancer.status import lines, standings
    with _live(chosen) as (live, _):
        found = list(standings(*live))
    if chosen.format == "json":
        print(json.dumps([{"vip": vip, "backend": name, **each.fields()} for (vip, name), each in found], indent=2))
        return 0
    for line in lines(found):
        print(line)
    return 0


def _connections(chosen: argparse.Namespace) -> int:
    """Each connection of VIPs that share theirs, once; with `--follow` those that come."""
    from bpfwright._host import sleep_s
    from bpfwright.facets.balancer.sharing import known, line_of
    said: set[Any] = set()
    try:
        while True:
            with _live(chosen) as (live, _):
                there = set(known(*live))
            for each in there - said:
                print(line_of(each))
            sys.stdout.flush()
            said = there
            if not chosen.follow:
                return 0
            sleep_s(1.0)
    except KeyboardInterrupt:
        return 0


def _learn(chosen: argparse.Namespace) -> int:
    """Lines of another node, until they end."""
    from bpfwright._host import now_ns
    from bpfwright.facets.balancer.sharing import learn, of_line
    learned, strange, over = 0, 0, False
    while not over:
        with _live(chosen) as (live, still):
            looked, over = now_ns(), True
            try:
                for line in sys.stdin:
                    done = learn(*live, [of_line(line)])
                    learned, strange = learned + done[0], strange + done[1]
                    if now_ns() - looked > _LOOK_NS:
                        looked, over = now_ns(), still()
                        if not over:  # another generation has other numbers
                            break
            except KeyboardInterrupt:
                pass
    print(f"{learned} connections learned" + (f"; {strange} have a backend that is not here" if strange else ""),
          file=sys.stderr)
    return 0


# simulate

def _simulate(chosen: argparse.Namespace) -> int:
    from ipaddress import ip_address

    from bpfwright.facets.balancer.simulate import simulate
    settings = settings_in(chosen.words[0])
    (source, sport), (destination, dport) = map(_end, chosen.words[1:])
    found = simulate(settings, source, sport, destination, dport, 17 if chosen.udp else 6)
    if found.backend is None:
        print(f"no backend: {found.why}")
        return 1
    assert found.vip is not None
    place = f", place {found.place}" if found.place >= 0 else ""
    print(f"{found.backend.name} {ip_address(found.backend.address)}  (VIP {found.vip.text}{place}: {found.why})")
    return 0


def _end(text: str) -> tuple[bytes, int]:
    from ipaddress import ip_address
    host, _, port = text.rpartition(":")
    try:
        address, number = ip_address(host.strip("[]")).packed, int(port)
    except ValueError:
        raise UsageError(f"{text!r} is no address and port",
                         cure="Write 192.0.2.7:40000 or [2001:db8::7]:40000.") from None
    if not 0 <= number <= 65535:
        raise UsageError(f"there is no port {number}")
    return address, number


# routes

def _routes(chosen: argparse.Namespace) -> int:
    """What is served, as ExaBGP reads it; with `--follow` also what changes in the file."""
    from bpfwright._host import sleep_s
    from bpfwright.facets.balancer.announcing import routes
    said: set[str] = set()
    try:
        while True:
            for line in routes(_served(chosen), said):
                print(line, flush=True)
            if not chosen.follow:
                return 0
            sleep_s(1.0)
    except KeyboardInterrupt:
        return 0


def _served(chosen: argparse.Namespace) -> Iterator[str]:
    """The prefixes of VIPs that have a backend with a weight."""
    from ipaddress import ip_address
    for vip in settings_in(chosen.words[0]).vips:
        if any(use.weight for use in vip.uses):
            yield f"{ip_address(vip.address)}/{vip.length}"


# receive

def _room(chosen: argparse.Namespace, kinds: tuple[str, ...], tunnels: list[bytes]) -> int:
    """What fits the narrowest interface inside the widest tunnel; 0 where that is not asked for."""
    if chosen.mss == "any":
        return 0
    from bpfwright.datapath.encapsulation import overhead
    from bpfwright.datapath.places import interface
    families = {4 if len(each) == 4 else 6 for each in tunnels}
    return (min(interface(name).mtu for name in chosen.interface)
            - max(overhead(kind, family) for kind in kinds for family in families))

def _receive(chosen: argparse.Namespace) -> int:
    import ipaddress

    from bpfwright import attach
    from bpfwright._host import sleep_s
    from bpfwright.facets.balancer.hosting import hosted
    from bpfwright.facets.balancer.receiving import addresses_of, receiving
    from bpfwright.hooks import tc, xdp
    if not chosen.interface or not chosen.vip:
        raise UsageError("receive needs an interface and a VIP", cure="Write -i eth0 --vip 198.51.100.80.")
    try:
        vips = [ipaddress.ip_address(text).packed for text in chosen.vip]
        tunnels = [ipaddress.ip_address(text).packed for text in chosen.tunnel]
    except ValueError as error:
        raise UsageError(str(error)) from None
    tunnels = tunnels or list(addresses_of(chosen.interface))
    if not tunnels:
        raise TargetError(f"{', '.join(chosen.interface)} has no address that a tunnel could lead to",
                          cure="Give it one, or write --tunnel ADDRESS.")
    kinds = ("ipip", "gue") if chosen.kind == "both" else (chosen.kind,)
    made = receiving(kinds, chosen.gue_port, mss=_room(chosen, kinds, tunnels))
    bound: list[Any] = [made.program.on(xdp.Interface(name, mode=chosen.mode)) for name in chosen.interface]
    if made.clamp is not None:
        bound += [made.clamp.on(tc.Egress(name)) for name in chosen.interface]
    with hosted(vips), attach(*bound) as session:
        made.fill(session, tunnels, vips)
        print(f"tunnels to {', '.join(str(ipaddress.ip_address(each)) for each in tunnels)} are open", file=sys.stderr)
        try:
            sleep_s(chosen.duration if chosen.duration is not None else 1e9)
        except KeyboardInterrupt:
            pass
        total = session[made.received][0].total()
    print(f"{total.opened} packets, {total.opened_bytes} bytes out of tunnels; {total.not_ours} for no VIP of ours; "
          f"{total.congested} dropped for congestion that could not be told")
    return 0


_DO: dict[str, tuple[int, Callable[[argparse.Namespace], int]]] = {
    "backend": (2, _backend), "connections": (0, _connections), "learn": (0, _learn), "receive": (0, _receive),
    "routes": (1, _routes), "simulate": (3, _simulate), "status": (0, _status)}
"""Verbs: how many words they take, and what does them."""
