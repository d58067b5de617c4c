"""VIPs as addresses of this host that it does not tell of: on the loopback interface, silent to ARP, and taken back."""
from __future__ import annotations

from contextlib import contextmanager

from bpfwright._typing import Iterator, Sequence
from bpfwright.errors import TargetError

__all__ = ["hosted"]

_SETTINGS = {"/proc/sys/net/ipv4/conf/all/arp_ignore": "1", "/proc/sys/net/ipv4/conf/all/arp_announce": "2"}
"""Answer for addresses of the asked interface only; ask with the address of the outgoing one."""


@contextmanager
def hosted(vips: Sequence[bytes]) -> Iterator[None]:
    """Have these addresses, in this network namespace, until the block ends; what was there before stays."""
    import ipaddress

    from bpfwright.datapath.places import interface
    from bpfwright.kernel.netlink import Netlink
    there = {text.partition("/")[0] for text in interface("lo").addresses}
    before = {path: _read(path) for path in _SETTINGS}
    added = []
    with Netlink() as netlink:
        try:
            for path, value in _SETTINGS.items():
                _write(path, value)
            for vip in vips:
                text = str(ipaddress.ip_address(vip))
                if text not in there:
                    netlink.add_address("lo", text, 8 * len(vip))
                    added.append((text, 8 * len(vip)))
            netlink.set_up("lo")
            yield
        finally:
            for text, length in added:
                netlink.delete_address("lo", text, length)
            for path, value in before.items():
                _write(path, value)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError as error:
        raise TargetError(f"{path} cannot be read", why=error.strerror or "") from None


def _write(path: str, value: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        raise TargetError(f"{path} cannot be set", why=error.strerror or "", cure="Run it as root.") from None
