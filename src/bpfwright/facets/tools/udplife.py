"""UDP sockets when they are closed: who, between whom, how much, how long.

A socket's life begins with the first bytes that are sent or received. Its end is seen at the root of the cgroup tree.

examples:
  bpfwright tool udplife             all sockets that end
  bpfwright tool udplife -p 181      of process 181
  bpfwright tool udplife -D 53       to port 53
"""
from bpfwright.types import i32, ptr, u64
from bpfwright.facets.tools._lives import Life, lives
from bpfwright.facets.tools._net import PORTS, asked_ports, destination, ends, source
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns, socket_cookie
from bpfwright.hooks import cgroup, raw_tracepoint
from bpfwright.kernel.mounts import cgroup2
from bpfwright.maps import LruHash
from bpfwright.vmlinux import sock


UDP = 17
living = LruHash[u64, Life](max_entries=65_536)


def add(sk: sock, key: u64, sent: u64, received: u64) -> None:
    entry = living.get(key)
    if entry is None:
        if wanted():
            living[key] = Life(now_ns(), 0, sent, received, pid(), current.comm, ends(sk))
        return
    entry.sent += sent
    entry.received += received


@raw_tracepoint.program("sock_send_length")
def sends(ctx: raw_tracepoint.Context, sk: ptr[sock], ret: i32) -> None:
    if ret > 0 and sk.sk_protocol == UDP:
        add(sk, socket_cookie(sk), u64(ret), 0)


@raw_tracepoint.program("sock_recv_length")
def receives(ctx: raw_tracepoint.Context, sk: ptr[sock], ret: i32, flags: i32) -> None:
    if ret > 0 and sk.sk_protocol == UDP and flags & 2 == 0:  # MSG_PEEK leaves the bytes where they are
        add(sk, socket_cookie(sk), 0, u64(ret))


@cgroup.release
def closed(ctx: cgroup.Socket) -> cgroup.Action:
    life = living.pop(ctx.cookie, None)
    if life is not None:
        life.lived = now_ns() - life.at
        lives.emit(life)
    return cgroup.ALLOW


TOOL = Rows(lives, lambda o: (sends, receives, closed.on(cgroup.Path(cgroup2()))), (
    Column("PID", "<7"), Column("COMM", "<16"), Column("LADDR", "<15", source),
    Column("LPORT", "<5d", lambda e: e.ends.sport), Column("RADDR", "<15", destination),
    Column("RPORT", "<5d", lambda e: e.ends.dport), Column("TX_KB", ">6.1f", lambda e: e.sent / 1024),
    Column("RX_KB", ">6.1f", lambda e: e.received / 1024), Column("MS", ">.2f", lambda e: e.lived / 1e6)),
    options=PORTS, rank="ms", keep=asked_ports)
