"""Time in software interrupts, by kind.

examples:
  bpfwright tool softirqs            sums, until Ctrl-C
  bpfwright tool softirqs 1 10       each second, ten times
  bpfwright tool softirqs -NT 1      in nanoseconds, with the time of day
  bpfwright tool softirqs -d         histograms
  bpfwright tool softirqs -C         how many, not how long
"""
from bpfwright.types import Config, Struct, u32, u64
from bpfwright.facets.tools._tool import STAMP, Column, Either, Histogram, Option, Table, bucket
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash


class Slot(Struct):
    vector: u32
    slot: u32


class Choice(Config):
    dist: bool = False
    events: bool = False
    nanoseconds: bool = False


NAMES = ("hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu")
choice = Choice()
begun = Hash[u32, u64](max_entries=4096)
sums = Hash[Slot, u64](max_entries=10_240)


@raw_tracepoint.program("softirq_entry")
def entered(ctx: raw_tracepoint.Context, vec_nr: u32) -> None:
    begun[current.cpu] = now_ns()


@raw_tracepoint.program("softirq_exit")
def left(ctx: raw_tracepoint.Context, vec_nr: u32) -> None:
    since = begun.pop(current.cpu, None)
    if since is None:
        return
    took = now_ns() - since if choice.nanoseconds else (now_ns() - since) // 1000
    if choice.dist:
        sums.increment(Slot(vec_nr, u32(bucket(took))))
    else:
        sums.increment(Slot(vec_nr, 0), 1 if choice.events else took)


OPTIONS = (STAMP, Option("-N, --nanoseconds", "in nanoseconds"), Option("-C, --events", "how many"),
           Option("-d, --dist", "histograms"))
TOOL = Either("dist", Histogram(
    sums, (entered, left), unit=lambda o: "nsecs" if o.nanoseconds else "usecs",
    columns=(Column("softirq", of=lambda key: NAMES[key.vector]),),
    options=OPTIONS, config=Choice, filters=""), Table(sums, (entered, left), (
        Column("SOFTIRQ", "<16", lambda e: NAMES[e.vector]),
        Column("TOTAL_usecs", ">11", "value", "!events !nanoseconds"),
        Column("TOTAL_nsecs", ">11", "value", "!events nanoseconds"), Column("TOTAL_count", ">11", "value", "events")),
        sort="+value", options=OPTIONS, config=Choice, filters=""))
