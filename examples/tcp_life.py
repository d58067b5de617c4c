"""Every TCP connection over IPv4 when it ends, and how long it lived: `sudo bpfwright run tcp_life.py`."""
from bpfwright import Struct, i32, u16, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, RingBuf

SYN_SENT, SYN_RECV, CLOSE, INET = 2, 3, 7, 2


class inet_sock_set_state(tracepoint.Fields, event="sock:inet_sock_set_state"):
    skaddr: u64
    newstate: i32
    sport: u16
    dport: u16
    family: u16
    saddr: IPv4.Address
    daddr: IPv4.Address


class Life(Struct):
    source: IPv4.Address
    sport: u16
    destination: IPv4.Address
    dport: u16
    lived_us: u64


born = Hash[u64, u64](max_entries=65_536)
lives = RingBuf[Life](size_bytes=1 << 20)


@tracepoint.program
def changed(ctx: inet_sock_set_state) -> None:
    if ctx.newstate == SYN_SENT or ctx.newstate == SYN_RECV:
        born[ctx.skaddr] = now_ns()
    elif ctx.newstate == CLOSE:
        start = born.pop(ctx.skaddr, None)
        if start is not None and ctx.family == INET:
            lives.emit(Life(ctx.saddr, ctx.sport, ctx.daddr, ctx.dport, (now_ns() - start) // 1000))
