"""Drop what comes from some networks, at the driver: `sudo python xdp_block_list.py eth0 192.0.2.0/24 ...`."""
import sys
import time

from bpfwright import Struct, attach, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import LpmTrie


class Blocked(Struct):
    packets: u64


blocked = LpmTrie[IPv4.Address, Blocked](max_entries=100_000)


@xdp.program
def firewall(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    entry = blocked.get(ip.source)  # the longest prefix that holds the address
    if entry is None:
        return xdp.PASS
    entry.packets += 1
    return xdp.DROP


if __name__ == "__main__":
    with attach(firewall, xdp.Interface(sys.argv[1])) as session:
        for network in sys.argv[2:]:
            blocked[network] = Blocked(0)
        print(f"attached: {session.links[0].description}; Ctrl-C detaches", flush=True)
        try:
            time.sleep(1e6)
        except KeyboardInterrupt:
            for prefix, entry in blocked.items():
                print(f"{prefix}: {entry.packets} packets dropped")
