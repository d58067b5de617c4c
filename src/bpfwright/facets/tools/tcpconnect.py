"""TCP connections that processes here begin (connect), as they begin.

examples:
  bpfwright tool tcpconnect                 every connect
  bpfwright tool tcpconnect -t              with seconds since the first
  bpfwright tool tcpconnect -p 181          of one process
  bpfwright tool tcpconnect -P 80,81        to these ports
  bpfwright tool tcpconnect -L              with the local port
  bpfwright tool tcpconnect -Uu 1000        of a user, who is shown
  bpfwright tool tcpconnect -c              how many, by process and destination, at Ctrl-C
"""
from bpfwright.types import Config, L, Struct, char, i32, ptr, u32, u64
from bpfwright.facets.tools._net import Ends, asked_port, destination, ends, source, version
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import address_of, current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash, RingBuf
from bpfwright.vmlinux import sock


class Connected(Struct):
    at: u64
    pid: u32
    uid: u32
    comm: char[L[16]]
    ends: Ends


class Choice(Config):
    lport: bool = False


choice = Choice()
begun = LruHash[u64, Connected](max_entries=10_240)
connects = RingBuf[Connected](size_bytes=1 << 22)
SYN_SENT = 2


@raw_tracepoint.program("inet_sock_set_state")
def connecting(ctx: raw_tracepoint.Context, sk: ptr[sock], oldstate: i32, newstate: i32) -> None:
    if newstate == SYN_SENT and wanted():
        if not choice.lport:
            connects.emit(Connected(now_ns(), pid(), current.uid, current.comm, ends(sk)))
        else:
            begun[address_of(sk)] = Connected(now_ns(), pid(), current.uid, current.comm, ends(sk))
    elif choice.lport and oldstate == SYN_SENT:  # by now it has a port
        before = begun.pop(address_of(sk), None)
        if before is not None:
            connects.emit(Connected(before.at, before.pid, before.uid, before.comm, ends(sk)))


TOOL = Rows(connects, (connecting,), (
    Column("TIME(s)", "<9.3f", "@elapsed", "timestamp"), Column("UID", "<6", when="print_uid"), Column("PID", "<7"),
    Column("COMM", "<16"), Column("IP", "<2d", version), Column("SADDR", "<16", source),
    Column("LPORT", "<6d", lambda e: e.ends.sport, "lport"), Column("DADDR", "<16", destination),
    Column("DPORT", "<5d", lambda e: e.ends.dport)),
    options=(Option("-t, --timestamp", "show seconds since the first"), Option("-P, --port", "to these ports only", ""),
             Option("-L, --lport", "show the local port"), Option("-U, --print-uid", "show who it was"),
             Option("-4, --ipv4", "IPv4 only"), Option("-6, --ipv6", "IPv6 only"),
             Option("-c, --count", "how many of each, at the end")),
    tally=("pid", "comm", "ip", "saddr", "daddr", "dport"),
    config=Choice, filters="pid uid comm cgroup",
    keep=lambda e, o: asked_port(o.port, e.ends.dport) and version(e) not in ((6,) * o.ipv4 + (4,) * o.ipv6))
