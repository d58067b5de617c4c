"""Changes of state of TCP connections, and how long each state lasted.

C-PID and C-COMM are the process that runs when it changes, which may have nothing to do with it.

examples:
  bpfwright tool tcpstates              all changes
  bpfwright tool tcpstates -T           with the time of day
  bpfwright tool tcpstates -w           room for IPv6 addresses
  bpfwright tool tcpstates -L 80        from this port
  bpfwright tool tcpstates -D 80        to this port
"""
from bpfwright.types import L, Struct, char, i32, ptr, u32, u64
from bpfwright.facets.tools._net import PORTS, STATES, Ends, asked_ports, destination, ends, source, version
from bpfwright.facets.tools._tool import SINCE, Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import address_of, current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash, RingBuf
from bpfwright.vmlinux import sock


class Changed(Struct):
    at: u64
    lasted: u64
    skaddr: u64
    pid: u32
    old: u32
    new: u32
    comm: char[L[16]]
    ends: Ends


since = LruHash[u64, u64](max_entries=65_536)
changes = RingBuf[Changed](size_bytes=1 << 22)


@raw_tracepoint.program("inet_sock_set_state")
def changed(ctx: raw_tracepoint.Context, sk: ptr[sock], oldstate: i32, newstate: i32) -> None:
    key, now = address_of(sk), now_ns()
    before = since.get(key)
    if wanted():
        lasted = 0 if before is None else now - before
        changes.emit(Changed(now, lasted, key, pid(), u32(oldstate), u32(newstate), current.comm, ends(sk)))
    since[key] = now


TOOL = Rows(changes, (changed,), (
    Column("TIME", "<8", "@clock", "time"), Column("TIME(s)", "<9.6f", "@elapsed", "timestamp"),
    Column("SKADDR", "<16", lambda e: f"{e.skaddr:x}"), Column("C-PID", "<7", "pid"), Column("C-COMM", "<16", "comm"),
    Column("IP", "<2d", version, "wide"), Column("LADDR", "<15", source, "!wide"),
    Column("LADDR", "<39", source, "wide"), Column("LPORT", "<5d", lambda e: e.ends.sport),
    Column("RADDR", "<15", destination, "!wide"), Column("RADDR", "<39", destination, "wide"),
    Column("RPORT", "<5d", lambda e: e.ends.dport), Column("OLDSTATE", "<11", lambda e: STATES[e.old]),
    Column("NEWSTATE", "<11", lambda e: STATES[e.new]), Column("MS", ">.3f", lambda e: e.lasted / 1e6)),
    options=(Option("-T, --time", "show the time of day"), SINCE, Option("-w, --wide", "room for IPv6 addresses"),
             *PORTS), keep=asked_ports)
