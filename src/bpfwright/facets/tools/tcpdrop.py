"""TCP packets that the kernel drops: of which connection, why, and where in the kernel.

examples:
  bpfwright tool tcpdrop              every drop
  bpfwright tool tcpdrop -4           of IPv4
  bpfwright tool tcpdrop -f jsonl     as JSON Lines
"""
from bpfwright.types import Struct, ptr, u32, u64
from bpfwright.facets.tools._names import drop_reason, tcp_flags
from bpfwright.facets.tools._net import STATES, Ends, destination, source, version
from bpfwright.facets.tools._stacks import Symbols
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid
from bpfwright.helpers import address_of, kernel_object, kernel_word, offset_of
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf
from bpfwright.vmlinux import iphdr, ipv6hdr, sk_buff, sock, tcphdr


class Dropped(Struct):
    location: u64
    pid: u32
    state: u32
    reason: u32
    flags: u32
    ends: Ends


drops = RingBuf[Dropped](size_bytes=1 << 22)
IPV4, IPV6, TCP, CONSUMED = 0x0800, 0x86DD, 6, 1
SYMBOLS = Symbols()


@raw_tracepoint.program("kfree_skb")
def dropped(ctx: raw_tracepoint.Context, skb: ptr[sk_buff], location: u64, reason: u32) -> None:
    kind, at = u32(skb.protocol), skb.head + skb.network_header
    four, six = kernel_object(iphdr, at), kernel_object(ipv6hdr, at)
    if kind not in (IPV4, IPV6) or reason <= CONSUMED or (four.protocol if kind == IPV4 else six.nexthdr) != TCP:
        return
    start = at + (u64(four.ihl) * 4 if kind == IPV4 else 40)
    tcp = kernel_object(tcphdr, start)
    owner = kernel_object(sock, kernel_word(address_of(skb) + offset_of(sk_buff, "sk")))  # there may be none: state 0
    drops.emit(Dropped(location, pid(), u32(owner.__sk_common.skc_state), reason,
                       u32(kernel_word(start + 8) >> 40 & 255),
                       Ends(2 if kind == IPV4 else 10, tcp.source, tcp.dest, four.saddr, four.daddr,
                            six.saddr.in6_u.u6_addr8, six.daddr.in6_u.u6_addr8)))


TOOL = Rows(drops, (dropped,), (
    Column("TIME", "<8", "@clock"), Column("PID", "<7"), Column("IP", "<2d", version),
    Column("SADDR:SPORT", "<20", lambda e: f"{source(e)}:{e.ends.sport}"),
    Column("DADDR:DPORT", "> <20", lambda e: f"{destination(e)}:{e.ends.dport}"),
    Column("STATE", "<11", lambda e: STATES[e.state]), Column("FLAGS", "<10", lambda e: tcp_flags(e.flags)),
    Column("REASON", "<20", lambda e: drop_reason(e.reason)),
    Column("WHERE", "", lambda e: SYMBOLS.kernel(e.location))),
    options=(Option("-4, --ipv4", "IPv4 only"), Option("-6, --ipv6", "IPv6 only")), filters="",
    keep=lambda e, o: version(e) not in ((6,) * o.ipv4 + (4,) * o.ipv6))
