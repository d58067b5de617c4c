"""How long block I/O takes, from issue to completion: a histogram.

examples:
  bpfwright tool biolatency           until Ctrl-C
  bpfwright tool biolatency 1 10      each second, ten times
  bpfwright tool biolatency -mT 1     in milliseconds, with the time of day
  bpfwright tool biolatency -Q        with the time in the queue
  bpfwright tool biolatency -D        a histogram for each disk
  bpfwright tool biolatency -F        a histogram for each kind of I/O
"""
from bpfwright.types import Config, Struct, ptr, u32, u64
from bpfwright.facets.tools._block import device, disk, flags_of
from bpfwright.facets.tools._tool import Column, Histogram, Option, bucket
from bpfwright.helpers import now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import request


class Slot(Struct):
    disk: u32
    flags: u32
    slot: u64


class Choice(Config):
    milliseconds: bool = False
    queued: bool = False
    disks: bool = False
    flags: bool = False


choice = Choice()
counts = Hash[Slot, u64](max_entries=10_240)


@raw_tracepoint.program("block_rq_complete")
def completed(ctx: raw_tracepoint.Context, rq: ptr[request]) -> None:
    start = rq.start_time_ns if choice.queued else rq.io_start_time_ns
    if start == 0:
        return
    took = now_ns() - start
    took = took // 1_000_000 if choice.milliseconds else took // 1000
    counts.increment(Slot(device(rq) if choice.disks else 0, rq.cmd_flags if choice.flags else 0, bucket(took)))


TOOL = Histogram(
    counts, (completed,), unit=lambda o: "msecs" if o.milliseconds else "usecs",
    columns=(Column("disk", of=lambda key: disk(key.disk), when="disks"),
             Column("flags", of=lambda key: flags_of(key.flags), when="flags")),
    options=(Option("-T, --timestamp", "show the time of day"), Option("-m, --milliseconds", "in milliseconds"),
             Option("-Q, --queued", "with the time in the queue"), Option("-D, --disks", "by disk"),
             Option("-F, --flags", "by kind of I/O")),
    config=Choice, filters="")
