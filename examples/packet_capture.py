"""Packets of an interface, both ways, for tcpdump: `sudo python packet_capture.py eth0 out.pcap [SECONDS]`."""
import struct
import sys
import time

from bpfwright import L, Struct, array, run, u8, u32, u64
from bpfwright.helpers import now_ns
from bpfwright.hooks import tc
from bpfwright.maps import RingBuf

class Taken(Struct):
    at: u64
    length: u32
    data: array[u8, L[256]]

packets = RingBuf[Taken](size_bytes=1 << 24)

@tc.program
def capture(ctx: tc.Context) -> tc.Action:
    with packets.reserve() as packet:
        if packet is None:  # no room: counted
            return tc.NEXT
        packet.at = now_ns()
        packet.length = ctx.length
        for i in range(min(ctx.length, 256)):
            packet.data[i] = ctx.read(i, u8) or 0
    return tc.NEXT

if __name__ == "__main__":
    seconds, since_boot = float(sys.argv[3]) if len(sys.argv) > 3 else 10, time.time_ns() - time.monotonic_ns()
    both = (capture.on(tc.Ingress(sys.argv[1])), capture.on(tc.Egress(sys.argv[1])))
    with open(sys.argv[2], "wb") as file, run(*both, duration_s=seconds) as session:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 256, 1))  # nanoseconds, Ethernet
        print("capturing", file=sys.stderr, flush=True)
        for p in session.events(packets):
            data = bytes(p.data[:min(p.length, 256)])
            file.write(struct.pack("<IIII", *divmod(p.at + since_boot, 10**9), len(data), p.length) + data)
