"""Questions to name servers over UDP, their answers, and how long those took.

The messages are those of sendto, sendmsg, sendmmsg, write and their counterparts on sockets to port 53 (-P: another).

examples:
  bpfwright tool dnssnoop               answers, as they come
  bpfwright tool dnssnoop -q            questions too
  bpfwright tool dnssnoop -p 181        of process 181
  bpfwright tool dnssnoop -P 5353       of another port
"""
from bpfwright.types import i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, argument, call, native, number
from bpfwright.facets.tools._dns import Choice, answer_code, choice, message, messages, question, record_type
from bpfwright.facets.tools._net import destination, is_socket, socket_of
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import address_of, user_word
from bpfwright.hooks import raw_tracepoint

UDP, SEVERAL = 17, (number("sendmmsg"), number("recvmmsg"))
PLAIN = tuple(map(number, ("sendto", "recvfrom", "write", "read")))
VECTORS = (number("sendmsg"), number("recvmsg"), *SEVERAL)
SENDS = tuple(map(number, ("sendto", "sendmsg", "sendmmsg", "write")))


@raw_tracepoint.program("sys_exit")
def moved(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if (which not in PLAIN and which not in VECTORS) or ret <= 0 or not native() or not wanted():
        return
    if not is_socket(argument(regs, 0)):
        return
    sk, sends, at = socket_of(argument(regs, 0)), u32(which in SENDS), argument(regs, 1)
    if sk.sk_protocol != UDP or u32(sk.__sk_common.skc_dport) != choice.port:
        return
    if which in PLAIN:
        message(address_of(sk), at, u64(ret), sends)
        return
    several = which in SEVERAL
    for each in range(4):
        if each == 0 or (several and each < ret):
            vector = user_word(at + 64 * each + 16)  # struct mmsghdr begins with struct msghdr
            length = user_word(at + 64 * each + 56) & 0xFFFF_FFFF if several else u64(ret)
            message(address_of(sk), user_word(vector), length, sends)


TOOL = Rows(messages, (moved,), (
    Column("TIME(s)", "<10.6f", "@elapsed"), Column("PID", "<7"), Column("COMM", "<16"),
    Column("QR", "<2", lambda e: "Q" if e.query else "R", "queries"), Column("SERVER", "<15", destination),
    Column("TYPE", "<6", record_type), Column("RCODE", "<9", answer_code),
    Column("LAT(ms)", ">8.2f", lambda e: None if e.query else e.took / 1e6), Column("NAME", "", question)),
    options=(Option("-q, --queries", "questions too"), Option("-P, --port", "the servers' port", 53)),
    config=Choice, rank="lat_ms")
