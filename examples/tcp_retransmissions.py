"""How often TCP had to send again, by connection: `sudo python tcp_retransmissions.py [SECONDS]`."""
import sys
import time

from bpfwright import Struct, attach, i32, u16, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import tracepoint
from bpfwright.maps import LruHash


class tcp_retransmit_skb(tracepoint.Fields, event="tcp:tcp_retransmit_skb"):
    state: i32
    sport: u16
    dport: u16
    saddr: IPv4.Address
    daddr: IPv4.Address


class Connection(Struct):
    source: IPv4.Address
    destination: IPv4.Address
    sport: u16
    dport: u16


again = LruHash[Connection, u64](max_entries=10_240)


@tracepoint.program
def sent_again(ctx: tcp_retransmit_skb) -> None:
    again.increment(Connection(ctx.saddr, ctx.daddr, ctx.sport, ctx.dport))


if __name__ == "__main__":
    with attach(sent_again):
        print("counting retransmissions", file=sys.stderr, flush=True)
        time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
        for c, count in sorted(again.items(), key=lambda item: -item[1]):
            print(f"{count:6} {c.source}:{c.sport} > {c.destination}:{c.dport}")
