"""Tunnel headers of ours and the kernel's own devices: VXLAN, Geneve, GRE, IPIP, fou and gue, over both families."""
from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

HOOK = ""  # no row of its own
SINCE = "5.10"


def ways() -> list[Any]:
    from tests.datapath.tunnels import Way
    plain = [Way(kind, outer, inner) for kind in ("vxlan", "geneve", "gre", "ipip", "gue0", "gue") for outer in (4, 6)
             for inner in (4, 6)]
    return plain + [Way("gre", outer, 4, keyed=True) for outer in (4, 6)]


def build() -> dict[str, bytes]:
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import OLDEST
    from tests.datapath.tunnels import echoing, passing
    made = {way.name: compile_programs([echoing(way)], OLDEST).elf for way in ways()}
    return {**made, "passing": compile_programs([passing], OLDEST).elf}


def check(files: dict[str, bytes]) -> None:
    from bpfwright.kernel import Kernel
    silent = []
    with contextlib.closing(Kernel()) as kernel, wired() as (near, far):
        with near.entered(), attached(kernel, files["passing"], "wire"):  # XDP_TX is for ends that have a program
            for way in ways():
                with device(way), far.entered(), attached(kernel, files[way.name], "far"), near.entered():
                    silent += [] if through(way) else [way.name]
            other = ways()[-1]
            with device(other), far.entered(), attached(kernel, files[ways()[0].name], "far"), near.entered():
                assert not through(other, tries=2)  # by a program for other tunnels nothing does
    assert not silent, f"nothing comes back: {', '.join(silent)}"


@contextlib.contextmanager
def wired() -> Iterator[tuple[Any, Any]]:
    """Two namespaces with a wire between them: near's end has addresses, far's has only our program."""
    from bpfwright.kernel.namespace import NetworkNamespace
    from bpfwright.kernel.netlink import Netlink
    from tests.datapath.tunnels import FAR, NEAR
    subprocess.run(["modprobe", "-a", "veth", "fou", "fou6"], check=True)
    with NetworkNamespace.create() as near, NetworkNamespace.create() as far:
        with near.entered():
            with Netlink() as netlink:
                netlink.create_veth("wire", "far")
                ip("link set wire address 02:00:00:00:00:0b", "link set far address 02:00:00:00:00:0a")
                netlink.move("far", far.fd)
            ip(f"addr add {NEAR[4]}/24 dev wire", f"addr add {NEAR[6]}/64 dev wire nodad", "link set wire up",
               *(f"neigh replace {host} lladdr 02:00:00:00:00:0a dev wire" for host in FAR.values()))
            subprocess.run(["ethtool", "-K", "wire", "tx", "off"], check=True, capture_output=True)
        with far.entered():
            ip("link set far up")
        yield near, far


@contextlib.contextmanager
def attached(kernel: Any, elf: bytes, interface: str) -> Iterator[None]:
    from bpfwright import objfile
    with contextlib.closing(kernel.load(objfile.read(elf))) as held:
        (program,) = held.programs.values()
        with kernel.xdp(program, interface, "native"):
            yield


@contextlib.contextmanager
def device(way: Any) -> Iterator[None]:
    """The kernel's own, and what opens datagrams for it."""
    receiver = way.receiver()
    if receiver:
        ip(receiver.format("add"), family=way.outer)
    try:
        ip(*way.device())
        yield
    finally:
        subprocess.run(["ip", "link", "delete", "tunnel"], check=False, capture_output=True)
        if receiver:
            ip(receiver.format("del").partition(" ipproto")[0].partition(" gue")[0], family=way.outer)


def through(way: Any, tries: int = 20) -> bool:
    from tests.datapath.tunnels import answered
    with socket.socket(socket.AF_INET if way.inner == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as inside:
        return answered(inside, way.inner, tries)


def ip(*lines: str, family: int = 0) -> None:
    done = subprocess.run(["ip", *([f"-{family}"] if family else []), "-batch", "-"], input="\n".join(lines),
                          capture_output=True, text=True)
    assert done.returncode == 0, (lines, done.stderr)
