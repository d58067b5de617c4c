"""TCP connections when they end: who, between whom, how much, how long.

Kilobytes are of this side; the process is the one that connected or accepted, where the kernel told.

examples:
  bpfwright tool tcplife                     all connections that end
  bpfwright tool tcplife -T                  with the time of day
  bpfwright tool tcplife -w                  room for IPv6 addresses
  bpfwright tool tcplife -D 80,81            to these ports
  bpfwright tool tcplife -L 8080             from this port
  bpfwright tool tcplife -p 181 -f csv       of one process, as CSV
"""
from bpfwright.types import L, Struct, char, i32, ptr, u32, u64
from bpfwright.facets.tools._lives import Life, lives
from bpfwright.facets.tools._net import PORTS, asked_ports, destination, ends, source, version
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted, who
from bpfwright.helpers import address_of, current, kernel_object, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash
from bpfwright.vmlinux import sock, tcp_sock


class Owner(Struct):
    born: u64
    pid: u32
    comm: char[L[16]]


owners = LruHash[u64, Owner](max_entries=65_536)
ESTABLISHED, SYN_SENT, FIN_WAIT1, CLOSE, LAST_ACK = 1, 2, 4, 7, 9


@raw_tracepoint.program("inet_sock_set_state")
def changed(ctx: raw_tracepoint.Context, sk: ptr[sock], oldstate: i32, newstate: i32) -> None:
    key = address_of(sk)
    if newstate < FIN_WAIT1 and (newstate != ESTABLISHED or key not in owners):
        owners[key] = Owner(now_ns(), 0, "")
    owner = owners.get(key)
    if owner is None:
        return
    if newstate == ESTABLISHED:
        owner.born = now_ns()
    if (newstate in (SYN_SENT, FIN_WAIT1, LAST_ACK, CLOSE)) and owner.pid == 0 and wanted():
        owner.pid = pid()  # a process connects or closes; other changes come with packets
        owner.comm = current.comm
    if newstate == CLOSE:
        if owner.pid != 0 or who.asked == 0:
            tcp = kernel_object(tcp_sock, key)
            lives.emit(Life(now_ns(), now_ns() - owner.born, tcp.bytes_acked, tcp.bytes_received, owner.pid,
                            owner.comm, ends(sk)))
        owners.pop(key, None)


TOOL = Rows(lives, (changed,), (
    Column("TIME", "<8", "@clock", "time"), Column("TIME(s)", "<9.6f", "@elapsed", "timestamp"), Column("PID", "<7"),
    Column("COMM", "<16"), Column("IP", "<2d", version, "wide"), Column("LADDR", "<15", source, "!wide"),
    Column("LADDR", "<39", source, "wide"), Column("LPORT", "<5d", lambda e: e.ends.sport),
    Column("RADDR", "<15", destination, "!wide"), Column("RADDR", "<39", destination, "wide"),
    Column("RPORT", "<5d", lambda e: e.ends.dport), Column("TX_KB", ">5d", lambda e: e.sent >> 10),
    Column("RX_KB", ">5d", lambda e: e.received >> 10), Column("MS", ">.2f", lambda e: e.lived / 1e6)),
    options=(Option("-T, --time", "show the time of day"), Option("-t, --timestamp", "show seconds since the first"),
             Option("-w, --wide", "room for IPv6 addresses"), *PORTS), rank="ms", keep=asked_ports)
