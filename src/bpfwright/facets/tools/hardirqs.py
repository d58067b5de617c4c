"""Time in handlers of hardware interrupts, by handler.

examples:
  bpfwright tool hardirqs            sums, until Ctrl-C
  bpfwright tool hardirqs 1 10       each second, ten times
  bpfwright tool hardirqs -NT 1      in nanoseconds, with the time of day
  bpfwright tool hardirqs -d         histograms
  bpfwright tool hardirqs -C         how many, not how long
"""
from bpfwright.types import Config, L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._tool import STAMP, Column, Either, Histogram, Option, Table, bucket
from bpfwright.helpers import current, kernel_text, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import irqaction


class Slot(Struct):
    hardirq: char[L[32]]
    slot: u64


class Choice(Config):
    dist: bool = False
    events: bool = False
    nanoseconds: bool = False


choice = Choice()
begun = Hash[u32, u64](max_entries=4096)
sums = Hash[Slot, u64](max_entries=10_240)


@raw_tracepoint.program("irq_handler_entry")
def entered(ctx: raw_tracepoint.Context, irq: u32, action: ptr[irqaction]) -> None:
    begun[current.cpu] = now_ns()


@raw_tracepoint.program("irq_handler_exit")
def left(ctx: raw_tracepoint.Context, irq: u32, action: ptr[irqaction]) -> None:
    since = begun.pop(current.cpu, None)
    if since is None:
        return
    took = now_ns() - since if choice.nanoseconds else (now_ns() - since) // 1000
    name = kernel_text(action.name, 32)
    if choice.dist:
        sums.increment(Slot(name, bucket(took)))
    else:
        sums.increment(Slot(name, 0), 1 if choice.events else took)


OPTIONS = (STAMP, Option("-N, --nanoseconds", "in nanoseconds"), Option("-C, --events", "how many"),
           Option("-d, --dist", "histograms"))
TOOL = Either("dist", Histogram(
    sums, (entered, left), unit=lambda o: "nsecs" if o.nanoseconds else "usecs", columns=(Column("hardirq"),),
    options=OPTIONS, config=Choice, filters=""), Table(sums, (entered, left), (
        Column("HARDIRQ", "<26"), Column("TOTAL_usecs", ">11", "value", "!events !nanoseconds"),
        Column("TOTAL_nsecs", ">11", "value", "!events nanoseconds"), Column("TOTAL_count", ">11", "value", "events")),
        sort="+value", options=OPTIONS, config=Choice, filters=""))
