"""How many threads wait for a CPU, looked at 99 times a second: a histogram.

With -O the share of the time that any waits.

examples:
  bpfwright tool runqlen              until Ctrl-C
  bpfwright tool runqlen 1 10         each second, ten times
  bpfwright tool runqlen -C           a histogram for each CPU
  bpfwright tool runqlen -O 1         in percent of the time
"""
from bpfwright.types import Config, Struct, u32, u64
from bpfwright.facets.tools._tool import STAMP, Column, Either, Histogram, Option, Table
from bpfwright.helpers import current, exists
from bpfwright.hooks import perf_event
from bpfwright.maps import Hash


class Slot(Struct):
    cpu: u32
    slot: u32


class Choice(Config):
    cpus: bool = False


choice = Choice()
counts = Hash[Slot, u64](max_entries=10_240)


@perf_event.program
def sample(ctx: perf_event.Context) -> None:
    queue = current.task.se.cfs_rq
    length = u32(queue.nr_queued) if exists(queue.nr_queued) else u32(queue.nr_running)
    waiting = length - 1 if length > 0 else 0  # the one that runs does not wait
    counts.increment(Slot(current.cpu if choice.cpus else 0, waiting))


class Share:
    """How much of the time any thread waited for a CPU."""

    def __init__(self, cpu: int, counts: dict[int, int]) -> None:
        self.cpu, total = cpu, sum(counts.values())
        self.percent = 100.0 * (total - counts.get(0, 0)) / (total or 1)


def shares(running: object) -> list[Share]:
    by_cpu: dict[int, dict[int, int]] = {}
    for entry in running.drained(counts):  # type: ignore[attr-defined]
        by_cpu.setdefault(entry.cpu, {})[entry.slot] = entry.value
    return [Share(cpu, by_cpu[cpu]) for cpu in sorted(by_cpu)]


OPTIONS = (STAMP, Option("-C, --cpus", "by CPU"), Option("-O, --runqocc", "the share of the time that any waits"))
PROGRAMS = (sample.on(perf_event.Sampling(hz=99)),)
TOOL = Either("!runqocc", Histogram(
    counts, PROGRAMS, unit="runqlen", columns=(Column("cpu", when="cpus"),), linear=True, options=OPTIONS,
    config=Choice, filters=""), Table(counts, PROGRAMS, (
        Column("CPU", "<4", when="cpus"), Column("RUNQOCC%", ">8.2f", "percent")), entries=shares, options=OPTIONS,
        config=Choice, filters=""))
