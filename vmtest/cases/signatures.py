"""Signatures' programs (all fields, both passes of the search, streams, addresses) pass all kernels' verifiers."""
from __future__ import annotations

import tempfile
from pathlib import Path

HOOK = ""  # no row of its own
SINCE = "6.12"  # open-coded iterators: 6.4

_RULES = """
alert tcp $HOME_NET any -> !$HOME_NET [80,8080] (flow:established,to_server; content:"a long pattern"; sid:1;)
drop udp any any -> $HOME_NET 53 (content:"abcd"; offset:1; depth:5; dsize:<100; sid:2;)
alert udp any any -> any 54 (content:"|01 00|"; sid:3;)
alert icmp any any -> any any (itype:8; icode:3; ttl:5; sid:4;)
alert tcp any any -> any 22 (flags:S; sid:5;)
alert http any any -> any any (flow:established,to_server; http.uri; content:"/a/gate.php"; sid:6;)
alert dns any any -> any any (dns.query; content:"evil.example"; sid:7;)
alert tls any any -> any any (tls.sni; content:"evil.example"; sid:8;)
"""


def build() -> dict[str, bytes]:
    from bpfwright.datapath.configuration import read
    from bpfwright.datapath.facet import Scene
    from bpfwright.datapath.generation import plan_of
    from bpfwright.datapath.places import Interface
    from bpfwright.facets.intrusion.facet import FACET
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import Target
    scene = Scene({"lo": Interface("lo", 1, bytes(6), 1500, ())}, None)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.rules").write_text(_RULES)
        text = "intrusion: {signatures: [a.rules], variables: {HOME_NET: [192.0.2.0/24, '2001:db8::/32']}}\n"
        section = read(text, f"{folder}/net.yaml").section("intrusion")
        assert section is not None
        # Apart, as a kernel gets it for which one function is too much: 7 is such a one.
        plan = plan_of({"intrusion": FACET.build(FACET.read(section), scene)}, apart=True)
    target = Target("v3", frozenset({"atomics", "iter_num"}))
    return {"object": compile_programs([made.program for made in plan.made], target).elf}


def check(files: dict[str, bytes]) -> None:
    import contextlib

    from bpfwright import objfile
    from bpfwright.kernel import Kernel
    spec = objfile.read(files["object"])
    with contextlib.closing(Kernel()) as kernel, contextlib.closing(kernel.load(spec)) as held:
        assert {program.spec.section for program in held.programs.values()} == {"xdp", "tc"}
        for program in held.programs.values():  # its tables are empty: no rule is about anything
            assert program.test_run(bytes(12) + b"\x08\x00\x45" + bytes(60)).value in (2, 0xFFFF_FFFF)
