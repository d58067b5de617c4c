"""TCP connections that processes here accept.

examples:
  bpfwright tool tcpaccept              every accept
  bpfwright tool tcpaccept -t           with seconds since the first
  bpfwright tool tcpaccept -P 80,81     on these ports
  bpfwright tool tcpaccept -p 181       by process 181
"""
from bpfwright.types import L, Struct, char, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, call, native, number
from bpfwright.facets.tools._net import Ends, asked_port, destination, ends, socket_of, source, version
from bpfwright.facets.tools._tool import SINCE, Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Accepted(Struct):
    at: u64
    pid: u32
    comm: char[L[16]]
    ends: Ends


accepts = RingBuf[Accepted](size_bytes=1 << 22)
ACCEPTS, TCP = (number("accept"), number("accept4")), 6


@raw_tracepoint.program("sys_exit")
def accepted(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    if call(regs) not in ACCEPTS or ret < 0 or not native() or not wanted():
        return
    sk = socket_of(u64(ret))
    if sk.sk_protocol == TCP and sk.__sk_common.skc_family in (2, 10):
        accepts.emit(Accepted(now_ns(), pid(), current.comm, ends(sk)))


TOOL = Rows(accepts, (accepted,), (
    Column("TIME", "<8", "@clock", "time"), Column("TIME(s)", "<9.3f", "@elapsed", "timestamp"), Column("PID", "<7"),
    Column("COMM", "<16"), Column("IP", "<2d", version), Column("RADDR", "<16", destination),
    Column("RPORT", "<5d", lambda e: e.ends.dport), Column("LADDR", "<16", source),
    Column("LPORT", "<5d", lambda e: e.ends.sport)),
    options=(Option("-T, --time", "show the time of day"), SINCE, Option("-P, --port", "on these ports only", ""),
             Option("-4, --ipv4", "IPv4 only"), Option("-6, --ipv6", "IPv6 only")),
    keep=lambda e, o: asked_port(o.port, e.ends.sport) and version(e) not in ((6,) * o.ipv4 + (4,) * o.ipv6))
