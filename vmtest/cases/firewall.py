"""The firewall's largest programs (all fields, flows, limits, cookies, mitigation) and rules that go on, verified."""
from __future__ import annotations

HOOK = ""  # no row of its own
SINCE = "6.1"  # packets are read by helpers of 5.18

_TEXT = """
firewall:
  default: {in: deny, out: deny}
  mitigate: {packets: 10k/s}
  sets:
    services: {kind: endpoints, elements: ["198.51.100.9:7000", "[2001:db8::9]:7001"]}
  rules:
    - {name: a, match: {source: [192.0.2.0/24, "2001:db8:9::/48"], destination: 10.0.0.0/8, ttl: 0-1}, action: drop}
    - {name: b, match: {source-port: 5, destination-port: 1000-2000, tcp-flags: syn}, action: allow, syn-cookies: true}
    - {name: c, match: {icmp-type: 8, length: 100-200, dscp: ef}, limit: {packets: 10/s, per: source}, action: allow}
    - {name: d, match: {fragment: later, vlan: 7, source-mac: "02:00:00:00:00:99"}, action: drop}
    - {name: e, match: {destination-endpoint: "@services"}, limit: {bytes: 1M/s}, action: allow}
    - {name: f, match: {state: new, destination-mac: "02:00:00:00:00:99"}, action: allow}
"""
_GOING_ON = """
firewall:
  rules:
    - {name: a, match: {protocol: udp}, limit: {packets: 10/s, beyond: continue}, action: drop}
    - {name: b, match: {destination-port: 53}, limit: {packets: 10/s, burst: 20, per: source}, action: continue}
    - {name: c, match: {source: 192.0.2.0/24}, limit: {packets: 1/m, per: source, beyond: continue}, action: allow}
    - {name: d, match: {state: new}, action: continue, count: true}
"""
_TEXTS = {"object": _TEXT, "going on": _GOING_ON}


def build() -> dict[str, bytes]:
    return {name: _compiled(text) for name, text in _TEXTS.items()}


def _compiled(text: str) -> bytes:
    from bpfwright.datapath.configuration import read
    from bpfwright.datapath.facet import Scene
    from bpfwright.datapath.generation import plan_of
    from bpfwright.facets.firewall.facet import FACET
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import Target
    section = read(text, "net.yaml").section("firewall")
    assert section is not None
    part = FACET.build(FACET.read(section), Scene({"lo": None}, None))
    plan = plan_of({"firewall": part}, apart=True)  # as it is loaded where inlined it is too much
    target = Target("v3", frozenset({"atomics"}))
    return compile_programs([made.program for made in plan.made], target).elf


def check(files: dict[str, bytes]) -> None:
    import contextlib

    from bpfwright import objfile
    from bpfwright.kernel import Kernel
    for name in _TEXTS:
        spec = objfile.read(files[name])
        with contextlib.closing(Kernel()) as kernel, contextlib.closing(kernel.load(spec)) as held:
            assert {program.spec.section for program in held.programs.values()} == {"xdp", "tc"}
            for program in held.programs.values():  # its tables are empty: no rule decides
                assert program.test_run(bytes(12) + b"\x08\x00\x45" + bytes(60)).value in (2, 0xFFFF_FFFF)
