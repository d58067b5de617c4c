"""So many packets a second from each source, at the driver: `sudo python rate_limit.py eth0 1000 [SECONDS]`."""
import sys
import time

from bpfwright import Config, SpinLock, Struct, attach, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import now_ns
from bpfwright.hooks import xdp
from bpfwright.maps import LruHash

class Limits(Config):
    gap_ns: u64 = 1_000_000  # between packets; a constant once the program is loaded

class Source(Struct):
    due: u64  # when the next packet comes, if they come evenly
    dropped: u64
    lock: SpinLock = SpinLock()

BURST, limits = 16, Limits()
sources = LruHash[IPv4.Address, Source](max_entries=65_536)

@xdp.program
def limit(ctx: xdp.Context) -> xdp.Action:
    if (ip := ctx.find(IPv4)) is None:
        return xdp.PASS
    now, source = now_ns(), sources.get(ip.source)
    if source is None:
        sources[ip.source] = Source(now + limits.gap_ns, 0)
        return xdp.PASS
    with source.lock:
        due = max(source.due, now)
        late = due > now + BURST * limits.gap_ns
        source.due = due if late else due + limits.gap_ns
        source.dropped += late
    return xdp.DROP if late else xdp.PASS

if __name__ == "__main__":
    with attach(limit, xdp.Interface(sys.argv[1]), config=Limits(gap_ns=10**9 // int(sys.argv[2]))):
        time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 10)
        print(*(f"{address}: {source.dropped} packets dropped" for address, source in sources.items()), sep="\n")
