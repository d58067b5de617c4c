"""The programs on the way: what arrives is counted, timed and told apart by its signature, or sent back; and what the
driver took of the frames that were made."""
from __future__ import annotations

from bpfwright.facets.blast.frames import SIGNATURE
from bpfwright.facets.blast.kernel import Signature, balance
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint, xdp
from bpfwright.maps import Array, PerCpuArray
from bpfwright.session import Session
from bpfwright.types import Atomic, Struct, i32, shared, u8, u32, u64
from bpfwright.vmlinux import net_device

__all__ = ["BUCKETS", "Aim", "Tally", "Watch", "aim", "blast_arrive", "blast_handed", "blast_lost", "blast_reflect",
           "bucket_edges", "buckets", "highest", "look_for", "reflected", "seen", "tallies", "watch"]

BUCKETS = 1_152  # of latency: 32 to a doubling, up to 2**40 ns
_LARGEST = (1 << 40) - 1
WINDOW = 1 << 18  # numbers of which a second coming is known
STREAMS = 64


class Watch(Struct):
    """What arrivals are looked at for: the magic of the run (0: every frame counts), how many streams of numbers there
    are, and what becomes of frames that counted: nothing yet (0, none counts), dropped (1), passed on (2)."""

    magic: u64
    streams: u32
    action: u32


class Tally(Struct):
    """What a CPU saw: all frames, those that counted, and of these duplicates, late ones, and latencies in ns."""

    frames: u64
    counted: u64
    counted_bytes: u64
    duplicates: u64
    late: u64
    timed: u64
    latency_ns: u64
    least_ns: u64
    most_ns: u64


class Seen(Struct):
    """The last number that came in this place of the window; at first one that cannot come there (see look_for)."""

    number: Atomic[u32]


class Highest(Struct):
    """The highest number of a stream, plus 1."""

    number: u32


class Aim(Struct):
    """Whose frames, and for which interface, are counted as handed to the driver; what came of them."""

    pid: u32
    ifindex: u32
    sent: u64
    refused: u64
    failed: u64
    error: u64


class Reflected(Struct):
    """What was sent back, and what was let pass."""

    frames: u64
    passed: u64


watch = shared(Watch(0, 1, 0))
aim = shared(Aim(0, 0, 0, 0, 0, 0))
reflected = PerCpuArray[Reflected](max_entries=1)
tallies = PerCpuArray[Tally](max_entries=1)
buckets = PerCpuArray[u64](max_entries=BUCKETS)
seen = Array[Seen](max_entries=WINDOW)
highest = Array[Highest](max_entries=STREAMS)


def timed(tally: Tally, latency: u64) -> None:
    tally.timed += 1
    tally.latency_ns += latency
    if latency > tally.most_ns:
        tally.most_ns = latency
    if tally.least_ns == 0 or latency < tally.least_ns:
        tally.least_ns = latency
    value = min(latency, _LARGEST)
    bits = value.bit_length()
    buckets.increment(value if bits <= 5 else u32((bits - 5) * 32 + ((value >> (bits - 6)) & 31)))


def ordered(tally: Tally, number: u32) -> bool:
    """Count duplicates and what comes after a higher number of its stream; False for a duplicate."""
    last = seen.get(number & (WINDOW - 1))
    if last is not None and last.number.exchange(number) == number:
        tally.duplicates += 1
        return False
    stream = highest.get(number % max(watch.streams, 1))
    if stream is not None:
        if u32(number + 1 - stream.number) < 0x8000_0000:
            stream.number = u32(number + 1)
        else:
            tally.late += 1
    return True


def counted() -> xdp.Action:
    return xdp.PASS if watch.action == 2 else xdp.DROP


@xdp.program
def blast_arrive(ctx: xdp.Context) -> xdp.Action:
    """Counts frames of the run, or all of them; others go on to the stack."""
    if watch.action == 0:
        return xdp.PASS
    tally = tallies.local(0)
    tally.frames += 1
    length = ctx.length
    if watch.magic == 0:
        tally.counted += 1
        tally.counted_bytes += length
        return counted()
    mark = ctx.read((length & ~1) - SIGNATURE, Signature)
    if mark is None or mark.magic != watch.magic:
        return xdp.PASS
    if mark.balance != balance(mark.magic, mark.number, mark.time_ns):
        return xdp.PASS
    tally.counted += 1
    tally.counted_bytes += length
    if ordered(tally, mark.number) and mark.time_ns != 0:
        timed(tally, now_ns() - mark.time_ns)
    return counted()


@xdp.program
def blast_reflect(ctx: xdp.Context) -> xdp.Action:
    """Sends frames back to where they come from, addresses and ports exchanged: checksums stay right."""
    tally = reflected.local(0)
    first = ctx.read(0, u8)
    frame = ctx.find(Ethernet)
    if frame is None or first is None or first & 1 != 0:  # to a group: two reflectors would never end
        tally.passed += 1
        return xdp.PASS
    frame.source, frame.destination = frame.destination, frame.source
    match ctx.find(IPv4, IPv6):
        case IPv4() as four:
            four.source, four.destination = four.destination, four.source
        case IPv6() as six:
            six.source, six.destination = six.destination, six.source
    match ctx.find(TCP, UDP):
        case TCP() as tcp:
            tcp.sport, tcp.dport = tcp.dport, tcp.sport
        case UDP() as udp:
            udp.sport, udp.dport = udp.dport, udp.sport
    tally.frames += 1
    return xdp.TX


@raw_tracepoint.program("xdp_devmap_xmit")
def blast_handed(ctx: raw_tracepoint.Context, source: net_device, device: net_device, sent: i32, drops: i32,
                 error: i32) -> None:
    """What the driver took of a bundle, and what it had no room for."""
    if current.pid == aim.pid and u32(device.ifindex) == aim.ifindex:
        aim.sent += u64(sent)
        aim.refused += u64(drops)
        if error < 0:
            aim.error = u64(-error)


@raw_tracepoint.program("xdp_redirect_err")
def blast_lost(ctx: raw_tracepoint.Context, device: net_device, program: u64, target: u64, error: i32) -> None:
    """Frames that did not come as far as the driver."""
    if current.pid == aim.pid:
        aim.failed += 1
        aim.error = u64(-error)


def look_for(session: Session, magic: int, streams: int, pass_on: bool) -> None:
    """Say what the program counts, before frames come. An entry of the window is 0: number 0 has not come yet."""
    session[seen][0] = Seen(1)
    state = session[watch]
    state.streams = streams
    state.magic = magic
    state.action = 2 if pass_on else 1


def bucket_edges(bucket: int) -> tuple[int, int]:
    """The first and the last value of a bucket of latency, in ns."""
    if bucket < 32:
        return bucket, bucket
    bits, part = divmod(bucket, 32)
    width = 1 << bits - 1
    return (32 + part) * width, (32 + part + 1) * width - 1
