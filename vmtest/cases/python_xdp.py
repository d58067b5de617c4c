"""A program that is a Python function, built for the oldest kernel, loads everywhere and counts by source address."""
from __future__ import annotations

import struct

HOOK = "XDP written in Python (test run)"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import OLDEST
    from vmtest.programs.block_list import firewall
    return {"object": compile_programs([firewall], OLDEST).elf}


def check(files: dict[str, bytes]) -> None:
    import contextlib

    from bpfwright import objfile
    from bpfwright.kernel import Kernel
    spec = objfile.read(files["object"])
    with contextlib.closing(Kernel()) as kernel, contextlib.closing(kernel.load(spec)) as held:
        program, blocked = held.programs["firewall"], held.maps["blocked"]
        assert program.test_run(_packet("192.0.2.7")).value == XDP_PASS
        key, value = struct.pack("<I", 32) + bytes((192, 0, 2, 7)), struct.pack("<Q", 0)
        blocked.update(key, value)
        for _ in range(3):
            assert program.test_run(_packet("192.0.2.7")).value == XDP_DROP
        assert program.test_run(_packet("192.0.2.8")).value == XDP_PASS
        assert blocked.lookup(key) == struct.pack("<Q", 3)


XDP_DROP, XDP_PASS = 1, 2


def _packet(source: str) -> bytes:
    """Ethernet and IPv4, and an empty rest."""
    address = bytes(int(part) for part in source.split("."))
    ipv4 = bytes((0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0)) + address + bytes((198, 51, 100, 1))
    return bytes(12) + b"\x08\x00" + ipv4 + bytes(20)
