"""TCP segments that are sent again: of which connection, in which state.

PID is of the process that runs when it happens, 0 when none does: mostly a timer's.

examples:
  bpfwright tool tcpretrans             every retransmission
  bpfwright tool tcpretrans -s          with sequence numbers
  bpfwright tool tcpretrans -l          tail loss probes too, of Linux that can trace functions
  bpfwright tool tcpretrans -c          how many, by connection, at Ctrl-C
  bpfwright tool tcpretrans -f jsonl    as JSON Lines
"""
from bpfwright.types import Struct, ptr, u32
from bpfwright.facets.tools._net import STATES, Ends, destination, ends, source, version
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid
from bpfwright.helpers import kernel_object, offset_of, address_of
from bpfwright.hooks import fentry, raw_tracepoint
from bpfwright.maps import RingBuf
from bpfwright.vmlinux import sk_buff, sock, tcp_skb_cb


class Again(Struct):
    pid: u32
    state: u32
    seq: u32
    probe: u32
    ends: Ends


retransmissions = RingBuf[Again](size_bytes=1 << 22)


@raw_tracepoint.program("tcp_retransmit_skb")
def again(ctx: raw_tracepoint.Context, sk: ptr[sock], skb: ptr[sk_buff]) -> None:
    control = kernel_object(tcp_skb_cb, address_of(skb) + offset_of(sk_buff, "cb"))
    retransmissions.emit(Again(pid(), u32(sk.__sk_common.skc_state), control.seq, 0, ends(sk)))


@fentry.program("tcp_send_loss_probe")
def probed(ctx: fentry.Context, sk: ptr[sock]) -> None:
    retransmissions.emit(Again(pid(), u32(sk.__sk_common.skc_state), 0, 1, ends(sk)))


TOOL = Rows(retransmissions, lambda o: [(again, probed) if o.lossprobe else (again,)], (
    Column("TIME", "<8", "@clock"), Column("PID", "<7"), Column("IP", "<2d", version),
    Column("LADDR:LPORT", "<20", lambda e: f"{source(e)}:{e.ends.sport}"),
    Column("T>", "<2", lambda e: "L>" if e.probe else "R>"),
    Column("RADDR:RPORT", "<20", lambda e: f"{destination(e)}:{e.ends.dport}"),
    Column("STATE", "<12", lambda e: STATES[e.state]), Column("SEQ", when="sequence")),
    options=(Option("-s, --sequence", "show sequence numbers"), Option("-l, --lossprobe", "tail loss probes too"),
             Option("-c, --count", "how many of each, at the end")),
    tally=("ip", "laddr_lport", "t", "raddr_rport", "state"), filters="")
