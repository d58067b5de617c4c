"""The last level cache: references, misses and hit rate by process, sampled.

It needs a processor whose counters the kernel may use; most virtual machines have none.

examples:
  bpfwright tool llcstat              until Ctrl-C
  bpfwright tool llcstat 5            for five seconds
  bpfwright tool llcstat -c 1000      a sample each 1000 events
"""
from bpfwright.types import Config, L, Struct, char, u32, u64
from bpfwright.facets.tools._tool import Column, Option, Table
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current
from bpfwright.hooks import perf_event
from bpfwright.maps import Hash


class Key(Struct):
    pid: u32
    cpu: u32
    name: char[L[16]]


class Sum(Struct):
    references: u64
    misses: u64


sums = Hash[Key, Sum](max_entries=10_240)


class Choice(Config):
    sample_period: u64 = 100


choice = Choice()


def add(references: u64, misses: u64) -> None:
    if not wanted():
        return
    key = Key(pid(), current.cpu, current.comm)
    entry = sums.get(key)
    if entry is None:
        sums[key] = Sum(references, misses)
    else:
        entry.references += references
        entry.misses += misses


@perf_event.program
def referred(ctx: perf_event.Context) -> None:
    add(choice.sample_period, 0)


@perf_event.program
def missed(ctx: perf_event.Context) -> None:
    add(0, choice.sample_period)


TOOL = Table(sums, lambda o: [(referred.on(perf_event.Counting("cache-references", period=o.sample_period)),
                               missed.on(perf_event.Counting("cache-misses", period=o.sample_period)))], (
    Column("PID", "<8"), Column("NAME", "<16"), Column("CPU", "<4"),
    Column("REFERENCE", ">12d", "references"), Column("MISS", ">12d", "misses"),
    Column("HIT%", ">6.2f", lambda e: 100.0 * max(e.references - e.misses, 0) / (e.references or 1))),
    options=(Option("duration", "seconds (until Ctrl-C)", 0.0),
             Option("-c, --sample-period", "events for each sample", 100)),
    sort="references", config=Choice, positional=False)
