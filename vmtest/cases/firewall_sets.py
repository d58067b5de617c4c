"""Rules of iptables that ask for ipset's sets: the same frames to the kernel's own and to what they are read as."""
from __future__ import annotations

from vmtest.own_cache import own_cache

HOOK = ""  # no row of its own
SINCE = "6.1"  # packets read by offset (5.18)


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    import subprocess
    from pathlib import Path

    from bpfwright.kernel import Kernel
    from tests.datapath.wire import wired
    from tests.facets.firewall.test_imported_real import sets_compared
    subprocess.run(["modprobe", "nf_conntrack"], check=True)  # so that its settings are there
    with own_cache() as folder:
        for binary in ("iptables-nft", "iptables-legacy"):
            with wired() as wire, Kernel() as kernel:
                for name in ("all", "uplink"):
                    Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
                sets_compared(wire, Path(folder), binary, kernel)
