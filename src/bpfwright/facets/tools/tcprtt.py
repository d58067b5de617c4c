"""Round-trip times of TCP as the kernel reckons them, at each packet that arrives: a histogram.

examples:
  bpfwright tool tcprtt                until Ctrl-C
  bpfwright tool tcprtt 1 10           each second, ten times
  bpfwright tool tcprtt -m             in milliseconds
  bpfwright tool tcprtt -p 80          of this local port
  bpfwright tool tcprtt -P 443 -B      of this remote port, by remote address
"""
from bpfwright.types import Config, Struct, ptr, u32, u64
from bpfwright.facets.tools._net import Ends, destination, ends, source
from bpfwright.facets.tools._tool import MSECS, STAMP, Column, Histogram, Option, bucket
from bpfwright.helpers import address_of, kernel_object
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import sock, tcp_sock


class Slot(Struct):
    ends: Ends
    slot: u32


class Choice(Config):
    milliseconds: bool = False
    lport: u32 = 0
    rport: u32 = 0
    byladdr: bool = False
    byraddr: bool = False


choice = Choice()
counts = Hash[Slot, u64](max_entries=10_240)


@raw_tracepoint.program("tcp_probe")
def received(ctx: raw_tracepoint.Context, sk: ptr[sock]) -> None:
    both = ends(sk)
    if (choice.lport != 0 and both.sport != choice.lport) or (choice.rport != 0 and both.dport != choice.rport):
        return
    rtt = kernel_object(tcp_sock, address_of(sk)).srtt_us >> 3
    key = Slot(both, bucket(rtt // 1000 if choice.milliseconds else rtt))
    key.ends.sport = 0
    key.ends.dport = 0
    if not choice.byladdr:
        key.ends.source4 = 0
        for at in range(16):
            key.ends.source6[at] = 0
    if not choice.byraddr:
        key.ends.destination4 = 0
        for at in range(16):
            key.ends.destination6[at] = 0
    if not choice.byladdr and not choice.byraddr:
        key.ends.family = 0
    counts.increment(key)


TOOL = Histogram(
    counts, (received,), unit=lambda o: "msecs" if o.milliseconds else "usecs",
    columns=(Column("Local Address", of=source, when="byladdr"),
             Column("Remote Address", of=destination, when="byraddr")),
    options=(STAMP, MSECS, Option("-p, --lport", "of this local port", 0),
             Option("-P, --rport", "of this remote port", 0),
             Option("-b, --byladdr", "by local address"), Option("-B, --byraddr", "by remote address")),
    config=Choice, filters="")
