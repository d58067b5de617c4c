"""Section `balancer` of net.yaml, read and checked: every mistake has its line and its cure."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.datapath.protocols import OwnField
from bpfwright.facets.balancer.checks import check_of
from bpfwright.facets.balancer.model import Backend, Check, Settings, Source, Use, Vip
from bpfwright.facets.balancer.mss import LEAST
from bpfwright.facets.balancer.nat import NAT, SNAT, Timeouts
from bpfwright.facets.balancer.tables import BY_OWN, FLAGS, MOST_CHECKS, MOST_REALS, MOST_VIPS

__all__ = ["read"]

_PROTOCOLS = {"tcp": 6, "udp": 17}
_WEIGHTS = ("proportional", "first-round")
_MOST_PREFIXES = 256
_FLAGS = tuple(FLAGS)
MARK_BITS = 21
_TRANSLATED = ("source-routing", "destination-port-only")
_UDP_ONLY = ("quic", "stable-udp", "udp-migration")


def read(section: Section) -> Settings:
    """The section's settings; ConfigurationError for what cannot be."""
    katran = section.choice("hash", ("maglev", "katran"), "maglev") == "katran"
    encapsulation = section.choice("encapsulation", ("ipip", "gue"), "ipip")
    backends = _backends(section)
    check = check_of(section, None)
    vips = tuple(_vip(each, backends, katran, check) for each in section.sections("vips"))
    if not vips:
        section.wrong("no VIP is named", "Write `vips:` and a list of blocks with address, port and backends.")
    _differ(section, vips)
    if len({vip.by.name for vip in vips if vip.by is not None}) > 1:
        section.wrong("VIPs choose by different fields", "One field is the most.", at="vips")
    if len(backends) >= MOST_REALS:
        section.wrong(f"{len(backends)} backends are too many", f"{MOST_REALS - 1} are the most.")
    sources = _sources(section, backends)
    outer = _outer(section, encapsulation, vips)
    settings = Settings(
        vips, tuple(backends.values()), sources, katran, encapsulation, _mac(section.scalar("gateway")), outer,
        section.number("gue-port", 6080, low=1, high=65535), section.flag("checksum", True),
        section.number("mtu", 1500, low=576, high=9000), section.flag("too-big", True),
        section.flag("vlans"), section.flag("tcp-server-ids"),
        section.number("connections", 1 << 20, low=64, high=1 << 26),
        section.number("flood", 125_000, low=1), section.seconds("udp-timeout", 30.0, low=1, high=86400),
        section.flag("announce"), section.choice("all-down", ("keep", "drop"), "keep"),
        section.choice("established", ("keep", "move"), "keep"), _probe_mark(section),
        section.number("nat-connections", 1 << 16, low=16, high=1 << 24), _timeouts(section), _ports(section),
        _mss(section))
    if katran and settings.vlans:
        section.wrong("Katran takes no VLAN tags", "Remove it, or write `hash: maglev`.", at="vlans")
    if katran and settings.mtu != 1500:
        section.wrong("Katran's limit is 1500", "Remove it, or write `hash: maglev`.", at="mtu")
    if sum(len(vip.uses) for vip in vips if vip.check is not None) > MOST_CHECKS:
        section.wrong("too many backends are to be checked", f"{MOST_CHECKS} are the most, over all VIPs.", at="vips")
    tunnelled = {use.backend for vip in vips if not vip.translates for use in vip.uses} | {
        source.backend for source in sources}
    if settings.gateway is None and any(each.mac is None and not each.local for each in tunnelled):
        section.wrong("gateway is missing, and a backend has no mac",
                      "Write the router's MAC address: `gateway: 02:00:00:00:00:01`.")
    if settings.translates:
        _translating(section, settings)
    if settings.tpr and not any(each.id for each in backends.values()):
        section.wrong("no backend has an id", "Write `id: 1024` beside the address of each.", at="tcp-server-ids")
    return settings


def _translating(section: Section, settings: Settings) -> None:
    """What cannot be beside VIPs that translate."""
    for vip in settings.vips:
        if not vip.port and vip.address in settings.outer and any(each.flags & SNAT for each in settings.vips):
            section.wrong(f"{vip.text} takes all ports of an address that sources are translated to",
                          "Name its ports, or give `source` another address.", at="source")


def _backends(section: Section) -> dict[str, Backend]:
    found: dict[str, Backend] = {}
    inside = section.section("backends")
    if inside is None:
        return found
    ids: dict[int, str] = {}
    addresses: dict[bytes, str] = {}
    for name in inside:
        value = inside.value(name)
        if isinstance(value, Scalar):
            backend = Backend(name, _address(value))
        elif isinstance(value, Section):
            address = value.scalar("address")
            if address is None:
                value.wrong("address is missing")
            backend = Backend(name, _address(address), _mac(value.scalar("mac")), value.flag("local"),
                              value.number("id", 0, low=1, high=(1 << 32) - 1))
            value.done()
        else:
            inside.wrong("a backend is an address, or a block with one", at=name)
        if backend.address in addresses:
            inside.wrong(f"{addresses[backend.address]} has the same address", "Name it once.", at=name)
        if backend.id and backend.id in ids:
            inside.wrong(f"{ids[backend.id]} has the same id", "Ids tell backends apart.", at=name)
        ids[backend.id], addresses[backend.address] = name, name
        found[name] = backend
    inside.done()
    return found


def _mss(section: Section) -> int:
    found = section.scalar("mss")
    if found is None or found.text == "any":
        return 0
    return -1 if found.text == "auto" else found.number(LEAST, 9000)


def _timeouts(section: Section) -> Timeouts:
    inside = section.section("nat-timeouts")
    if inside is None:
        return Timeouts()
    found = Timeouts(*(inside.seconds(name.replace("_", "-"), default, low=0.05, high=864000)
                       for name, default in zip(Timeouts._fields, Timeouts(), strict=True)))
    inside.done()
    return found


def _ports(section: Section) -> tuple[int, int]:
    """Where sources are translated to."""
    found = section.scalar("nat-ports")
    if found is None:
        return 61000, 65535
    low, dash, high = found.text.partition("-")
    if not dash or not low.isdecimal() or not high.isdecimal() or not 1024 <= int(low) <= int(high) <= 65535:
        found.wrong(f"{found.text!r} is no range from 1024 to 65535", "Write 61000-65535.")
    return int(low), int(high)


def _probe_mark(section: Section) -> int:
    mark = section.number("probe-mark", 0x4240_0000, low=1, high=(1 << 32) - 1)
    if mark & (1 << MARK_BITS) - 1:
        section.wrong(f"{mark:#x} has bits among the lowest {MARK_BITS}", "They say whom a probe is for.",
                      at="probe-mark")
    return mark


def _vip(section: Section, backends: dict[str, Backend], katran: bool, check: Check | None) -> Vip:
    text = section.scalar("address")
    if text is None:
        section.wrong("address is missing")
    address, length = _prefix(text)
    port = section.scalar("port")
    if port is None:
        section.wrong("port is missing", "Write a number, or `any`.")
    number = 0 if port.text == "any" else port.number(1, 65535)
    protocol = _PROTOCOLS[section.choice("protocol", tuple(_PROTOCOLS), "tcp")]
    flags = 0
    for flag in section.scalars("flags"):
        name = flag.choice(_FLAGS)
        if protocol == 6 and name in _UDP_ONLY:
            flag.wrong(f"{name} is for UDP", "Write `protocol: udp`, or remove it.")
        flags |= FLAGS[name]
    if katran and length != 8 * len(address) and len(address) == 4:
        text.wrong("Katran has prefixes of IPv6 only", "Write `hash: maglev`, or single addresses.")
    uses = _uses(section, backends)
    flags |= _mode(section, katran, length == 8 * len(address), uses, address)
    by = _by(section, katran, bool(flags & NAT))
    flags |= BY_OWN if by is not None else 0
    weights = section.choice("weights", _WEIGHTS, "first-round" if katran else "proportional")
    vip = Vip(address, length, number, protocol, flags, uses, weights.replace("-", " "))
    vip = vip._replace(check=_check(section, vip, check), by=by)
    section.done()
    return vip


def _by(section: Section, katran: bool, translates: bool) -> OwnField | None:
    """The field of a protocol of one's own that chooses backends."""
    found = section.scalar("by")
    if found is None:
        return None
    known = section.sources.own_fields
    if found.text not in known:
        found.wrong(f"there is no field {found.text!r}", f"There is {', '.join(known)}." if known else
                    "Declare its protocol in the section `protocols`.")
    if katran or translates:
        found.wrong("a field chooses backends of tunnels, and Katran has none",
                    "Write `hash: maglev` and `mode: tunnel`, or remove it.")
    chosen: OwnField = known[found.text]
    return chosen


def _mode(section: Section, katran: bool, whole: bool, uses: tuple[Use, ...], address: bytes) -> int:
    """The flags of a VIP whose connections are translated; 0 for tunnels."""
    mode = section.choice("mode", ("tunnel", "nat"), "tunnel")
    hides = section.flag("snat")
    if mode == "tunnel":
        if hides:
            section.wrong("a tunnel keeps the client's address", "Write `mode: nat`, or remove it.", at="snat")
        if any(use.port for use in uses):
            section.wrong("in a tunnel the port stays", "Write `mode: nat`, or remove the backends' ports.",
                          at="backends")
        return 0
    for flag in section.scalars("flags"):
        if flag.text not in _TRANSLATED:
            flag.wrong(f"{flag.text} is for tunnels", f"Translated connections have {', '.join(_TRANSLATED)}.")
    if katran:
        section.wrong("Katran does not translate", "Write `hash: maglev`, or `mode: tunnel`.", at="mode")
    for use in uses:
        if len(use.backend.address) != len(address):
            section.wrong(f"backend {use.backend.name} has an address of the other family",
                          "Translation keeps the family; tunnels need not.", at="backends")
        if use.backend.local:
            section.wrong(f"backend {use.backend.name} is this host", "Remove `local`, or write `mode: tunnel`.",
                          at="backends")
    return NAT | SNAT if hides else NAT


def _check(section: Section, vip: Vip, default: Check | None) -> Check | None:
    """How a VIP's backends are checked. A default that cannot be for this VIP is none; one of its own is an error."""
    found = check_of(section, default)
    problem = ""
    if not vip.whole:
        problem, cure = "a prefix is no address to connect to", "Write `check: none`, or a VIP of one address."
    elif found is not None and not found.port and (vip.protocol != 6 or not vip.port):
        problem = "there is no port to connect to by TCP"
        cure = "Write `check: {port: 80}`: a port of the VIP that backends serve by TCP."
    if found is None or not problem:
        return found
    if "check" in section:
        section.wrong(problem, cure, at="check")
    return None


def _uses(section: Section, backends: dict[str, Backend]) -> tuple[Use, ...]:
    found: dict[bytes, Use] = {}
    for item in section.items("backends"):
        weight, port = 1, 0
        if isinstance(item, Section):
            name = item.scalar("backend")
            if name is None:
                item.wrong("backend is missing", "Write `{backend: NAME, weight: 2}`.")
            weight = item.number("weight", 1, low=0, high=65535)
            port = item.number("port", 0, low=1, high=65535)
            item.done()
        elif isinstance(item, Scalar):
            name = item
        else:
            section.wrong("a list in a list", at="backends")
        backend = _named(name, backends)
        if backend.address in found:
            name.wrong(f"{name.text} stands here twice", "A weight gives it more.")
        found[backend.address] = Use(backend, weight, port)
    if not found:
        section.wrong("backends is missing", "Write a list of names or addresses.")
    return tuple(found.values())


def _named(name: Scalar, backends: dict[str, Backend]) -> Backend:
    """A backend by its name, or by its address, which makes it one."""
    if name.text in backends:
        return backends[name.text]
    if "." not in name.text and ":" not in name.text:
        name.choice(tuple(backends))
    address = _address(name)
    known = next((each for each in backends.values() if each.address == address), None)
    if known is None:
        known = backends[name.text] = Backend(name.text, address)
    return known


def _differ(section: Section, vips: tuple[Vip, ...]) -> None:
    known = set()
    if len(vips) > MOST_VIPS:
        section.wrong(f"{len(vips)} VIPs are too many", f"{MOST_VIPS} are the most.", at="vips")
    if sum(not vip.whole for vip in vips) > _MOST_PREFIXES:
        section.wrong("too many VIPs are prefixes", f"{_MOST_PREFIXES} are the most.", at="vips")
    for vip in vips:
        key = vip.address, vip.length, vip.port, vip.protocol
        if key in known:
            section.wrong(f"{vip.text} stands here twice", "Name all its backends in one block.", at="vips")
        known.add(key)


def _sources(section: Section, backends: dict[str, Backend]) -> tuple[Source, ...]:
    inside = section.section("sources")
    if inside is None:
        return ()
    found = []
    for key in inside:
        name = inside.scalar(key)
        assert name is not None
        address, length = _prefix(Scalar(key, inside.file, name.line, inside.name))
        found.append(Source(address, length, _named(name, backends)))
    inside.done()
    return tuple(found)


def _outer(section: Section, encapsulation: str, vips: tuple[Vip, ...]) -> tuple[bytes | None, bytes | None]:
    """The addresses that GUE packets come from; needed for the families of the backends."""
    found: dict[int, bytes] = {}
    for scalar in section.scalars("source"):
        address = _address(scalar)
        if len(address) in found:
            scalar.wrong("one address of each family is meant")
        found[len(address)] = address
    translating = [vip for vip in vips if vip.flags & SNAT]
    for vip in translating:
        if len(vip.address) not in found:
            family = "IPv4" if len(vip.address) == 4 else "IPv6"
            section.wrong(f"{vip.text} translates sources, and there is no {family} address for that",
                          "Write `source: [192.0.2.1, 2001:db8::1]` with addresses of this host.")
    if encapsulation == "ipip":
        if found and not translating:
            section.wrong("IPIP makes its sources out of the flow", "Remove it, or write `encapsulation: gue`.",
                          at="source")
        return found.get(4), found.get(16)
    for vip in vips:
        for use in () if vip.translates else vip.uses:
            if len(use.backend.address) not in found and not use.backend.local:
                family = "IPv4" if len(use.backend.address) == 4 else "IPv6"
                section.wrong(f"backend {use.backend.name} has an {family} address, and GUE no source of that kind",
                              "Write `source: [192.0.2.1, 2001:db8::1]` with this host's addresses.")
    return found.get(4), found.get(16)


def _address(scalar: Scalar) -> bytes:
    from bpfwright.headers import IPv4, IPv6
    kind: Any = IPv6 if ":" in scalar.text else IPv4
    parsed: bytes = scalar.parsed(kind.Address).packed
    return parsed


def _prefix(scalar: Scalar) -> tuple[bytes, int]:
    """A prefix in its canonical form, or an address, all of whose bits count."""
    from bpfwright.headers import IPv4, IPv6
    from bpfwright.types.address import Network
    kind: Any = IPv6.Address if ":" in scalar.text else IPv4.Address
    network = scalar.parsed(lambda text: Network.parse(kind, text))
    given = scalar.text.partition("/")[0]
    if kind(given).packed != network.address.packed:
        scalar.wrong(f"{given} has bits behind /{network.length}", f"Write {network.address}/{network.length}.")
    return network.address.packed, network.length


def _mac(scalar: Scalar | None) -> bytes | None:
    if scalar is None:
        return None
    from bpfwright.headers.ethernet import MacAddress
    packed: bytes = scalar.parsed(MacAddress).packed
    if packed[0] & 1 or not any(packed):
        scalar.wrong("a next hop is one host", "Write its own MAC address.")
    return packed


