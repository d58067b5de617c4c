"""Bytes that TCP connections carry, by process and connection, as top does.

examples:
  bpfwright tool tcptop               each second
  bpfwright tool tcptop -C 5          each five seconds, without clearing the screen
  bpfwright tool tcptop -p 181        of process 181
  bpfwright tool tcptop --top 5 1 3   the five busiest, three times
"""
from bpfwright.types import L, Struct, char, i32, ptr, u32, u64
from bpfwright.facets.tools._names import load_average
from bpfwright.facets.tools._net import Ends, destination, ends, source
from bpfwright.facets.tools._sums import Traffic, carry
from bpfwright.facets.tools._tool import Column, Option, Table
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import sock


class Key(Struct):
    pid: u32
    comm: char[L[16]]
    ends: Ends


traffic = Hash[Key, Traffic](max_entries=10_240)
TCP = 6


def add(sk: sock, write: bool, size: u64) -> None:
    if sk.sk_protocol == TCP and wanted():
        carry(traffic, Key(pid(), current.comm, ends(sk)), write, size)


@raw_tracepoint.program("sock_send_length")
def sends(ctx: raw_tracepoint.Context, sk: ptr[sock], ret: i32) -> None:
    if ret > 0:
        add(sk, True, u64(ret))


@raw_tracepoint.program("sock_recv_length")
def receives(ctx: raw_tracepoint.Context, sk: ptr[sock], ret: i32, flags: i32) -> None:
    if ret > 0 and flags & 2 == 0:  # MSG_PEEK leaves the bytes where they are
        add(sk, False, u64(ret))


TOOL = Table(traffic, (sends, receives), (
    Column("PID", "<7"), Column("COMM", "<12"), Column("LADDR", "<21", lambda e: f"{source(e)}:{e.ends.sport}"),
    Column("RADDR", "<21", lambda e: f"{destination(e)}:{e.ends.dport}"),
    Column("RX_KB", ">6d", lambda e: e.rbytes >> 10), Column("TX_KB", ">6d", lambda e: e.wbytes >> 10)),
    options=(Option("-C, --noclear", "do not clear the screen"),),
    lines=lambda running: [f"loadavg: {load_average()}", ""],
    sort=lambda o: lambda e: e.rbytes + e.wbytes, screen=True, each=1.0)
