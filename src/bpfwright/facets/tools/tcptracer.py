"""TCP connections as they are made (C), accepted (A) and closed (X), and by whom.

examples:
  bpfwright tool tcptracer             all
  bpfwright tool tcptracer -t          with seconds since the first
  bpfwright tool tcptracer -p 181      of process 181
"""
from bpfwright.types import L, Struct, char, i32, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, call, native, number
from bpfwright.facets.tools._net import Ends, destination, ends, socket_of, source, version
from bpfwright.facets.tools._tool import SINCE, Column, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import address_of, current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash, RingBuf
from bpfwright.vmlinux import sock


class Traced(Struct):
    at: u64
    pid: u32
    what: u32
    comm: char[L[16]]
    ends: Ends


class Owner(Struct):
    pid: u64
    comm: char[L[16]]


owners = LruHash[u64, Owner](max_entries=65_536)
traced = RingBuf[Traced](size_bytes=1 << 22)
ESTABLISHED, SYN_SENT, FIN_WAIT1, CLOSE_WAIT, LAST_ACK, TCP = 1, 2, 4, 8, 9, 6
CLOSE, CONNECT, ACCEPT, ACCEPTS = 88, 67, 65, (number("accept"), number("accept4"))


@raw_tracepoint.program("inet_sock_set_state")
def changed(ctx: raw_tracepoint.Context, sk: ptr[sock], oldstate: i32, newstate: i32) -> None:
    key = address_of(sk)
    if newstate == SYN_SENT and wanted():
        owners[key] = Owner(pid(), current.comm)
    elif newstate in (FIN_WAIT1, LAST_ACK) and oldstate in (ESTABLISHED, CLOSE_WAIT) and wanted():
        traced.emit(Traced(now_ns(), pid(), CLOSE, current.comm, ends(sk)))
    elif oldstate == SYN_SENT:
        owner = owners.pop(key, None)
        if owner is not None and newstate == ESTABLISHED:
            traced.emit(Traced(now_ns(), u32(owner.pid), CONNECT, owner.comm, ends(sk)))


@raw_tracepoint.program("sys_exit")
def accepted(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    if call(regs) in ACCEPTS and ret >= 0 and native() and wanted():
        sk = socket_of(u64(ret))
        if sk.sk_protocol == TCP:
            traced.emit(Traced(now_ns(), pid(), ACCEPT, current.comm, ends(sk)))


TOOL = Rows(traced, (changed, accepted), (
    Column("TIME(s)", "<10.3f", "@elapsed", "timestamp"), Column("T", "<1", lambda e: chr(e.what)),
    Column("PID", "<7"), Column("COMM", "<16"), Column("IP", "<2d", version), Column("SADDR", "<16", source),
    Column("DADDR", "<16", destination), Column("SPORT", "<6d", lambda e: e.ends.sport),
    Column("DPORT", "<6d", lambda e: e.ends.dport)), options=(SINCE,))
